"""The recording that the library makes of everything that is changed, made durable, or said.

A change is recorded when it is done. A sync is recorded when it begins and when it is done, so that
it covers what had been recorded before it began. What is said is recorded before it is said. So
nothing stands in the recording as durable earlier than it was, and nothing as said later.
"""

import struct
from collections.abc import Iterator
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
    """Of a write; the new size for a truncation; whether an open made the file."""
    data: bytes


def read_trace(file: Path) -> list[Record]:
    """Return all whole records; one that a kill cut off is left out."""
    content = file.read_bytes()
    return list(_records(content))


def _records(content: bytes) -> Iterator[Record]:
    position = content.find(_MAGIC)
    while position >= 0 and position + _HEADER.size <= len(content):
        fields = _HEADER.unpack_from(content, position)
        end = position + fields[1]
        if content[end - len(_END) : end] == _END and end <= len(content):
            yield _record(fields, content, position + _HEADER.size)
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
