"""The key of each study: one small file, wrapped by the key-encryption key.

The files lie in a folder of their own that data backups leave out, so that erasing one erases the
study for good. Many processes make keys at once: a key is written under a temporary name, synced,
and linked to its own name, which only one of them can do.
"""

import os
import secrets
import struct
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from archive.disk import Disk, Place, translated
from core.errors import ForgottenError, SealError
from core.model import StudyKey
from core.sealing import KEY_BYTES, KeyWrapper, new_key
from core.uids import keyed_digest

_HEADER = struct.Struct(">4sI")
_MAGIC = b"2RK1"
_PARTIAL = ".part"


@dataclass(frozen=True)
class StudySecrets:
    """What the key of one study opens; each purpose has a key of its own."""

    records: bytes = field(repr=False)
    objects: bytes = field(repr=False)
    identities: bytes = field(repr=False)
    """Digests by which the identities within the study are compared."""

    @classmethod
    def derive(cls, key: bytes) -> "StudySecrets":
        """Return the keys for each purpose that belong to a study's key."""
        return cls(*(keyed_digest(key, name) for name in ("records", "objects", "identities")))


class Keystore:
    """Makes, opens and forgets study keys."""

    def __init__(
        self, folder: Path, wrapper: KeyWrapper, *, disk: Disk, keys_in_memory: int = 1024
    ) -> None:
        self._folder = folder
        self._wrapper = wrapper
        self._disk = disk
        self._limit = keys_in_memory
        self._cache: OrderedDict[StudyKey, tuple[StudySecrets, str]] = OrderedDict()
        """Each with the path of its file, which is looked for before it is used again."""
        self._lock = threading.Lock()
        with translated("opening the keystore"):
            disk.make_folder(folder)
            self._place = Place(folder)

    def obtain(self, study_key: StudyKey) -> StudySecrets:
        """Return the study's keys, made now if it has none; they survive a power cut.

        Raises
        ------
        ForgottenError
            If the study was forgotten.
        """
        cached = self._cached(study_key)
        if cached is not None:
            return cached
        path = self._path(study_key)
        with translated("making a study key"):
            if not path.exists():
                self._make(study_key, path)
            # Another process may have made the key and not have synced its name yet.
            self._disk.fsync_folder(path.parent)
        return self._load(study_key, path)

    def get(self, study_key: StudyKey) -> StudySecrets:
        """Return the keys of a study that has some.

        Raises
        ------
        ForgottenError
            If it has none: it was forgotten.
        """
        return self._cached(study_key) or self._load(study_key, self._path(study_key))

    def forget(self, study_key: StudyKey) -> None:
        """Erase the study's key for good; to repeat it changes nothing."""
        path = self._path(study_key)
        with translated("erasing a study key"):
            self._disk.make_folder(path.parent)
            self._mark_forgotten(study_key)
            self._overwrite(path)
            self._disk.unlink(path)
            self._disk.fsync_folder(path.parent)
        with self._lock:
            self._cache.pop(study_key, None)

    def remove_leftovers(self, *, older_than: float) -> int:
        """Remove what processes that died left behind them; return how many files.

        `older_than` is in seconds since 1970, as files count.
        """
        removed = 0
        with translated("tidying the keystore"):
            for path in self._folder.glob(f"*/*{_PARTIAL}"):
                try:
                    is_old = path.stat().st_mtime < older_than
                except FileNotFoundError:
                    continue
                if is_old:
                    self._disk.unlink(path)
                    removed += 1
        return removed

    def _path(self, study_key: StudyKey) -> Path:
        return self._folder / study_key[:2] / f"{study_key}.key"

    def _tombstone(self, study_key: StudyKey) -> Path:
        return self._folder / study_key[:2] / f"{study_key}.forgotten"

    def _cached(self, study_key: StudyKey) -> StudySecrets | None:
        with self._lock:
            cached = self._cache.get(study_key)
            if cached is None:
                return None
            self._cache.move_to_end(study_key)
        secrets_, path = cached
        if os.path.exists(path):  # noqa: PTH110 - for every object, and pathlib takes its time
            return secrets_
        with translated("reading a study key"):
            self._place.require()
        with self._lock:  # another process has forgotten it
            self._cache.pop(study_key, None)
        raise _forgotten(study_key)

    def _make(self, study_key: StudyKey, path: Path) -> None:
        self._place.require()  # or the key that a missing disk holds would get a rival
        self._disk.make_folder(path.parent)
        if self._tombstone(study_key).exists():
            raise _forgotten(study_key)
        wrapped = self._wrapper.wrap(new_key(), context=_context(study_key))
        temporary = path.with_name(f"{study_key}.{secrets.token_hex(8)}{_PARTIAL}")
        try:
            self._write(temporary, _HEADER.pack(_MAGIC, self._wrapper.version) + wrapped)
            try:
                self._disk.link(temporary, path)
            except FileExistsError:
                return  # another thread or process was faster, and its key counts
        finally:
            self._disk.unlink(temporary)
        if self._tombstone(study_key).exists():  # forgotten since we looked
            self._disk.unlink(path)
            raise _forgotten(study_key)

    def _load(self, study_key: StudyKey, path: Path) -> StudySecrets:
        with translated("reading a study key"):
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                self._place.require()
                raise _forgotten(study_key) from None
        if len(content) <= _HEADER.size or content[:4] != _MAGIC:
            raise SealError(f"the key file of study {study_key} is damaged")
        key = self._wrapper.unwrap(content[_HEADER.size :], context=_context(study_key))
        if len(key) != KEY_BYTES:
            raise SealError(f"the key of study {study_key} is not of 256 bits")
        derived = StudySecrets.derive(key)
        with self._lock:
            self._cache[study_key] = derived, str(path)
            while len(self._cache) > self._limit:
                self._cache.popitem(last=False)
        return derived

    def _write(self, path: Path, content: bytes) -> None:
        descriptor = self._disk.create(path)
        try:
            self._disk.write(descriptor, content)
            self._disk.fsync(descriptor)
        finally:
            self._disk.close(descriptor)

    def _mark_forgotten(self, study_key: StudyKey) -> None:
        tombstone = self._tombstone(study_key)
        try:
            self._disk.close(self._disk.create(tombstone))
        except FileExistsError:
            return
        self._disk.fsync_folder(tombstone.parent)

    def _overwrite(self, path: Path) -> None:
        """Make the old bytes harder to find on a disk that writes in place."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            self._disk.write(descriptor, bytes(os.fstat(descriptor).st_size))
            self._disk.fsync(descriptor)
        finally:
            self._disk.close(descriptor)


def _context(study_key: StudyKey) -> bytes:
    return f"study key {study_key}".encode()


def _forgotten(study_key: StudyKey) -> ForgottenError:
    return ForgottenError(f"study {study_key} was forgotten; its key is erased")
