"""The keys of an installation: one key-encryption key, and one key for each purpose under it.

The key-encryption key seals everything else and is the only secret an operator has to guard: a file
of mode 0600, or later a PKCS#11 token. Purpose keys are random, kept wrapped beside it, and never
derived from one another, so that a token that gives nothing out can hold the key-encryption key.
"""

import base64
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from core.errors import ConfigurationError, CorruptionError, SealError
from core.sealing import KEY_BYTES, KeyWrapper, new_key, open_sealed, seal

KEY_FILE = "kek.key"
PURPOSES_FILE = "purposes.json"


class Purpose(StrEnum):
    """What a key is for; no key serves two purposes."""

    INDEX = "index"
    """Keyed hashes for exact look-ups; study, patient and instance keys."""
    CONTENT = "content"
    """Digests of received objects."""
    AUDIT = "audit"
    """Sealing of audit records."""
    AUDIT_SIGNING = "audit signing"
    """Ed25519 seed of the signed checkpoints."""
    PSEUDONYM = "pseudonym"
    UID = "uid"
    DATE = "date"
    RESULT = "result"
    """UIDs of result objects."""


class FileKeyWrapper:
    """A key-encryption key that is held in a file, and so in this process's memory."""

    def __init__(self, key: bytes, version: int = 1) -> None:
        self._key = key
        self._version = version

    @property
    def version(self) -> int:
        """Which key-encryption key this is."""
        return self._version

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        """Return `key` sealed under this one, bound to `context`."""
        return seal(self._key, key, context=context)

    def unwrap(self, wrapped: bytes, *, context: bytes) -> bytes:
        """Return the key that `wrap` sealed."""
        return open_sealed(self._key, wrapped, context=context)


@dataclass(frozen=True)
class Keyring:
    """Every key a role needs, opened."""

    wrapper: KeyWrapper
    version: int
    """The key version that a patient first seen now is recorded with."""
    versions: Mapping[int, Mapping[Purpose, bytes]]

    def key(self, purpose: Purpose, version: int | None = None) -> bytes:
        """Return the 32-byte key of one purpose; the newest unless a version is named.

        Raises
        ------
        CorruptionError
            If there is no such version; what was made under it cannot be made again.
        """
        wanted = self.version if version is None else version
        if wanted not in self.versions:
            raise CorruptionError(
                f"there is no key version {wanted}", remedy="Restore the keys folder"
            )
        return self.versions[wanted][purpose]

    def __repr__(self) -> str:
        return f"Keyring(version={self.version})"


def create_keys(folder: Path) -> None:
    """Make the keys of a new installation; never touches keys that are there.

    Raises
    ------
    ConfigurationError
        If the folder already holds keys.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (folder / KEY_FILE).exists() or (folder / PURPOSES_FILE).exists():
        raise ConfigurationError(
            f"{folder} already holds keys",
            remedy="Use another folder; replacing keys would make everything stored unreadable",
        )
    kek = new_key()
    wrapper = FileKeyWrapper(kek)
    wrapped = {
        purpose.value: base64.b64encode(
            wrapper.wrap(new_key(), context=_context(purpose, 1))
        ).decode()
        for purpose in Purpose
    }
    _write_secret(folder / KEY_FILE, base64.b64encode(kek) + b"\n")
    _write_secret(folder / PURPOSES_FILE, json.dumps({"1": wrapped}, indent=1).encode() + b"\n")


def load_keys(folder: Path) -> Keyring:
    """Open the keys of an installation.

    Raises
    ------
    ConfigurationError
        If a key file is missing, readable by others, damaged, or belongs to another installation.
    """
    kek = _read_key_file(folder / KEY_FILE)
    wrapper = FileKeyWrapper(kek)
    stored = _read_purposes(folder / PURPOSES_FILE)
    versions = {
        int(number): {
            purpose: _opened(wrapper, wrapped, purpose, int(number), folder) for purpose in Purpose
        }
        for number, wrapped in stored.items()
    }
    return Keyring(wrapper, max(versions), versions)


def key_faults(folder: Path) -> list[str]:
    """Say what is unsafe about the key files, for `doctor`; empty if nothing is."""
    path = folder / KEY_FILE
    if not path.exists():
        return [f"{path} is missing"]
    mode = stat.S_IMODE(path.stat().st_mode)
    return [f"{path} can be read by others (mode {mode:04o})"] if mode & 0o077 else []


def _opened(
    wrapper: KeyWrapper, stored: Mapping[str, str], purpose: Purpose, version: int, folder: Path
) -> bytes:
    try:
        wrapped = base64.b64decode(stored[purpose.value], validate=True)
        return wrapper.unwrap(wrapped, context=_context(purpose, version))
    except (KeyError, ValueError, SealError) as error:
        raise ConfigurationError(
            f"the {purpose} key in {folder / PURPOSES_FILE} does not open with {KEY_FILE}",
            remedy="Restore both files from the same backup of the keys folder",
        ) from error


def _context(purpose: Purpose, version: int) -> bytes:
    return f"purpose {purpose} {version}".encode()


def _read_key_file(path: Path) -> bytes:
    if not path.exists():
        raise ConfigurationError(
            f"the key file {path} is missing",
            remedy="Run `second-reader init`, or restore the keys folder from its backup",
        )
    faults = key_faults(path.parent)
    if faults:
        raise ConfigurationError(faults[0], remedy=f"Run `chmod 600 {path}`")
    try:
        key = base64.b64decode(path.read_bytes().strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"{path} does not hold a 256-bit key in base64",
            remedy="Restore the keys folder from its backup",
        )
    return key


def _read_purposes(path: Path) -> dict[str, dict[str, str]]:
    try:
        stored: dict[str, dict[str, str]] = json.loads(path.read_bytes())
        if not stored or not all(
            number.isdigit() and isinstance(keys, dict) for number, keys in stored.items()
        ):
            raise ValueError  # noqa: TRY301 - one remedy for every fault of this file
    except (OSError, ValueError, AttributeError):
        raise ConfigurationError(
            f"{path} is missing or damaged", remedy="Restore the keys folder from its backup"
        ) from None
    return stored


def _write_secret(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
