"""The recording that the library makes of everything that is changed, made durable, or said.

A change is recorded when it is done. A sync is recorded when it begins and when it is done, so that
it covers what had been recorded before it began. What is said is recorded before it is said. So
nothing stands in the recording as durable earlier than it was, and nothing as said later.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from tests.torture.preload import Kind

_HEADER = struct.Struct("<8sIHBBIIIIQq")
_MAGIC = b"2RTR\xf1\x9e\x04\n"
_END = b"\xe5nd\n"

_AFFECTED_INSTANCE = bytes.fromhex("00000010")
_SUCCESS = bytes.fromhex("00000009 02000000 0000")
"""Affected SOP Instance UID (0000,1000) and Status (0000,0900). Source: PS3.7 Table 9.3-2."""


class Phase(IntEnum):
    """When a record was made."""

    BEGAN = 0
    DONE = 1
    FAILED = 2


@dataclass(frozen=True)
class Record:
    """One call."""

    kind: Kind
    phase: Phase
    thread: int
    path: str
    new_path: str
    inode: int
    offset: int
    """Of a write; the new size for a truncation; whether an open made the file, or a sync was of a
    folder."""
    data: bytes


class TraceReader:
    """Reads on in a recording, also while it is being made."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._position = 0

    def read_on(self) -> list[Record]:
        """Return the whole records since the last time; one that a kill cut off is left out."""
        with self._file.open("rb") as file:
            file.seek(self._position)
            content = file.read()
        found = list(_records(content))
        self._position += found[-1][1] if found else 0
        return [record for record, _ in found]


def read_trace(file: Path) -> list[Record]:
    """Return all whole records."""
    return TraceReader(file).read_on()


def _records(content: bytes) -> Iterator[tuple[Record, int]]:
    """Yield each record and where it ends."""
    position = content.find(_MAGIC)
    while position >= 0 and position + _HEADER.size <= len(content):
        fields = _HEADER.unpack_from(content, position)
        end = position + fields[1]
        if content[end - len(_END) : end] == _END and end <= len(content):
            yield _record(fields, content, position + _HEADER.size), end
            position = end if content.startswith(_MAGIC, end) else content.find(_MAGIC, end)
        else:
            position = content.find(_MAGIC, position + 1)


def _record(fields: tuple[int, ...], content: bytes, start: int) -> Record:
    _, _, kind, phase, _, thread, path, new_path, data, inode, offset = fields
    ends = [start + path, start + path + new_path, start + path + new_path + data]
    return Record(
        kind=Kind(kind),
        phase=Phase(phase),
        thread=thread,
        path=content[start : ends[0]].decode(errors="surrogateescape"),
        new_path=content[ends[0] : ends[1]].decode(errors="surrogateescape"),
        inode=inode,
        offset=offset,
        data=content[ends[1] : ends[2]],
    )


def acknowledged(record: Record) -> str | None:
    """Return which SOP Instance UID a C-STORE-RSP says is stored; None for anything else."""
    if record.kind is not Kind.REPLY or _SUCCESS not in record.data:
        return None
    start = record.data.find(_AFFECTED_INSTANCE)
    if start < 0:
        return None
    (length,) = struct.unpack_from("<I", record.data, start + 4)
    return record.data[start + 8 : start + 8 + length].decode().rstrip("\0")


def retried_syncs(records: Sequence[Record]) -> list[str]:
    """Return the files that were synced again after a sync had failed, with nothing new in them.

    Such a second sync says that all is well, and what the first one lost is gone. A folder may be
    synced again: a file system that cannot write its journal lets nobody write any more.
    """
    failed: set[int] = set()
    retried: list[str] = []
    for record in records:
        if record.kind is not Kind.SYNC:
            failed.discard(record.inode)
        elif record.phase is Phase.FAILED and not record.offset:
            failed.add(record.inode)
        elif record.phase is Phase.BEGAN and record.inode in failed:
            retried.append(record.path)
    return retried
