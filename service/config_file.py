"""config.yaml as a file that is replaced whole and durably, or not at all."""

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from archive.disk import Disk
from core.errors import ConfigurationError


def digest_of(content: bytes) -> str:
    """Return what tells one content of config.yaml from another, hex."""
    return hashlib.sha256(content).hexdigest()


@dataclass
class Draft:
    """A new content of the file; nobody sees it before `put`."""

    file: Path
    before: bytes
    """What the file held when editing began."""
    disk: Disk
    _temporary: Path | None = field(default=None, repr=False)

    @property
    def text(self) -> str:
        """What the file held, its line ends included."""
        return self.before.decode("utf-8")

    def prepare(self, text: str) -> str:
        """Write the new content beside the file, durably; return its digest.

        Raises
        ------
        ConfigurationError
            If it cannot be written there with the owner and the mode of the file.
        """
        content = text.encode("utf-8")
        self._temporary = self.file.with_name(f".{self.file.name}.{secrets.token_hex(6)}.new")
        with _told(self.file, "cannot be written anew"):
            descriptor = self.disk.create(self._temporary)
            try:
                self._inherit(descriptor)
                self.disk.write(descriptor, content)
                self.disk.fsync(descriptor)
            finally:
                self.disk.close(descriptor)
        return digest_of(content)

    def put(self) -> None:
        """Let the new content take the place of the old.

        Raises
        ------
        ConfigurationError
            If the file was changed by somebody else meanwhile, or cannot be replaced.
        """
        assert self._temporary is not None, "prepare comes first"
        with _told(self.file, "cannot be replaced"):
            if self.file.read_bytes() != self.before:
                raise ConfigurationError(
                    f"{self.file} was changed by somebody else meanwhile",
                    remedy="Give the command again",
                )
            self.disk.rename(self._temporary, self.file)
            self._temporary = None
            self.disk.fsync_folder(self.file.parent)

    def discard(self) -> None:
        """Remove a new content that was not put; nothing happens if there is none."""
        if self._temporary is not None:
            self.disk.unlink(self._temporary)

    def _inherit(self, descriptor: int) -> None:
        """Give the new file the owner and the mode of the old."""
        old, new = self.file.stat(), os.fstat(descriptor)
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            os.fchown(descriptor, old.st_uid, old.st_gid)
        os.fchmod(descriptor, old.st_mode & 0o7777)


@contextmanager
def editing(config_file: Path, disk: Disk | None = None) -> Iterator[Draft]:
    """Read the file and keep others from editing it by this way until the end.

    Raises
    ------
    ConfigurationError
        If it cannot be read, or another command is editing it.
    """
    file = config_file.resolve()  # what a link leads to is replaced, and the link stays
    with _told(file, "cannot be changed"), _locked(file.parent):
        draft = Draft(file, file.read_bytes(), disk or Disk())
        try:
            yield draft
        finally:
            draft.discard()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder: the file itself is replaced, and a lock would go with it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"another command is changing the configuration in {folder}",
                remedy="Give the command again",
            ) from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _told(file: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{file} {what} ({error.strerror or type(error).__name__})",
            remedy="Run the command as the owner of the file, where its folder can be written; "
            "or edit the file by hand",
        ) from None
