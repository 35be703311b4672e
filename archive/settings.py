"""The `archive:` section of config.yaml."""

from pathlib import Path

from pydantic import BaseModel, Field, PositiveFloat


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
    keys_in_memory: int = Field(default=1024, ge=16, le=1_000_000)
    """How many study keys a process keeps open, so that not every object costs a file read."""
