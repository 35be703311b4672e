"""JPEG and PNG pictures, as REST and the command line take them."""

import re
import struct
from collections.abc import Iterator
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from imaging.errors import MalformedPictureError, PixelBudgetError
from imaging.facts import MIB

PictureKind = Literal["jpeg", "png"]

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
"""Critical chunks, and what makes pixels transparent. Source: PNG (ISO/IEC 15948) 5.6."""
_JPEG_DROPPED = frozenset({*range(0xE0, 0xF0), 0xFE})
"""APP0 to APP15 and COM. Source: ISO/IEC 10918-1 Table B.1."""
_APP0, _APP14, _SOS, _EOI = 0xE0, 0xEE, 0xDA, 0xD9
_PLAIN_JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
_SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def picture_kind(data: bytes) -> PictureKind | None:
    """Return which kind of picture `data` begins like, None for any other."""
    if data.startswith(_JPEG):
        return "jpeg"
    return "png" if data.startswith(_PNG) else None


def strip_metadata(data: bytes) -> bytes:
    """Return the picture without anything that is not pixels.

    EXIF, XMP, IPTC, colour profiles, comments, text, thumbnails and whatever follows the picture
    go. The two JPEG segments that say how colours are encoded (JFIF, Adobe) stay, emptied. An
    orientation in EXIF is never applied, before as after: boxes are in pixels as they are stored.

    Raises
    ------
    MalformedPictureError
        If it is neither JPEG nor PNG, or is cut off.
    """
    kind = picture_kind(data)
    if kind is None:
        raise MalformedPictureError(
            "the file is neither a JPEG nor a PNG picture",
            remedy="Send one, or a DICOM object as Part 10 file",
        )
    return b"".join(_jpeg_parts(data) if kind == "jpeg" else _png_parts(data))


def decode_picture(data: BinaryIO, *, budget_mib: int) -> NDArray[np.uint8]:
    """Return the pixels. Runs in a decoder child.

    Returns
    -------
    (rows, columns) for grey pictures, (rows, columns, 3) RGB for all others

    Raises
    ------
    MalformedPictureError
        If it is no picture, or a damaged one.
    PixelBudgetError
        If it would be larger than the budget, before anything is decoded.
    """
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # our own budget is checked before anything is decoded
    try:
        with Image.open(data, formats=("JPEG", "PNG")) as picture:
            _check_budget(picture.width, picture.height, budget_mib)
            if picture.mode in {"I;16", "I;16B", "I;16L", "I"}:
                return (np.asarray(picture).astype(np.uint32) >> 8).astype(np.uint8)
            is_grey = picture.mode in {"1", "L", "LA"}
            return np.array(picture.convert("L" if is_grey else "RGB"))
    except (OSError, SyntaxError, ValueError, struct.error, EOFError) as error:
        raise MalformedPictureError(
            f"the picture cannot be decoded ({type(error).__name__})"
        ) from None


def _check_budget(width: int, height: int, budget_mib: int) -> None:
    if width * height * 3 > budget_mib * MIB:
        raise PixelBudgetError(
            f"a picture of {width} x {height} pixels takes more than {budget_mib} MiB",
            remedy="If such pictures are meant to be read, raise inference.decoder.frame_mib",
        )


def _png_parts(data: bytes) -> Iterator[bytes]:
    yield _PNG
    position = len(_PNG)
    while True:
        if position + 12 > len(data):
            raise MalformedPictureError("the PNG picture is cut off")
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise MalformedPictureError("the PNG picture is cut off")
        if name in _PNG_KEPT:
            yield data[position:end]
        if name == b"IEND":
            return
        position = end


def _jpeg_parts(data: bytes) -> Iterator[bytes]:
    yield data[:2]
    position = 2
    while True:
        marker, start = _next_marker(data, position)
        if marker == _EOI:
            yield b"\xff\xd9"
            return
        if start + 2 > len(data):
            raise MalformedPictureError("the JPEG picture is cut off")
        end = start + int.from_bytes(data[start : start + 2], "big")
        if marker == _SOS:
            ending = _SCAN_END.search(data, end)
            if ending is None:
                raise MalformedPictureError("the JPEG picture is cut off")
            end = ending.start()
        if end > len(data):
            raise MalformedPictureError("the JPEG picture is cut off")
        yield _jpeg_segment(marker, data[start:end])
        position = end


def _jpeg_segment(marker: int, segment: bytes) -> bytes:
    """Return the segment as it may stay."""
    if marker == _APP0 and segment[2:7] == b"JFIF\x00":
        return _PLAIN_JFIF
    if marker == _APP14 and segment[2:7] == b"Adobe" and len(segment) >= 14:
        return b"\xff\xee\x00\x0e" + segment[2:14]
    return b"" if marker in _JPEG_DROPPED else bytes((0xFF, marker)) + segment


def _next_marker(data: bytes, position: int) -> tuple[int, int]:
    """Return the next marker and where its segment starts; fill bytes may come before it."""
    while data[position : position + 2] == b"\xff\xff":
        position += 1
    if position + 2 > len(data) or data[position] != 0xFF:
        raise MalformedPictureError("the JPEG picture is cut off or damaged")
    return data[position + 1], position + 2
