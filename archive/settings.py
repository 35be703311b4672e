"""The `archive:` section of config.yaml."""

from pathlib import Path

from pydantic import BaseModel, Field, PositiveFloat, PositiveInt

from core.limits import DataSetLimits

_DEFAULT = DataSetLimits()


class ArchiveSettings(BaseModel, frozen=True, extra="forbid"):
    """The `archive:` section of config.yaml."""

    folder: Path = Path("data")
    """Where sealed objects and the database are, relative to config.yaml; a local disk, because
    every object is synced before its sender is answered. This is what a backup copies."""
    keystore_folder: Path = Path("keystore")
    """Where the key of each study is, relative to config.yaml. Leave it out of the data backup:
    forgetting a study erases its key, and a copy of the key would bring the study back."""
    database_url: str | None = Field(default=None, pattern=r"^(sqlite|postgresql\+psycopg)://")
    """By default archive.db in `folder`; postgresql+psycopg://... for many machines, with the
    password in a pgpass file."""
    busy_timeout_s: PositiveFloat = Field(default=10.0, le=60.0)
    """How long a write waits for other processes before the sender is told to come back."""
    orphan_grace_s: float = Field(default=3600.0, ge=60.0)
    """A file that no row names is removed at start once it is so old; younger ones may belong to
    an object that is just being stored by another process."""
    scrub_days: PositiveFloat = 30.0
    """Every stored object is read again once in so many days, a few each minute, because a disk
    forgets without saying so. A damaged one is alarmed and its study held; sending it again mends
    it. `second-reader archive scrub` reads all of them at once."""
    keys_in_memory: int = Field(default=1024, ge=16, le=1_000_000)
    """How many study keys a process keeps open, so that not every object costs a file read."""
    max_elements: PositiveInt = _DEFAULT.max_elements
    """Elements and items of one object, counted at every depth; one with more is refused, because
    reading it would take a worker's memory: eight bytes on the wire become a thousand."""
    max_inflated_bytes: PositiveInt = _DEFAULT.max_inflated_bytes
    """Length of a deflated object (Deflated Explicit VR Little Endian) once it is inflated; one
    that becomes longer is refused and never inflated as a whole."""
    max_inflation_ratio: int = Field(default=_DEFAULT.max_inflation_ratio, ge=2, le=1032)
    """A deflated object that inflates to more than 16 MiB and to so many times its own length is
    taken for a bomb and refused. Deflate can do no more than 1032."""

    @property
    def limits(self) -> DataSetLimits:
        """What an object may cost whoever reads it."""
        return DataSetLimits(
            max_elements=self.max_elements,
            max_inflated_bytes=self.max_inflated_bytes,
            max_inflation_ratio=self.max_inflation_ratio,
        )
