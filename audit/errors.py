"""What can go wrong with the log, by family."""

from core.errors import CorruptionError, NotFoundError, UnavailableError


class BrokenChainError(CorruptionError):
    """The log is not the one that was signed, or not the one that was written."""


class CheckpointError(CorruptionError):
    """A checkpoint is not one, or was not signed by the key it should be."""


class LogBusyError(UnavailableError):
    """Another process appends to this log."""


class LogUnwritableError(UnavailableError):
    """Records could not be made durable; none of this batch counts as written."""


class LogUnreadableError(UnavailableError):
    """The files of the log cannot be read; says nothing of what is in them."""


class UnsignedError(UnavailableError):
    """The record is in the log, but no checkpoint covers it yet."""


class UnknownRecordError(NotFoundError):
    """No record of that event id is in the log."""


class MalformedEventError(ValueError):
    """An event lacks what its kind must have: a defect of ours, so no `ServiceError`."""
