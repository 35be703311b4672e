"""The six error families. The family says what to do; the leaf says what happened.

Leaves are added freely in the package that raises them. The leaves here are those that more than
one package raises or answers.
"""


class ServiceError(Exception):
    """Anything the service refuses or cannot do, told in one line without patient data.

    Parameters
    ----------
    message
        What happened, naming the thing. Never holds a value of a patient's data.
    remedy
        What the reader can do about it, as a sentence of its own.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}" if self.remedy else self.message


class InputError(ServiceError):
    """What arrived is wrong; never retried."""


class NotFoundError(ServiceError):
    """What was asked for is not here."""


class AccessError(ServiceError):
    """Not allowed; refuse and record."""


class UnavailableError(ServiceError):
    """The world is broken; try again later."""


class CorruptionError(ServiceError):
    """What we kept is not what we wrote; alarm."""


class ConfigurationError(ServiceError):
    """An operator must act; raised only before start."""


class MalformedInstanceError(InputError):
    """A data set cannot be read, or lacks what every instance must have."""


class MismatchedInstanceError(InputError):
    """SOP class or instance differ between command and data set (PS3.4 B.2.3: A900)."""


class UnsupportedPixelsError(InputError):
    """No decoder here can turn these pixels into values, or two decoders disagree."""


class CapacityError(UnavailableError):
    """A disk, a queue or a limit is full (PS3.4 B.2.3: A700)."""


class SealError(CorruptionError):
    """A sealed thing was changed, cut, swapped, or sealed under another key."""


class ForgottenError(NotFoundError):
    """The key of this study was erased; nothing of it can be opened again."""
