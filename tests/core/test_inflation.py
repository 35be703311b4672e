"""Deflated data sets: whole in any pieces, bounded in length and in ratio, and nothing behind."""

import random
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dataset_stream import DataSetScanner
from core.errors import MalformedInstanceError
from core.inflation import PIECE_BYTES, Inflater, InflationError, inflated
from core.limits import DataSetLimits
from core.model import Instance
from tests.support.builders import ct_image, encoded

DEFLATED = "1.2.840.10008.1.2.1.99"
MIB = 1024 * 1024


def deflate(content: bytes) -> bytes:
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return compressor.compress(content) + compressor.flush()


def bomb(mebibytes: int) -> bytes:
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    zeros = bytes(MIB)
    pieces = [compressor.compress(zeros) for _ in range(mebibytes)]
    return b"".join([*pieces, compressor.flush()])


def scan(body: bytes, piece: int = 1 << 20, limits: DataSetLimits | None = None) -> DataSetScanner:
    scanner = DataSetScanner(DEFLATED, limits)
    for start in range(0, len(body), piece):
        scanner.feed(body[start : start + piece])
    return scanner


@pytest.mark.parametrize("piece", [1, 7, 1000, 1 << 20])
def test_the_index_is_that_of_the_data_set_however_the_bytes_arrive(piece: int) -> None:
    image = ct_image()
    leading = scan(deflate(encoded(image)), piece).finish()
    assert Instance.parse(leading, transfer_syntax_uid=DEFLATED) == Instance.parse(
        image, transfer_syntax_uid=DEFLATED
    )


@given(st.binary(max_size=3000), st.integers(1, 500))
def test_what_was_deflated_comes_out_again(content: bytes, piece: int) -> None:
    body, inflater = deflate(content), Inflater()
    pieces = [
        made
        for start in range(0, len(body), piece)
        for made in inflater.pieces(body[start : start + piece])
    ]
    inflater.finish()
    assert b"".join(pieces) == content == inflated(body).read()


def test_no_piece_is_longer_than_one_may_be() -> None:
    body = deflate(bytes(10 * MIB))
    lengths = [len(piece) for piece in Inflater().pieces(body)]
    assert sum(lengths) == 10 * MIB
    assert max(lengths) == PIECE_BYTES


def test_a_stream_that_is_cut_is_refused() -> None:
    body = deflate(encoded(ct_image()))
    with pytest.raises(MalformedInstanceError, match="cut off"):
        scan(body[:-3]).finish()


@pytest.mark.parametrize("behind", [b"", b"\0"])
def test_one_padding_byte_may_follow(behind: bytes) -> None:
    body = deflate(encoded(ct_image())) + behind
    assert scan(body).finish().SOPClassUID
    assert scan(body, piece=1).finish().SOPClassUID


@pytest.mark.parametrize("behind", [b"\0\0", b"x", b"\0x", b"<html>" * 100])
@pytest.mark.parametrize("piece", [1, 1 << 20])
def test_anything_else_behind_the_stream_is_refused(behind: bytes, piece: int) -> None:
    body = deflate(encoded(ct_image()))
    with pytest.raises(MalformedInstanceError, match="follow the end"):
        scan(body + behind, piece).finish()


@pytest.mark.parametrize("piece", [1, 1 << 20])
def test_the_check_sum_that_some_writers_leave_may_follow_if_it_is_right(piece: int) -> None:
    """pydicom's own example of a deflated object ends so (RFC 1952)."""
    whole = encoded(ct_image())
    trailer = struct.pack("<LL", zlib.crc32(whole), len(whole))
    assert scan(deflate(whole) + trailer, piece).finish().SOPClassUID
    for wrong in (trailer[::-1], trailer[:7], trailer + b"\0\0"):
        with pytest.raises(MalformedInstanceError, match="follow the end"):
            scan(deflate(whole) + wrong, piece).finish()


def test_what_is_no_deflate_stream_is_refused() -> None:
    for body in (encoded(ct_image()), zlib.compress(encoded(ct_image())), b"\xff" * 50):
        with pytest.raises(MalformedInstanceError, match="no deflate stream"):
            scan(body)


def test_a_bomb_is_refused_by_its_ratio_and_costs_no_memory() -> None:
    """0.41 MB on the wire that would be 400 MiB in memory."""
    body = bomb(400)
    assert len(body) < 420_000
    inflater = Inflater()
    tracemalloc.start()
    with pytest.raises(InflationError, match="100 times") as raised:
        for _ in inflater.pieces(body):
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "archive.max_inflation_ratio" in raised.value.remedy
    assert peak < 8 * MIB


def test_a_bomb_whose_data_set_is_sound_is_refused_as_well() -> None:
    head = encoded(ct_image(attributes={"PixelData": None}))
    length = 400 * MIB
    pixels = b"\xe0\x7f\x10\x00OW\0\0" + length.to_bytes(4, "little") + bytes(length)
    with pytest.raises(InflationError):
        scan(deflate(head + pixels))


def test_a_data_set_longer_than_the_limit_is_refused_whatever_its_ratio() -> None:
    noise = random.Random(1).randbytes(2000)
    with pytest.raises(InflationError, match="more than 1000 bytes"):
        inflated(deflate(noise), DataSetLimits(max_inflated_bytes=1000))
    assert inflated(deflate(noise), DataSetLimits(max_inflated_bytes=2000)).read() == noise


def test_a_blank_picture_is_no_bomb() -> None:
    blank = bytes(4 * MIB)
    assert len(inflated(deflate(blank)).read()) == len(blank)
    assert len(blank) > 500 * len(deflate(blank))


@given(st.binary(max_size=400))
def test_no_bytes_whatever_raise_anything_but_our_own_error(body: bytes) -> None:
    try:
        scan(body, piece=13).finish()
    except MalformedInstanceError:
        return
