"""Sealing: what was sealed opens, and nothing else does."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import SealError
from core.sealing import (
    HEADER_BYTES,
    TAG_BYTES,
    StreamSealer,
    new_key,
    open_sealed,
    open_stream,
    seal,
)

CHUNK = 64


def sealed_object(key: bytes, plaintext: bytes, *, context: bytes = b"object 1") -> bytes:
    sealer = StreamSealer(key, context=context, chunk_bytes=CHUNK)
    return sealer.header + sealer.update(plaintext) + sealer.finish()


def opened(key: bytes, sealed: bytes, *, context: bytes = b"object 1") -> bytes:
    return b"".join(open_stream(key, BytesIO(sealed), context=context))


@given(st.binary(max_size=5 * CHUNK), st.lists(st.integers(1, 3 * CHUNK), max_size=5))
def test_a_sealed_object_opens_however_it_arrived(plaintext: bytes, cuts: list[int]) -> None:
    key, position = new_key(), 0
    sealer = StreamSealer(key, context=b"object 1", chunk_bytes=CHUNK)
    sealed = bytearray(sealer.header)
    for cut in cuts:
        sealed += sealer.update(plaintext[position : position + cut])
        position += cut
    sealed += sealer.update(plaintext[position:]) + sealer.finish()
    assert opened(key, bytes(sealed)) == plaintext


def test_any_flipped_byte_of_a_sealed_object_is_refused() -> None:
    key = new_key()
    sealed = sealed_object(key, bytes(range(200)))
    for position in range(len(sealed)):
        mutant = bytearray(sealed)
        mutant[position] ^= 1
        with pytest.raises(SealError):
            opened(key, bytes(mutant))


def test_a_cut_object_is_refused_at_every_length() -> None:
    key = new_key()
    sealed = sealed_object(key, bytes(3 * CHUNK))
    for length in range(len(sealed)):
        with pytest.raises(SealError):
            opened(key, sealed[:length])


def test_swapped_chunks_are_refused() -> None:
    key, size = new_key(), CHUNK + TAG_BYTES
    sealed = sealed_object(key, bytes(3 * CHUNK))
    head, body = sealed[:HEADER_BYTES], sealed[HEADER_BYTES:]
    swapped = head + body[size : 2 * size] + body[:size] + body[2 * size :]
    with pytest.raises(SealError):
        opened(key, swapped)


def test_an_object_does_not_open_under_the_name_of_another() -> None:
    key = new_key()
    with pytest.raises(SealError):
        opened(key, sealed_object(key, b"x"), context=b"object 2")


def test_a_record_opens_only_in_its_context() -> None:
    key = new_key()
    sealed = seal(key, b"identity", context=b"study 1")
    assert open_sealed(key, sealed, context=b"study 1") == b"identity"
    with pytest.raises(SealError):
        open_sealed(key, sealed, context=b"study 2")


def test_no_plaintext_is_in_what_is_sealed() -> None:
    assert b"MARKER" not in sealed_object(new_key(), b"MARKER" * 100)
