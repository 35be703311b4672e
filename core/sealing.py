"""Authenticated encryption of everything we keep: small records and streamed objects.

A *record* is sealed whole with AES-256-GCM. An *object* is sealed in chunks under a data key of its
own, so that it can be written while it arrives and read from the middle; a counter and a last-chunk
flag in each nonce make a swapped, missing or added chunk fail, and the header (which carries the
wrapped data key and a commitment to it) is bound to every chunk.

    object  = header, chunk 0, chunk 1, ..., last chunk
    header  = magic (4) | chunk size (4) | wrapped data key (60) | commitment (32)
    chunk i = AES-256-GCM(data key, nonce, aad = SHA-256(header | context))
    nonce   = 0 (7) | i (4) | last (1)

Source: NIST SP 800-38D; the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizar 2015).
"""

import hashlib
import hmac
import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.errors import SealError

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
CHUNK_BYTES = 256 * 1024
MAGIC = b"2RS1"
_WRAPPED_BYTES = NONCE_BYTES + KEY_BYTES + TAG_BYTES
_HEADER = struct.Struct(f">4sI{_WRAPPED_BYTES}s32s")
HEADER_BYTES = _HEADER.size


class KeyWrapper(Protocol):
    """A key-encryption key that may live where we cannot read it (file, PKCS#11 token)."""

    @property
    def version(self) -> int:
        """Which key-encryption key this is; recorded beside everything it wraps."""

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        """Return `key` sealed under the key-encryption key, bound to `context`."""

    def unwrap(self, wrapped: bytes, *, context: bytes) -> bytes:
        """Return the key that `wrap` sealed; SealError if it was not sealed so."""


def new_key() -> bytes:
    """Return a fresh random 256-bit key."""
    return os.urandom(KEY_BYTES)


def seal(key: bytes, plaintext: bytes, *, context: bytes) -> bytes:
    """Seal one record; `context` says what it is, is bound to it, and is not stored."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, context)


def open_sealed(key: bytes, sealed: bytes, *, context: bytes) -> bytes:
    """Open what `seal` made.

    Raises
    ------
    SealError
        If the record, the key or the context is not the one it was sealed with.
    """
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
    except (InvalidTag, ValueError) as error:
        raise SealError("a sealed record was changed or belongs to another key") from error


class StreamSealer:
    """Seals an object of unknown length while it arrives.

    Write `header` first, then what each `update` returns, then what `finish` returns.
    """

    def __init__(self, study_key: bytes, *, context: bytes, chunk_bytes: int = CHUNK_BYTES) -> None:
        data_key = new_key()
        self.header = _HEADER.pack(
            MAGIC, chunk_bytes, seal(study_key, data_key, context=context), _commitment(data_key)
        )
        self._cipher = AESGCM(data_key)
        self._aad = hashlib.sha256(self.header + context).digest()
        self._chunk_bytes = chunk_bytes
        self._pending = bytearray()
        self._counter = 0

    def update(self, plaintext: bytes | memoryview) -> bytes:
        """Take more plaintext; return the chunks that are now known not to be last, sealed."""
        return b"".join(self.chunks(plaintext))

    def chunks(self, plaintext: bytes | memoryview) -> list[bytes]:
        """Do as `update` does, without joining the chunks; copies no more than one of them."""
        sealed: list[bytes] = []
        size, pending = self._chunk_bytes, self._pending
        with memoryview(plaintext) as view:
            start = size - len(pending) if pending else 0
            if len(view) <= start or (not pending and len(view) <= size):
                pending += view
                return sealed
            if pending:
                pending += view[:start]
                sealed.append(self._chunk(pending, last=False))
                pending.clear()
            while len(view) - start > size:
                sealed.append(self._chunk(view[start : start + size], last=False))
                start += size
            pending += view[start:]
        return sealed

    def finish(self) -> bytes:
        """Return the last chunk; the sealer is spent."""
        sealed = self._chunk(self._pending, last=True)
        self._pending.clear()
        return sealed

    def _chunk(self, plaintext: bytes | bytearray | memoryview, *, last: bool) -> bytes:
        nonce = _nonce(self._counter, last=last)
        self._counter += 1
        return self._cipher.encrypt(nonce, plaintext, self._aad)


def open_stream(study_key: bytes, source: BinaryIO, *, context: bytes) -> Iterator[bytes]:
    """Yield the plaintext of an object, each chunk only after its tag was checked.

    Raises
    ------
    SealError
        At the first chunk that was changed, swapped, cut off or added, or if the header was.
    """
    header = source.read(HEADER_BYTES)
    cipher, chunk_bytes = _open_header(study_key, header, context)
    aad = hashlib.sha256(header + context).digest()
    counter = 0
    chunk = source.read(chunk_bytes + TAG_BYTES)
    while True:
        following = source.read(chunk_bytes + TAG_BYTES)
        try:
            yield cipher.decrypt(_nonce(counter, last=not following), chunk, aad)
        except (InvalidTag, ValueError) as error:
            raise SealError(f"chunk {counter} of a sealed object was changed or cut") from error
        if not following:
            return
        chunk = following
        counter += 1


def _open_header(study_key: bytes, header: bytes, context: bytes) -> tuple[AESGCM, int]:
    if len(header) != HEADER_BYTES:
        raise SealError("a sealed object is shorter than its header")
    magic, chunk_bytes, wrapped, commitment = _HEADER.unpack(header)
    if magic != MAGIC or not 0 < chunk_bytes <= 2**26:
        raise SealError("this is not a sealed object of a version we know")
    data_key = open_sealed(study_key, wrapped, context=context)
    if not hmac.compare_digest(commitment, _commitment(data_key)):
        raise SealError("the header of a sealed object does not belong to its key")
    return AESGCM(data_key), chunk_bytes


def _commitment(data_key: bytes) -> bytes:
    return hmac.digest(data_key, b"second-reader object key commitment 1", "sha256")


def _nonce(counter: int, *, last: bool) -> bytes:
    return bytes(7) + counter.to_bytes(4, "big") + (b"\x01" if last else b"\x00")
