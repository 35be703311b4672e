"""A disk that forgets: what is left of a recorded run after the power went.

A file's bytes last once they were synced, a name once its folder was synced. Of the rest anything
may be left: nothing, what came first, or any part of it, down to single sectors of a write. Bytes
whose sync failed are gone from the system's cache: a later sync of the same file does not save
them, as Linux has it.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from random import Random

from tests.torture.preload import Kind
from tests.torture.trace import Phase, Record

_NEVER_LASTS = "-shm"
"""SQLite's shared memory, which it makes anew."""


class Mercy(StrEnum):
    """What a power cut leaves of what was not synced."""

    NOTHING = "nothing"
    PREFIX = "prefix"
    """Of each file and folder what came first, and part of one write."""
    SUBSET = "subset"
    """Any sectors and any names."""


@dataclass
class _Change:
    """Bytes written at a place, or a new length."""

    number: int
    offset: int
    data: bytes | None
    is_doomed: bool = False
    """Its sync failed."""


@dataclass
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[_Change] = field(default_factory=list)

    def sync(self, upto: int) -> None:
        """Make durable what came before number `upto` and was not lost by a failed sync."""
        for change in self.pending:
            if change.number < upto and not change.is_doomed:
                _apply(self.durable, change)
        self.pending = [c for c in self.pending if c.number >= upto or c.is_doomed]

    def doom(self, upto: int) -> None:
        for change in self.pending:
            change.is_doomed = change.is_doomed or change.number < upto

    def after_cut(self, mercy: Mercy, sector: int, random: Random) -> bytes:
        content = bytearray(self.durable)
        if mercy is Mercy.PREFIX and self.pending:
            kept = random.randint(0, len(self.pending))
            for change in self.pending[:kept]:
                _apply(content, change)
            for change in self.pending[kept : kept + 1]:
                _apply_some_sectors(content, change, sector, random)
        if mercy is Mercy.SUBSET:
            for change in self.pending:
                _apply_some_sectors(content, change, sector, random)
        return bytes(content)


def _apply(content: bytearray, change: _Change) -> None:
    if change.data is None:
        content[change.offset :] = bytes(max(0, change.offset - len(content)))
        return
    if len(content) < change.offset:
        content.extend(bytes(change.offset - len(content)))
    content[change.offset : change.offset + len(change.data)] = change.data


def _apply_some_sectors(content: bytearray, change: _Change, sector: int, random: Random) -> None:
    if change.data is None:
        if random.random() < 0.5:
            _apply(content, change)
        return
    start, end = change.offset, change.offset + len(change.data)
    for first in range(start - start % sector, end, sector):
        if random.random() < 0.5:
            low, high = max(first, start), min(first + sector, end)
            _apply(content, _Change(0, low, change.data[low - start : high - start]))


_Target = _File | None
"""What a name stands for; None for a folder."""


@dataclass
class _Naming:
    """Names that came and went in one call."""

    number: int
    gone: tuple[str, ...] = ()
    made: tuple[tuple[str, _Target], ...] = ()

    def apply(self, names: dict[str, _Target]) -> None:
        for name in self.gone:
            names.pop(name, None)
        for name, target in self.made:
            names[name] = target


