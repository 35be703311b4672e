"""What can go wrong with what we keep, by family."""

from core.errors import (
    AccessError,
    CapacityError,
    ConfigurationError,
    CorruptionError,
    NotFoundError,
    UnavailableError,
)


class DiskFullError(CapacityError):
    """No space, or no quota, is left for an object."""


class DiskError(UnavailableError):
    """The disk did not do what it was asked; what was being written is not kept."""


class DatabaseFullError(CapacityError):
    """The database has no space left."""


class DatabaseBusyError(CapacityError):
    """The database was locked by others for longer than we wait."""


class DatabaseUnavailableError(UnavailableError):
    """The database cannot be reached or written."""


class DamagedDatabaseError(CorruptionError):
    """The database is not what we wrote."""


class MissingObjectError(CorruptionError):
    """A row names a sealed object that is not on the disk."""


class WrongKeysError(ConfigurationError):
    """The keys are those of another installation than this archive."""


class MissingDatabaseError(ConfigurationError):
    """There are sealed objects, and the database that names them is gone."""


class SchemaError(ConfigurationError):
    """The database belongs to a newer version of the service."""


class UnknownStudyError(NotFoundError):
    """We have no such study."""


class UnknownRevisionError(NotFoundError):
    """We have no such revision of the study."""


class UnknownInstanceError(NotFoundError):
    """We have no such instance."""


class UnknownResultError(NotFoundError):
    """We have no such result object or delivery."""


class RevisionBusyError(UnavailableError):
    """Another revision of the same study is being processed."""


class UnknownApiKeyError(AccessError):
    """No such API key was ever given out."""


class ExpiredApiKeyError(AccessError):
    """The API key was good once."""


class RevokedApiKeyError(AccessError):
    """The API key was taken back."""
