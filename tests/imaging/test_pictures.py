"""Pictures lose everything but their pixels."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imaging.errors import MalformedPictureError, PixelBudgetError
from imaging.pictures import decode_picture, picture_kind, strip_metadata
from tests.imaging.objects import gradient

SECRET = b"Example^Ada"


def jpeg(**options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(gradient()).save(out, "JPEG", **options)
    return out.getvalue()


def jpeg_with_everything() -> bytes:
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    return jpeg(exif=exif, comment=SECRET, icc_profile=SECRET * 20, xmp=SECRET) + SECRET


def png_with_everything() -> bytes:
    out, text, exif = io.BytesIO(), PngInfo(), Image.Exif()
    exif[0x010E] = SECRET.decode()
    text.add_text("Patient", SECRET.decode())
    text.add_itxt("Patient", SECRET.decode())
    Image.fromarray(gradient()).save(out, "PNG", pnginfo=text, exif=exif, dpi=(72, 72))
    return out.getvalue() + SECRET


def pixels(data: bytes) -> np.ndarray:
    return decode_picture(io.BytesIO(data), budget_mib=8)


@pytest.mark.parametrize(
    "data",
    [
        jpeg_with_everything(),
        png_with_everything(),
        jpeg(progressive=True),
        jpeg(restart_marker_blocks=1),
        jpeg(subsampling=2, quality=5),
    ],
)
def test_only_the_pixels_stay(data: bytes) -> None:
    stripped = strip_metadata(data)
    assert SECRET not in stripped
    assert np.array_equal(pixels(stripped), pixels(data))
    assert strip_metadata(stripped) == stripped
    assert picture_kind(stripped) == picture_kind(data)


def test_rgb_jpeg_of_adobe_keeps_its_colours() -> None:
    """Adobe's segment says that these are no YCbCr."""
    data = jpeg(keep_rgb=True, quality=95)
    assert np.array_equal(pixels(strip_metadata(data)), pixels(data))


def test_an_animated_png_becomes_its_first_picture() -> None:
    out = io.BytesIO()
    first, second = (Image.fromarray(gradient() // n) for n in (1, 2))
    first.save(out, "PNG", save_all=True, append_images=[second])
    stripped = strip_metadata(out.getvalue())
    assert b"fcTL" not in stripped
    assert np.array_equal(pixels(stripped), gradient())


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_cut_picture_is_refused_and_nothing_else_happens(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([jpeg_with_everything(), png_with_everything()]))
    end = len(whole) - len(SECRET) - 1
    cut = whole[: data.draw(st.integers(0, end))]
    with pytest.raises(MalformedPictureError):
        strip_metadata(cut)


@given(st.binary(max_size=200), st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b""]))
def test_any_bytes_are_stripped_or_refused(tail: bytes, head: bytes) -> None:
    try:
        strip_metadata(head + tail)
    except MalformedPictureError:
        return


def test_sixteen_bit_png_is_brought_to_eight() -> None:
    out = io.BytesIO()
    Image.fromarray(np.array([[0, 0x8000, 0xFFFF]], np.uint16)).save(out, "PNG")
    assert pixels(out.getvalue()).tolist() == [[0, 128, 255]]


def test_a_huge_picture_is_refused_before_it_is_decoded() -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 9))
    with pytest.raises(PixelBudgetError, match="60000 x 60000"):
        pixels(bomb + chunk(b"IEND", b""))
