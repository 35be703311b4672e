"""Multipart forms, in whatever pieces they arrive."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

from hypothesis import given, settings
from hypothesis import strategies as st

from api.errors import MalformedBodyError
from api.form import Part, read_form
from core.errors import InputError

LIMITS = {"file": 10_000, "model": 100}


def encoded(parts: dict[str, bytes]) -> bytes:
    body = b""
    for name, content in parts.items():
        body += f'--BOUND\r\nContent-Disposition: form-data; name="{name}"\r\n'.encode()
        body += b"Content-Type: Image/JPEG; q=1\r\n\r\n" + content + b"\r\n"
    return body + b"--BOUND--\r\n"


def read(body: bytes, cuts: list[int]) -> dict[str, Part]:
    async def pieces() -> AsyncIterator[bytes]:
        edges = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
        for start, end in itertools.pairwise(edges):
            yield body[start:end]

    return asyncio.run(read_form(pieces(), boundary="BOUND", max_bytes_by_name=LIMITS))


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(sorted(LIMITS)),
        st.binary(max_size=90) | st.just(b"\r\n--BOUN") | st.just(b"\r\n--\r\n"),
        min_size=1,
    ),
    st.lists(st.integers(0, 500), max_size=9),
)
def test_a_form_reads_the_same_in_any_pieces(parts: dict[str, bytes], cuts: list[int]) -> None:
    got = read(encoded(parts), cuts)
    assert {name: part.content for name, part in got.items()} == parts
    assert {part.content_type for part in got.values()} == {"image/jpeg"}


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 300), st.lists(st.integers(0, 500), max_size=5))
def test_no_bytes_raise_anything_but_our_own(noise: bytes, at: int, cuts: list[int]) -> None:
    body = encoded({"file": b"pixels"})
    with contextlib.suppress(InputError):
        read(body[:at] + noise + body[at:], cuts)


def test_a_cut_form_is_refused_wherever_it_is_cut() -> None:
    body = encoded({"file": b"pixels"}).removesuffix(b"\r\n")
    for end in range(len(body)):
        try:
            read(body[:end], [])
        except MalformedBodyError:
            continue
        raise AssertionError(f"accepted when cut at {end}")
