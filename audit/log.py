"""The append-only log: sealed records on disk, in order, each once.

`append` returns when its records survive a power cut, and not before.
"""

import errno
import fcntl
import logging
import os
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from audit.checkpoint import Checkpoint
from audit.disk import make_folder, sync, writing
from audit.errors import LogBusyError, LogUnwritableError
from audit.id_index import IdIndex
from audit.records import SealedRecord
from audit.recovery import Recovered, TornTail, recover
from audit.segments import EVENT_ID_BYTES, Header, Segment, encode_entry, encode_frame
from audit.tree import GrowingTree, leaf_hash

_log = logging.getLogger(__name__)


class AuditLog:
    """The one appender of a log. Not for several threads at once."""

    def __init__(
        self, folder: Path, *, entries_per_segment: int, signed: Checkpoint | None = None
    ) -> None:
        """Open the log, or begin one.

        Parameters
        ----------
        folder
            Of this log alone.
        entries_per_segment
            For a new log; one that exists keeps its own.
        signed
            The last checkpoint that was signed over this log.

        Raises
        ------
        LogBusyError
            If another process has it open.
        BrokenChainError
            If it is not the log that was signed, or lacks what was durable.
        LogUnwritableError
            If the folder cannot be read or written.
        """
        self._folder = folder
        self._failed = False
        with writing("folder"):
            make_folder(folder)
            self._lock = _locked(folder)
        try:
            with writing("newest segment"):
                self._open(entries_per_segment, signed)
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self, entries_per_segment: int, signed: Checkpoint | None) -> None:
        self._ids = IdIndex(self._folder)
        try:
            found = recover(self._folder, self._ids, signed) or self._begin(entries_per_segment)
            self._enter(found.segment, found.end)
        except BaseException:
            self._ids.close()
            raise
        self._tree, self._capacity = found.tree, found.header.capacity
        self.torn_tail: TornTail | None = found.torn
        """What was cut back at open; worth an event of its own."""

    def _begin(self, capacity: int) -> Recovered:
        header = Header(0, capacity, ())
        segment = _create(self._folder, header)
        return Recovered(GrowingTree(), segment, header, len(header.encode()), None)

    @property
    def size(self) -> int:
        """How many entries the log holds."""
        return self._tree.size

    def root(self) -> bytes:
        """Return the root over all entries."""
        return self._tree.root()

    def holds(self, event_id: str) -> bool:
        """Whether a record is in the log."""
        return self._ids.position_of(uuid.UUID(event_id).bytes) is not None

    def append(self, records: Sequence[SealedRecord]) -> int:
        """Make the records durable, those excepted whose event id the log holds; return its size.

        Raises
        ------
        LogUnwritableError
            If that failed. Some of the records may be in the log all the same: open it again and
            append them again, and each will be there once.
        """
        if self._failed:
            raise LogUnwritableError(
                "the audit log failed before", remedy="Open it again once the disk is well"
            )
        with self._giving_up_if_it_fails("newest segment"):
            fresh = self._fresh(records)
            while fresh:
                room = self._room() or self._next_segment()
                self._write(fresh[:room])
                fresh = fresh[room:]
        return self.size

    def _fresh(self, records: Sequence[SealedRecord]) -> list[bytes]:
        by_id: dict[bytes, SealedRecord] = {}
        for record in records:
            by_id.setdefault(uuid.UUID(record.event_id).bytes, record)
        return [
            encode_entry(record)
            for event_id, record in by_id.items()
            if self._ids.position_of(event_id) is None
        ]

    def _write(self, entries: Sequence[bytes]) -> None:
        frames = b"".join(map(encode_frame, entries))
        _write_all(self._entries, frames)
        os.fdatasync(self._entries)
        self._require_in_place()
        # Durable from here on: everything below only follows.
        self._end += len(frames)
        first, leaves = self.size, [leaf_hash(entry) for entry in entries]
        for leaf in leaves:
            self._tree.append(leaf)
        _write_all(self._hashes, b"".join(leaves))
        self._ids.add(first, [entry[:EVENT_ID_BYTES] for entry in entries])
        if self._ids.is_full:
            self._ids.flush(self.size, self.root())

    def _require_in_place(self) -> None:
        """Find out whether what was written is where the log is read; raises OSError if not."""
        is_it = os.path.samestat(self._segment.path.stat(), os.fstat(self._entries))
        if not is_it:
            raise FileNotFoundError(errno.ENOENT, "another file has taken its place")

    def _room(self) -> int:
        return self._segment.first + self._capacity - self.size

    def _next_segment(self) -> int:
        header = Header(self.size, self._capacity, self._tree.peaks)
        segment = _create(self._folder, header)
        full = self._entries, self._hashes
        os.fdatasync(self._hashes)
        self._enter(segment, len(header.encode()))
        for file in full:
            os.close(file)
        return self._capacity

    def sync_hashes(self) -> None:
        """Make the list of leaf hashes durable too; done with every checkpoint."""
        with self._giving_up_if_it_fails("list of hashes"):
            os.fdatasync(self._hashes)

    def _enter(self, segment: Segment, end: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        entries = os.open(segment.path, flags, 0o600)
        try:
            hashes = os.open(segment.hashes_path, flags, 0o600)
        except OSError:
            os.close(entries)
            raise
        self._entries, self._hashes = entries, hashes
        self._segment, self._end = segment, end

    @contextmanager
    def _giving_up_if_it_fails(self, what: str) -> Iterator[None]:
        try:
            with writing(what):
                yield
        except LogUnwritableError:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Take back what is not durable; after a failed sync nobody knows what is."""
        self._failed = True
        try:
            os.ftruncate(self._entries, self._end)
        except OSError:
            _log.exception("an unfinished write to the audit log could not be taken back")

    def close(self) -> None:
        """Close the log and let others append."""
        if not self._failed:  # else the index may lack what the log holds
            try:
                self._ids.flush(self.size, self.root())
            except sqlite3.Error:
                _log.exception("the index of event ids was not saved; the next start does it")
        self._ids.close()
        for file in (self._entries, self._hashes, self._lock):
            os.close(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _locked(folder: Path) -> int:
    lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise LogBusyError(
            "another process appends to the audit log",
            remedy="Let one worker at a time hold the sequencer's lease",
        ) from None
    return lock


def _create(folder: Path, header: Header) -> Segment:
    """Make a segment that is there with its whole header, or not at all."""
    segment = Segment.at(folder, header.first)
    unfinished = segment.path.with_suffix(".new")
    with unfinished.open("wb") as file:
        file.write(header.encode())
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(segment.path)
    sync(folder)
    return segment


def _write_all(file: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(file, left) :]
