"""Sealed object files: written once, durable before they are named, verified on every read.

A file has a random name that is bound to its content, so that neither two writers of the same
object nor two swapped files can be taken for one another.
"""

import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from archive.disk import Disk, Place, translated
from archive.errors import DiskError, MissingObjectError
from archive.folders import FolderSync
from core.errors import UnavailableError
from core.sealing import StreamSealer, open_stream

PARTIAL = ".part"
_NAME_LENGTH = 32
_WRITE_BYTES = 256 * 1024
_FILED_TOGETHER = 64


class BlobWriter:
    """Seals one object while it arrives. Nothing of it counts before `commit` has returned."""

    def __init__(
        self, final: Path, disk: Disk, sealer: StreamSealer, *, folders: FolderSync
    ) -> None:
        self.name = final.name
        self.size_bytes = 0
        """Of the plaintext, so far."""
        self._final = final
        self._partial = final.with_name(final.name + PARTIAL)
        self._disk = disk
        self._folders = folders
        self._sealer = sealer
        self._pending = [sealer.header]
        self._pending_bytes = len(sealer.header)
        self._descriptor: int | None = None
        with translated("creating an object"):
            self._descriptor = disk.create(self._partial)

    def write(self, plaintext: bytes | memoryview) -> None:
        """Take more of the object."""
        self.size_bytes += len(plaintext)
        for chunk in self._sealer.chunks(plaintext):
            self._add(chunk)
            if self._pending_bytes >= _WRITE_BYTES:
                self._flush()

    def commit(self) -> None:
        """Return once the whole object has its name and survives a power cut.

        Raises
        ------
        DiskFullError, DiskError
            Then nothing of the object counts and the writer is spent: a file whose sync failed is
            never synced again, because the system may have dropped what it could not write.
        """
        self._add(self._sealer.finish())
        self._flush()
        try:
            with translated("syncing an object"):
                self._disk.fsync(self._open_descriptor())
        except UnavailableError:
            self.discard()
            raise
        with translated("naming an object"):
            self._close()
            self._disk.rename(self._partial, self._final)
            self._folders.sync(self._final.parent)

    def discard(self) -> None:
        """Leave nothing of an object whose `commit` did not return."""
        with translated("discarding an object"):
            self._close()
            self._disk.unlink(self._partial)
            self._disk.unlink(self._final)

    def _add(self, sealed: bytes) -> None:
        self._pending.append(sealed)
        self._pending_bytes += len(sealed)

    def _flush(self) -> None:
        with translated("writing an object"):
            self._disk.write(self._open_descriptor(), b"".join(self._pending))
        self._pending, self._pending_bytes = [], 0

    def _open_descriptor(self) -> int:
        if self._descriptor is None:
            raise DiskError("an object that failed cannot be written any further")
        return self._descriptor

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._disk.close(descriptor)


@dataclass(frozen=True)
class BlobFile:
    """One file as it lies on the disk."""

    path: Path
    modified_at: float
    """Seconds since 1970."""

    @property
    def name(self) -> str:
        """The object's name."""
        return self.path.name.removesuffix(PARTIAL)

    @property
    def is_partial(self) -> bool:
        """Whether it was never finished."""
        return self.path.name.endswith(PARTIAL)


class _Filing:
    """Names new objects, those of one moment into one folder: so their names are synced together.

    Beyond the first two characters names are random, and cannot be foretold.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._prefix = ""
        self._left = 0

    def new_name(self) -> str:
        with self._lock:
            if self._left == 0:
                self._prefix, self._left = secrets.token_hex(1), _FILED_TOGETHER
            self._left -= 1
            prefix = self._prefix
        return prefix + secrets.token_hex(_NAME_LENGTH // 2 - 1)


class BlobStore:
    """All sealed objects of an installation, in 256 folders."""

    def __init__(self, folder: Path, *, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self._folders = FolderSync(disk)
        self._filing = _Filing()
        with translated("opening the folder of objects"):
            disk.make_folders(folder, self.prefixes())
            self._place = Place(folder)

    def create(self, key: bytes) -> BlobWriter:
        """Start a new object under the object key of its study."""
        name = self._filing.new_name()
        sealer = StreamSealer(key, context=_context(name))
        return BlobWriter(self._path(name), self._disk, sealer, folders=self._folders)

    def put(self, key: bytes, content: bytes) -> BlobWriter:
        """Store a whole object durably; return its writer, which knows its name and size."""
        writer = self.create(key)
        try:
            writer.write(content)
            writer.commit()
        except UnavailableError:
            writer.discard()
            raise
        return writer

    def open(self, name: str, key: bytes) -> Iterator[bytes]:
        """Yield the object's plaintext, each piece only after it was verified.

        Raises
        ------
        MissingObjectError
            If there is no such file.
        SealError
            At the first piece that is not what was written.
        DiskError
            If it cannot be read now, or the whole folder is gone: that says nothing of the object.
        """
        with translated("reading an object"):
            try:
                source = self._path(name).open("rb")
            except FileNotFoundError:
                self._place.require()  # a disk that is gone says nothing of what is on it
                raise MissingObjectError(
                    f"the sealed object {name} is missing",
                    remedy="Restore it from a backup of `archive.folder`",
                ) from None
        with source, translated("reading an object"):
            yield from open_stream(key, source, context=_context(name))

    def read(self, name: str, key: bytes) -> bytes:
        """Return the object's plaintext, verified to its end."""
        return b"".join(self.open(name, key))

    def delete(self, name: str) -> None:
        """Remove an object, if it is there."""
        with translated("removing an object"):
            self._disk.unlink(self._path(name))

    def prefixes(self) -> Iterator[str]:
        """Yield the first characters by which objects are filed."""
        return (f"{number:02x}" for number in range(256))

    def files(self, prefix: str) -> tuple[BlobFile, ...]:
        """Return every file below one prefix, finished or not."""
        found: list[BlobFile] = []
        with translated("listing objects"):
            for path in (self._folder / prefix).iterdir():
                try:
                    found.append(BlobFile(path, path.stat().st_mtime))
                except FileNotFoundError:
                    continue  # finished or removed since it was listed
        return tuple(found)

    def remove(self, file: BlobFile) -> None:
        """Remove a file that nobody needs."""
        with translated("removing a file that nobody names"):
            self._disk.unlink(file.path)

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name


def _context(name: str) -> bytes:
    return f"object {name}".encode()
