"""What an appender finds when it opens the log: where it ends, and what a crash left behind.

A crash may cut off the entry that was being written; nobody was told that it is durable, so it is
cut back (and kept aside). Anything else that does not fit is no accident, and the log stays shut.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audit.checkpoint import Checkpoint
from audit.disk import sync
from audit.errors import BrokenChainError
from audit.id_index import IdIndex
from audit.segments import EVENT_ID_BYTES, Frames, Header, Segment, find_segments
from audit.tree import HASH_BYTES, GrowingTree, leaf_hash

_log = logging.getLogger(__name__)

REMEDY = (
    "Run `second-reader audit verify`, restore the folder, or move it away as evidence and let a "
    "new log begin with `second-reader audit begin --reason TEXT`"
)
"""What to do about a log that is not the one it was."""


@dataclass(frozen=True)
class TornTail:
    """Bytes after the last whole entry that were cut back at open."""

    position: int
    """Of the entry that was being written."""
    bytes_cut: int
    kept_in: Path
    """The bytes, still sealed."""


@dataclass(frozen=True)
class Recovered:
    """Where the log goes on."""

    tree: GrowingTree
    segment: Segment
    header: Header
    end: int
    """Length of the newest segment's file."""
    torn: TornTail | None


def recover(folder: Path, ids: IdIndex, signed: Checkpoint | None) -> Recovered | None:
    """Find the end of the log, prove the beginning that was signed, complete the caches.

    Reads only the segments after the last checkpoint and the newest one. None if there is no log.

    Raises
    ------
    BrokenChainError
        If the log is not the one that was signed, or lacks what was durable.
    """
    segments = find_segments(folder)
    if not segments:
        if signed is not None and signed.size > 0:
            raise BrokenChainError("the log is gone, but not its checkpoints", remedy=REMEDY)
        ids.clear()
        return None
    replay = _Replay(segments, ids, signed)
    while not replay.run():
        ids.clear()
    if signed is not None and replay.signed_root != signed.root:
        raise BrokenChainError(
            f"the log is not the one that was signed at size {signed.size}", remedy=REMEDY
        )
    torn = replay.cut_back(0 if signed is None else signed.size)
    # A process that was killed may have left whole entries that were never synced.
    sync(segments[-1].path)
    sync(folder)
    _complete_hashes(segments[-1], replay.leaves)
    ids.flush(replay.tree.size, replay.tree.root())
    last = segments[-1]
    return Recovered(replay.tree, last, last.header(), replay.frames.end, torn)


class _Replay:
    """Reads entries again, from where both the checkpoint and the id index can be tested."""

    def __init__(
        self, segments: Sequence[Segment], ids: IdIndex, signed: Checkpoint | None
    ) -> None:
        self._segments, self._ids = segments, ids
        self._signed_size = 0 if signed is None else signed.size
        self.leaves: list[bytes] = []

    def run(self) -> bool:
        """Replay; False if the id index turned out to be of another log."""
        known, known_root = self._ids.size, self._ids.root
        self._begin(min(self._signed_size, known))
        for segment in self._ahead:
            self._enter(segment)
            for entry in self.frames:
                if self.tree.size == known and self.tree.root() != known_root:
                    return False
                self._add(entry, is_new=self.tree.size >= known)
        return self.tree.size > known or self.tree.root() == known_root

    def _begin(self, position: int) -> None:
        at = [i for i, segment in enumerate(self._segments) if segment.first <= position]
        if not at:
            raise BrokenChainError("the beginning of the log is missing", remedy=REMEDY)
        self._ahead = self._segments[at[-1] :]
        self.tree = GrowingTree(self._ahead[0].first, self._ahead[0].header().peaks)
        self.signed_root = self._root_if_signed()

    def _enter(self, segment: Segment) -> None:
        header = segment.header()
        if header.first != self.tree.size or header.peaks != self.tree.peaks:
            raise BrokenChainError(f"the log breaks before {segment.path.name}", remedy=REMEDY)
        self.frames, self.leaves = segment.frames(), []

    def _add(self, entry: bytes, *, is_new: bool) -> None:
        leaf = leaf_hash(entry)
        self.leaves.append(leaf)
        self.tree.append(leaf)
        self.signed_root = self.signed_root or self._root_if_signed()
        if is_new:
            self._ids.add(self.tree.size - 1, [entry[:EVENT_ID_BYTES]])
        if self._ids.is_full:
            self._ids.flush(self.tree.size, self.tree.root())

    def _root_if_signed(self) -> bytes | None:
        return self.tree.root() if self.tree.size == self._signed_size else None

    def cut_back(self, signed_size: int) -> TornTail | None:
        """Cut what follows the last whole entry, unless it was durable."""
        last = self._segments[-1]
        noted = last.first + len(last.leaf_hashes())
        if self.tree.size < max(noted, signed_size):
            raise BrokenChainError(
                f"entry {self.tree.size} was durable and is damaged or gone", remedy=REMEDY
            )
        return _cut(last, self.frames, self.tree.size) if self.frames.is_cut else None


def _cut(segment: Segment, frames: Frames, position: int) -> TornTail:
    with segment.path.open("r+b") as file:
        file.seek(frames.end)
        torn = file.read()
        kept_in = _keep(segment.path.parent, position, torn)
        file.truncate(frames.end)
        os.fsync(file.fileno())
    _log.warning("entry %d of the audit log was cut off by a crash; it was not durable", position)
    return TornTail(position, len(torn), kept_in)


def _keep(folder: Path, position: int, torn: bytes) -> Path:
    number = 0
    while True:
        path = folder / f"torn-{position:012d}-{number}.bytes"
        try:
            with path.open("xb") as file:
                file.write(torn)
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            number += 1
        else:
            return path


def _complete_hashes(segment: Segment, leaves: Sequence[bytes]) -> None:
    """Note the hashes that a crash left out."""
    noted = segment.leaf_hashes()
    if noted == leaves:
        return
    never_written = bytes(HASH_BYTES)  # so reads a page that did not reach the disk
    if any(old not in {new, never_written} for old, new in zip(noted, leaves, strict=False)):
        raise BrokenChainError(
            f"entries of {segment.path.name} are not the ones that were written", remedy=REMEDY
        )
    with segment.hashes_path.open("wb") as file:
        file.write(b"".join(leaves))
        file.flush()
        os.fsync(file.fileno())
