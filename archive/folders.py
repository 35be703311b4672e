"""Make the names in a folder durable, once for all files that were named at the same time."""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from archive.disk import Disk, translated
from archive.group import Group


class FolderSync:
    """Syncs folders; safe for many threads at once."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._lock = threading.Lock()
        self._groups: dict[Path, Group[Path]] = {}

    def sync(self, folder: Path) -> None:
        """Return once every name that `folder` has now survives a power cut.

        One sync serves all who asked for it before it began. Whoever asks while one is running
        waits for the next, because that one may have begun before their file had its name.

        Raises
        ------
        DiskFullError, DiskError
            If it failed; so it is for all whom it was to serve, and nobody repeats it.
        """
        self._group(folder).do(folder)

    def waiting(self, folder: Path) -> int:
        """Return how many wait for the next sync of a folder."""
        return self._group(folder).waiting

    def _group(self, folder: Path) -> Group[Path]:
        with self._lock:
            group = self._groups.get(folder)
            if group is None:
                group = self._groups[folder] = Group(self._sync, most=sys.maxsize)
            return group

    def _sync(self, folders: Sequence[Path]) -> None:
        with translated("naming an object"):
            self._disk.fsync_folder(folders[0])
