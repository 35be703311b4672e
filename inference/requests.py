"""What the reader is asked, and what it answers; plain records that pass between processes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NewType

from core.findings import Reading
from core.model import InstanceKey

Pieces = Iterable[bytes | bytearray | memoryview]

PICTURE_KEY = InstanceKey("picture")
"""What the findings of a one-off picture refer to."""

CardText = NewType("CardText", str)


@dataclass(frozen=True)
class Skipped:
    """One instance that a model is not to read, and why."""

    instance_key: InstanceKey
    reason: str
    """One sentence without patient data."""


@dataclass(frozen=True)
class ModelOrder:
    """One model that is to read a study."""

    name: str
    version: str | None = None
    """None takes the newest."""
    digest: str | None = None
    """If given, the package must be this one."""
    score_threshold: float | None = None
    """None takes the card's."""
    skipped: tuple[Skipped, ...] = ()
    """Instances that the rules keep from this model; all others are offered to it."""


@dataclass(frozen=True)
class StudyInstance:
    """One de-identified instance on its way to the reader, piece by piece."""

    key: InstanceKey
    size: int
    """Of the Part 10 file, in bytes."""
    pieces: Pieces

    @classmethod
    def whole(cls, key: InstanceKey, part10: bytes) -> "StudyInstance":
        """Return an instance that is in memory already."""
        return cls(key, len(part10), (part10,))


@dataclass(frozen=True)
class PictureReading:
    """What a model says about one picture that is no instance."""

    rows: int
    columns: int
    reading: Reading
    """Its findings refer to `PICTURE_KEY`, frame 1."""


@dataclass(frozen=True)
class ModelState:
    """One model package and whether it can read."""

    name: str
    version: str
    digest: str
    is_loaded: bool
    reason: str = ""
    """Why it cannot be used; empty if it can."""


@dataclass(frozen=True)
class ReaderStatus:
    """What the reader is doing."""

    models: tuple[ModelState, ...]
    requests: int
    """How many it has taken on."""
    requests_at_once: int
    frames: int
    """How many frames its models have read since it started."""
    resident_mib: int
