"""The files of the log: what they hold, and how they are read.

The log is a row of segments, each named by the position of its first entry:

    000000000000.log      header, then one frame for each entry
    000000000000.hashes   the leaf hash of each entry, 32 bytes each, written after the entry
    000000065536.log      ...
    checkpoints           what was signed, one note after another (`checkpoint`)
    audit-public-key.pem  a copy for convenience; proves nothing
    ids.db                a cache (`id_index`)

    header = magic (8) | position of the first entry (8) | entries it has room for (4)
             | peaks of the tree before it (32 each)
    frame  = length of the entry (4) | CRC-32 of the entry (4) | entry
    entry  = event id (16) | sealed record

The peaks let a writer go on without reading older segments. The CRC only finds a write that was cut
off. The hashes only help to say *which* entry was changed. Neither proves anything: the signed root
over the entries does (`tree`, `checkpoint`).
"""

import struct
import uuid
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from audit.disk import reading
from audit.errors import BrokenChainError
from audit.records import SealedRecord
from audit.tree import HASH_BYTES

CHECKPOINTS = "checkpoints"
PUBLIC_KEY = "audit-public-key.pem"
MAGIC = b"2RAUDIT1"
EVENT_ID_BYTES = 16
MAX_ENTRY_BYTES = 1 << 24
_HEADER = struct.Struct(">8sQI")
_FRAME = struct.Struct(">II")


@dataclass(frozen=True)
class Header:
    """The beginning of a segment."""

    first: int
    capacity: int
    """How many entries the segment has room for."""
    peaks: tuple[bytes, ...]
    """Of the tree over all entries before this segment."""

    def encode(self) -> bytes:
        """Return the header as it stands in the file."""
        return _HEADER.pack(MAGIC, self.first, self.capacity) + b"".join(self.peaks)


@dataclass(frozen=True)
class Segment:
    """One file of the log, and the hashes beside it."""

    path: Path

    @classmethod
    def at(cls, folder: Path, first: int) -> "Segment":
        """Return the segment whose first entry has this position."""
        return cls(folder / f"{first:012d}.log")

    @property
    def first(self) -> int:
        """The position of the first entry, as the name says it."""
        return int(self.path.stem)

    @property
    def hashes_path(self) -> Path:
        """Where the leaf hashes are."""
        return self.path.with_suffix(".hashes")

    def leaf_hashes(self) -> list[bytes]:
        """Return the leaf hashes that were noted; none if the file is missing."""
        try:
            noted = self.hashes_path.read_bytes()
        except FileNotFoundError:
            return []
        whole = len(noted) - len(noted) % HASH_BYTES
        return [noted[at : at + HASH_BYTES] for at in range(0, whole, HASH_BYTES)]

    def header(self) -> Header:
        """Read the header.

        Raises
        ------
        BrokenChainError
            If the file does not begin with one, or with that of another segment.
        """
        with self.path.open("rb") as file:
            return self._header(file)

    def frames(self) -> "Frames":
        """Return the entries, to be read once, in order."""
        return Frames(self.path)

    def _header(self, file: BinaryIO) -> Header:
        fixed = file.read(_HEADER.size)
        if len(fixed) == _HEADER.size:
            magic, first, capacity = _HEADER.unpack(fixed)
            peaks = [file.read(HASH_BYTES) for _ in range(self.first.bit_count())]
            is_whole = all(len(peak) == HASH_BYTES for peak in peaks)
            if magic == MAGIC and first == self.first and capacity > 0 and is_whole:
                return Header(first, capacity, tuple(peaks))
        raise BrokenChainError(f"{self.path.name} does not begin as a segment of the log does")


class Frames:
    """The entries of one segment; says afterwards where reading ended, and whether it had to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.end = 0
        """Offset in the file after the last whole frame."""
        self.is_cut = False
        """Whether something that is no whole frame follows it."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield each entry, up to the end or to the first frame that is not whole."""
        header_bytes = len(Segment(self._path).header().encode())
        with self._path.open("rb") as file:
            self.end = file.seek(header_bytes)
            while head := file.read(_FRAME.size):
                entry = _entry(head, file)
                if entry is None:
                    self.is_cut = True
                    return
                self.end += len(head) + len(entry)
                yield entry


def _entry(head: bytes, file: BinaryIO) -> bytes | None:
    if len(head) < _FRAME.size:
        return None
    length, checksum = _FRAME.unpack(head)
    if not EVENT_ID_BYTES <= length <= MAX_ENTRY_BYTES:
        return None
    entry = file.read(length)
    return entry if len(entry) == length and zlib.crc32(entry) == checksum else None


def encode_entry(record: SealedRecord) -> bytes:
    """Return the entry that holds a record."""
    return uuid.UUID(record.event_id).bytes + record.sealed


def decode_entry(entry: bytes) -> SealedRecord:
    """Return the record that an entry holds."""
    return SealedRecord(str(uuid.UUID(bytes=entry[:EVENT_ID_BYTES])), entry[EVENT_ID_BYTES:])


def encode_frame(entry: bytes) -> bytes:
    """Return the frame around an entry."""
    return _FRAME.pack(len(entry), zlib.crc32(entry)) + entry


def find_segments(folder: Path) -> list[Segment]:
    """Return the segments of a log, in order."""
    return [Segment(path) for path in sorted(folder.glob("[0-9]" * 12 + ".log"))]


def read_entries(folder: Path, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield position and bytes of each entry from `start` on; proves nothing (`verify` does).

    Raises
    ------
    BrokenChainError
        If a segment is missing, or ends early although another follows.
    LogUnreadableError
        If a file cannot be read.
    """
    with reading(folder):
        yield from _entries(find_segments(folder), start)


def _entries(segments: Sequence[Segment], start: int) -> Iterator[tuple[int, bytes]]:
    at = [i for i, segment in enumerate(segments) if segment.first <= start]
    position = None
    for segment in segments[at[-1] if at else 0 :]:
        if position not in {None, segment.first}:
            raise BrokenChainError(
                f"the log breaks before {segment.path.name}",
                remedy="Run `second-reader audit verify`",
            )
        position = segment.first
        for entry in segment.frames():
            if position >= start:
                yield position, entry
            position += 1
