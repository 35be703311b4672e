"""The few things we ask of a disk, and how its faults sound in our errors.

Everything that must be durable goes through here, so that a test can make any call fail.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from archive.errors import DiskError, DiskFullError

FILE_MODE = 0o600
FOLDER_MODE = 0o700
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Disk:
    """The real disk. Its errors are `OSError`s; `translated` turns them into ours."""

    def create(self, path: Path) -> int:
        """Make a new file and return its descriptor; FileExistsError if it is there."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)

    def write(self, descriptor: int, content: bytes) -> None:
        """Write all of `content`."""
        with memoryview(content) as view:
            start = 0
            while start < len(view):
                start += os.write(descriptor, view[start:])

    def fsync(self, descriptor: int) -> None:
        """Return once what was written survives a power cut."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a file."""
        os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file its final name."""
        old.rename(new)

    def link(self, old: Path, new: Path) -> None:
        """Give a file a second name; FileExistsError if that is taken."""
        os.link(old, new)

    def unlink(self, path: Path) -> None:
        """Remove a file, if it is there."""
        path.unlink(missing_ok=True)

    def fsync_folder(self, folder: Path) -> None:
        """Return once the names in `folder` survive a power cut."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def make_folder(self, folder: Path) -> None:
        """Make a folder and every missing one above it, durably."""
        if folder.is_dir():
            return
        self.make_folder(folder.parent)
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        self.fsync_folder(folder.parent)

    def make_folders(self, folder: Path, names: Iterable[str]) -> None:
        """Make many folders below one, durably, even if another process made them just now."""
        self.make_folder(folder)
        for name in names:
            (folder / name).mkdir(mode=FOLDER_MODE, exist_ok=True)
        self.fsync_folder(folder)


class Place:
    """A folder that is there, to be told from what shows in its place when its disk is gone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._identity = _identity(folder)

    def require(self) -> None:
        """Return if the folder is the one that was there; else raise FileNotFoundError."""
        if _identity(self._folder) != self._identity:
            raise FileNotFoundError(errno.ENOENT, "another folder is in its place")


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise one of our errors for any fault of the disk; `what` says what was being done."""
    try:
        yield
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "unknown fault")
        if error.errno in _FULL:
            raise DiskFullError(
                f"the disk is full ({name}) while {what}",
                remedy="Free space on the disk of `archive.folder`; the sender may try again",
            ) from error
        raise DiskError(
            f"the disk failed ({name}) while {what}",
            remedy="Look at the system log and the disk of `archive.folder`",
        ) from error