class Disk:
    """Replays records; can be cut at any moment."""

    def __init__(self, root: Path) -> None:
        """Begin with what is under `root` now, all of it durable."""
        self._root = root.resolve()
        self._number = 0
        self._names: dict[str, _Target] = {}
        self._files: dict[int, _File] = {}
        self._begun: dict[int, int] = {}
        self._pending: dict[str, list[_Naming]] = {}
        for path in sorted(self._root.rglob("*")):
            self._names[str(path)] = None if path.is_dir() else self._known(path)
        self._durable: dict[str, _Target] = dict(self._names)
        self._steps = {
            Kind.OPEN: self._open,
            Kind.WRITE: self._write,
            Kind.TRUNCATE: self._truncate,
            Kind.SYNC: self._sync,
            Kind.RENAME: self._rename,
            Kind.LINK: self._link,
            Kind.UNLINK: self._unlink,
            Kind.MKDIR: self._make_folder,
        }

    def _known(self, path: Path) -> _File:
        file = _File(bytearray(path.read_bytes()))
        self._files[path.stat().st_ino] = file
        return file

    def replay(self, records: Iterable[Record], *, lied_about: Sequence[str] = ()) -> None:
        """Do what the records say; syncs of paths that match `lied_about` do nothing."""
        for record in records:
            self._number += 1
            is_lie = record.kind is Kind.SYNC and any(fnmatch(record.path, p) for p in lied_about)
            step = self._steps.get(record.kind)
            if step is not None and not is_lie:
                step(record)

    def _open(self, record: Record) -> None:
        file = self._files[record.inode] = _File()
        self._name(made=((record.path, file),))

    def _write(self, record: Record) -> None:
        self._change(record, record.data)

    def _truncate(self, record: Record) -> None:
        self._change(record, None)

    def _change(self, record: Record, data: bytes | None) -> None:
        file = self._files.get(record.inode)
        if file is not None:
            file.pending.append(_Change(self._number, record.offset, data))

    def _sync(self, record: Record) -> None:
        if record.phase is Phase.BEGAN:
            self._begun[record.thread] = self._number
            return
        begun = self._begun.pop(record.thread, 0)
        file = self._files.get(record.inode)
        if file is not None and record.path not in self._pending:
            (file.sync if record.phase is Phase.DONE else file.doom)(begun)
        elif record.phase is Phase.DONE:
            self._sync_folder(record.path, begun)

    def _sync_folder(self, folder: str, upto: int) -> None:
        pending = self._pending.get(folder, [])
        for naming in pending:
            if naming.number < upto:
                naming.apply(self._durable)
        self._pending[folder] = [n for n in pending if n.number >= upto]

    def _rename(self, record: Record) -> None:
        target = self._names.get(record.path)
        self._name(gone=(record.path,), made=((record.new_path, target),))

    def _link(self, record: Record) -> None:
        self._name(made=((record.new_path, self._names.get(record.path)),))

    def _unlink(self, record: Record) -> None:
        self._name(gone=(record.path,))

    def _make_folder(self, record: Record) -> None:
        self._name(made=((record.path, None),))

    def _name(self, gone: tuple[str, ...] = (), made: tuple[tuple[str, _Target], ...] = ()) -> None:
        naming = _Naming(self._number, gone, made)
        naming.apply(self._names)
        names = [*gone, *(name for name, _ in made)]
        folder = str(PurePosixPath(names[-1]).parent)
        self._pending.setdefault(folder, []).append(naming)

    def cut(self, folder: Path, *, mercy: Mercy, random: Random, sector: int = 512) -> None:
        """Write what is left into `folder`, which is to become the installation's."""
        names = self._names_after_cut(mercy, random)
        for name in sorted(names):
            if name.endswith(_NEVER_LASTS) or not _has_folders(name, names, str(self._root)):
                continue
            target, path = names[name], folder / PurePosixPath(name).relative_to(self._root)
            if target is None:
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
            else:
                _write(path, target.after_cut(mercy, sector, random))

    def _names_after_cut(self, mercy: Mercy, random: Random) -> dict[str, _Target]:
        names = dict(self._durable)
        for pending in self._pending.values():
            for naming in _kept(pending, mercy, random):
                naming.apply(names)
        return names


def _kept(pending: Sequence[_Naming], mercy: Mercy, random: Random) -> Sequence[_Naming]:
    if mercy is Mercy.NOTHING:
        return ()
    if mercy is Mercy.PREFIX:
        return pending[: random.randint(0, len(pending))]
    return [naming for naming in pending if random.random() < 0.5]


def _has_folders(name: str, names: dict[str, _Target], root: str) -> bool:
    parents = [str(parent) for parent in PurePosixPath(name).parents]
    return all(parent in names for parent in parents[: parents.index(root)])


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
