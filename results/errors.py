"""What `results` refuses."""

from core.errors import CorruptionError, InputError


class NotEncodableError(InputError):
    """The source lacks what a result object must carry; the study is held with this reason."""


class BorderError(CorruptionError):
    """A result object does not pass the last check and must not leave.

    Parameters
    ----------
    statement
        The statement it breaks, by its name in `results.conformance.STATEMENTS`.
    reason
        How, without any value of the object.
    """

    def __init__(self, statement: str, reason: str) -> None:
        super().__init__(
            f"last check {statement}: {reason}",
            remedy="The study is held; nothing of it was sent",
        )
        self.statement = statement
