"""One sync of a folder serves all who asked before it began."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from archive.disk import Disk
from archive.errors import DiskError
from archive.folders import FolderSync


@dataclass
class SlowDisk(Disk):
    """Syncs folders only when it is let; notes what was in them when each sync began."""

    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    let: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    seen: list[set[str]] = field(default_factory=list)
    fails: set[int] = field(default_factory=set)

    def fsync_folder(self, folder: Path) -> None:
        number = len(self.seen)
        self.seen.append({path.name for path in folder.iterdir()})
        self.begun.release()
        assert self.let.acquire(timeout=10)
        if number in self.fails:
            raise OSError(5, "as the test wants it")


@dataclass
class Named:
    """A file that got its name, and the thread that waits for the folder's sync."""

    name: str
    thread: threading.Thread
    error: Exception | None = None


def _name(sync: FolderSync, folder: Path, name: str) -> Named:
    """Name a file and ask for the sync; return once it waits or its sync has begun."""

    def ask() -> None:
        try:
            sync.sync(folder)
        except DiskError as error:
            named.error = error

    (folder / name).touch()
    named = Named(name, threading.Thread(target=ask))
    waiting = sync.waiting(folder)
    named.thread.start()
    while waiting == sync.waiting(folder) and name != "first":
        named.thread.join(0.001)
    return named


def _three(tmp_path: Path, disk: SlowDisk) -> list[Named]:
    sync = FolderSync(disk)
    first = _name(sync, tmp_path, "first")
    assert disk.begun.acquire(timeout=10)
    later = [_name(sync, tmp_path, name) for name in ("second", "third")]
    disk.let.release(2)
    for named in (first, *later):
        named.thread.join(10)
        assert not named.thread.is_alive()
    return [first, *later]


def test_names_given_during_a_sync_are_served_by_the_next_one(tmp_path: Path) -> None:
    disk = SlowDisk()
    _three(tmp_path, disk)
    assert disk.seen == [{"first"}, {"first", "second", "third"}]


@pytest.mark.parametrize(("failing", "hit"), [(0, ["first"]), (1, ["second", "third"])])
def test_a_sync_that_fails_fails_for_those_it_was_to_serve(
    tmp_path: Path, failing: int, hit: list[str]
) -> None:
    disk = SlowDisk(fails={failing})
    named = _three(tmp_path, disk)
    assert [one.name for one in named if one.error is not None] == hit
    assert len(disk.seen) == 2


def test_folders_do_not_wait_for_one_another(tmp_path: Path) -> None:
    disk, folders = SlowDisk(), [tmp_path / "a", tmp_path / "b"]
    sync = FolderSync(disk)
    for folder in folders:
        folder.mkdir()
    threads = [threading.Thread(target=sync.sync, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert disk.begun.acquire(timeout=10)
    disk.let.release(2)
    for thread in threads:
        thread.join(10)
    assert len(disk.seen) == 2
