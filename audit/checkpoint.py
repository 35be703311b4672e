"""Signed statements "the log was this long and ended so", as text that a person can keep.

    second-reader/site-a
    1042
    fRZbT3X2...=
    time 2026-11-20T10:30:00+00:00

    — second-reader/site-a 1pV2mQ...=

Source: C2SP tlog-checkpoint and signed-note; the time is an extension line of ours.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from audit.errors import CheckpointError
from audit.tree import HASH_BYTES
from core.errors import ConfigurationError, NotFoundError

ORIGIN_PREFIX = "second-reader/"
_DASH = "\N{EM DASH} "
_ED25519 = b"\x01"
_TIME = "time "
_TEXT_LINES = 4
_SIGNATURE_BYTES = 4 + 64


@dataclass(frozen=True)
class Checkpoint:
    """How long the log was at a moment, and the root of its tree."""

    origin: str
    """Which log; another installation's log has another origin."""
    size: int
    root: bytes
    time: datetime

    def text(self) -> str:
        """Return what is signed."""
        root = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\n{_TIME}{self.time.isoformat()}\n"


@dataclass(frozen=True)
class Signer:
    """The key that signs for one log."""

    origin: str
    key: Ed25519PrivateKey

    @classmethod
    def of(cls, source_id: str, private_bytes: bytes) -> "Signer":
        """Return the signer of one installation from its 32 private bytes."""
        key = Ed25519PrivateKey.from_private_bytes(private_bytes)
        return cls(ORIGIN_PREFIX + source_id, key)

    @property
    def public_key(self) -> Ed25519PublicKey:
        """What others need to check the signatures."""
        return self.key.public_key()

    def sign(self, text: str) -> str:
        """Return the text as a signed note."""
        signature = _key_id(self.origin, self.public_key) + self.key.sign(text.encode())
        return f"{text}\n{_DASH}{self.origin} {base64.b64encode(signature).decode()}\n"


def read_note(note: str, public_key: Ed25519PublicKey) -> str:
    """Return the text of a signed note; signatures of other keys are ignored.

    Raises
    ------
    CheckpointError
        If it is no note, or not signed by this key.
    """
    text, separator, signatures = note.rpartition("\n\n")
    text += "\n"
    if not separator:
        raise CheckpointError("a signed note has no signature")
    for line in signatures.split("\n"):
        signature = _signature(line)
        if signature[:4] == _key_id(_signer_name(line), public_key):
            return _checked(text, signature[4:], public_key)
    raise CheckpointError("a signed note is not signed by the key given")


def read_checkpoint(note: str, public_key: Ed25519PublicKey) -> Checkpoint:
    """Return the checkpoint in a signed note.

    Raises
    ------
    CheckpointError
        If it is no checkpoint, or not signed by this key.
    """
    lines = read_note(note, public_key).split("\n")[:-1]
    try:
        origin, size, root, time = lines
        return _plausible(
            Checkpoint(
                origin,
                int(size),
                base64.b64decode(root, validate=True),
                datetime.fromisoformat(time.removeprefix(_TIME)),
            ),
            lines,
        )
    except ValueError:
        raise CheckpointError("a signed note is no checkpoint") from None


def split_checkpoints(text: str) -> Iterator[str]:
    """Yield the signed checkpoints that stand one after another in a file.

    Anything else is passed over: the beginning of a note whose end a crash cut off, on a medium
    that only ever grows.
    """
    lines = text.split("\n")[:-1]
    for at, line in enumerate(lines):
        if at > _TEXT_LINES and not lines[at - 1] and len(_signature(line)) >= _SIGNATURE_BYTES:
            yield "\n".join((*lines[at - 1 - _TEXT_LINES : at + 1], ""))


def read_outside(
    path: Path, public_key: Ed25519PublicKey
) -> tuple[tuple[Checkpoint, ...], tuple[str, ...]]:
    """Return the checkpoints of a file that was kept outside, and what is wrong with the others.

    Raises
    ------
    NotFoundError
        If the file cannot be read.
    """
    try:
        text = path.read_bytes().decode(errors="replace")
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read ({error.strerror})") from None
    signed, faults = [], []
    for number, note in enumerate(split_checkpoints(text)):
        try:
            signed.append(read_checkpoint(note, public_key))
        except CheckpointError as error:
            faults.append(f"checkpoint {number} of {path}: {error}")
    if not signed and not faults:
        faults.append(f"{path} holds no checkpoint")
    return tuple(signed), tuple(faults)


def load_checkpoints(path: Path, public_key: Ed25519PublicKey) -> list[Checkpoint]:
    """Return all checkpoints of a file that was kept outside.

    Raises
    ------
    CheckpointError
        If one of them is not signed by this key, or there is none.
    NotFoundError
        If the file cannot be read.
    """
    checkpoints, faults = read_outside(path, public_key)
    if faults:
        raise CheckpointError(faults[0])
    return list(checkpoints)


def public_key_pem(key: Ed25519PublicKey) -> bytes:
    """Return a public key as PEM."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def load_public_key(pem: bytes) -> Ed25519PublicKey:
    """Read a public key from PEM.

    Raises
    ------
    ConfigurationError
        If it is no Ed25519 public key.
    """
    try:
        key = load_pem_public_key(pem)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigurationError(
            "this is no Ed25519 public key in PEM",
            remedy="Use the copy of audit-public-key.pem that was kept when the log was made",
        )
    return key


def _plausible(checkpoint: Checkpoint, lines: list[str]) -> Checkpoint:
    is_whole = (
        checkpoint.size >= 0
        and len(checkpoint.root) == HASH_BYTES
        and checkpoint.time.utcoffset() is not None
        and lines == checkpoint.text().split("\n")[:-1]
    )
    if not is_whole:
        raise CheckpointError("a signed note is no checkpoint")
    return checkpoint


def _checked(text: str, signature: bytes, public_key: Ed25519PublicKey) -> str:
    try:
        public_key.verify(signature, text.encode())
    except InvalidSignature:
        raise CheckpointError("a signed note was changed after it was signed") from None
    return text


def _key_id(name: str, public_key: Ed25519PublicKey) -> bytes:
    raw = public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + raw).digest()[:4]


def _signer_name(line: str) -> str:
    return line.removeprefix(_DASH).partition(" ")[0]


def _signature(line: str) -> bytes:
    """Return key id and signature of a signature line; nothing if it is none."""
    encoded = line.removeprefix(_DASH).partition(" ")[2] if line.startswith(_DASH) else ""
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return b""
