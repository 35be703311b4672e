"""The leaves of the error families that this package raises."""

from core.errors import ConfigurationError, InputError, NotFoundError, UnavailableError


class ModelPackageError(ConfigurationError):
    """A model package is not what its card says; it is refused by name and never replaced."""


class UnknownModelError(NotFoundError):
    """No model of this name and version is here."""


class NotAcceptedError(InputError):
    """The model is not one for this kind of picture."""


class ModelFailedError(UnavailableError):
    """A model gave an error, or numbers that are none."""


class ReaderUnavailableError(UnavailableError):
    """The reader process is away, or went away while it read."""


class ModelTimeoutError(UnavailableError):
    """The reader did not answer within its limit."""
