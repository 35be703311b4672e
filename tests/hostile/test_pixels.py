"""Pixels that are not what their header says (NET-6): judged before decoding, decoded in a child.

Orthanc CVE-2026-5441, -5442, -5443, -5445; GDCM CVE-2026-3650.
"""

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
import psutil
import pytest
from pydicom import DataElement
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from core.errors import InputError
from imaging.decode import Decoder
from imaging.facts import DecoderLimits
from tests.support.builders import ct_image, endoscopic_image, part10

GROWTH_MIB = 64
LIMITS = DecoderLimits(memory_mib=1024, deadline_s=20.0)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(LIMITS) as shared:
        shared.warm()
        yield shared


def set_as(dataset: FileDataset, keyword: str, vr: str, value: object) -> None:
    dataset[keyword] = DataElement(keyword, vr, value)


def sized(vr: str, rows: int, columns: int) -> bytes:
    """Rows and Columns in a VR that can say more than 65535 (CVE-2026-5442)."""
    dataset = ct_image()
    set_as(dataset, "Rows", vr, rows)
    set_as(dataset, "Columns", vr, columns)
    return part10(dataset)


def encapsulated(syntax: UID, stream: bytes, **attributes: object) -> bytes:
    dataset = endoscopic_image(np.zeros((64, 64, 3), np.uint8), attributes)
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    return part10(dataset)


def huge_rle() -> bytes:
    """65535 x 65535 in less than 200 bytes of RLE: numpy was asked for 12 GiB."""
    header = struct.pack("<16L", 3, 64, 66, 68, *[0] * 12)
    stream = header + b"\x81\x00" * 3
    assert len(stream) < 200
    return encapsulated(RLELossless, stream, Rows=65535, Columns=65535)


def frames(count: str) -> bytes:
    dataset = ct_image()
    set_as(dataset, "NumberOfFrames", "IS", count)
    return part10(dataset)


def palette(descriptor: object, data: bytes = bytes(512), vr: str = "US") -> bytes:
    """A palette whose descriptor and data do not fit (CVE-2026-5445)."""
    dataset = endoscopic_image(np.full((8, 8, 3), 255, np.uint8))
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    dataset.PixelData = b"\xff" * 64
    del dataset.PlanarConfiguration
    for colour in ("Red", "Green", "Blue"):
        set_as(dataset, f"{colour}PaletteColorLookupTableDescriptor", vr, descriptor)
        set_as(dataset, f"{colour}PaletteColorLookupTableData", "OW", data)
    return part10(dataset)


def segmented(data: bytes) -> bytes:
    dataset = endoscopic_image(np.full((8, 8, 3), 255, np.uint8))
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    dataset.PixelData = b"\xff" * 64
    del dataset.PlanarConfiguration
    for colour in ("Red", "Green", "Blue"):
        set_as(dataset, f"{colour}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
        set_as(dataset, f"Segmented{colour}PaletteColorLookupTableData", "OW", data)
    return part10(dataset)


def with_attributes(**attributes: object) -> bytes:
    return part10(ct_image(attributes=attributes))


J2K_HUGE = bytes.fromhex("ff4fff510029") + struct.pack(
    ">HLLLLLLLLHBBB", 0, 0xFFFFFFF0, 0xFFFFFFF0, 0, 0, 0xFFFFFFF0, 0xFFFFFFF0, 0, 0, 1, 7, 1, 1
)
JLS_HUGE = bytes.fromhex("ffd8fff7000b08ffffffff01011100") + b"\xff\xda\x00\x08\x01\x01\0\0\0\0"
JPEG_HUGE = bytes.fromhex("ffd8ffc0001108fff0fff003012200021101031101") + b"\xff\xda" + bytes(50)

CASES: dict[str, Callable[[], bytes]] = {
    "rows and columns of 32 bits": lambda: sized("UL", 0x10000, 0x10000),
    "rows and columns of 4 G": lambda: sized("UL", 0xFFFFFFFF, 0xFFFFFFFF),
    "negative rows and columns": lambda: sized("SL", -32, -32),
    "rows of zero": lambda: sized("US", 0, 32),
    "65535 x 65535": lambda: sized("US", 65535, 65535),
    "65535 x 65535 in 200 bytes of RLE": huge_rle,
    "65535 x 65535 of JPEG": lambda: encapsulated(
        JPEGBaseline8Bit, b"\xff\xd8\xff\xd9", Rows=65535, Columns=65535
    ),
    "two billion frames": lambda: frames("2147483647"),
    "frames beyond all numbers": lambda: frames("9" * 12),
    "no frames": lambda: frames("0"),
    "frames less than none": lambda: frames("-3"),
    "more frames than pixels": lambda: frames("2"),
    "65535 samples": lambda: with_attributes(SamplesPerPixel=65535),
    "no samples": lambda: with_attributes(SamplesPerPixel=0),
    "65535 bits": lambda: with_attributes(BitsAllocated=65535),
    "no bits": lambda: with_attributes(BitsAllocated=0),
    "more bits stored than there are": lambda: with_attributes(BitsStored=64),
    "a high bit out of the word": lambda: with_attributes(HighBit=255),
    "pixels of nothing": lambda: with_attributes(PixelData=b""),
    "a palette of odd length": lambda: palette([256, 0, 16], bytes(511)),
    "a palette without entries": lambda: palette([256, 0, 16], b""),
    "a palette of fewer entries than it says": lambda: palette([0, 0, 16], bytes(10)),
    "a palette descriptor of two": lambda: palette([256, 0]),
    "a palette descriptor of text": lambda: palette("a\\b\\c", vr="LO"),
    "a palette of 999 bits": lambda: palette([256, 0, 999], bytes(10)),
    "a segmented palette that points before itself": lambda: segmented(
        struct.pack("<6H", 2, 5, 0xFFFF, 0xFFFF, 0, 1)
    ),
    "a segmented palette without end": lambda: segmented(struct.pack("<3H", 0, 65535, 1)),
    "a segmented palette of an unknown kind": lambda: segmented(struct.pack("<3H", 77, 1, 1)),
    "RLE of 4 G segments": lambda: encapsulated(RLELossless, b"\xff" * 64),
    "RLE whose segments begin outside": lambda: encapsulated(
        RLELossless, struct.pack("<16L", 3, 9999, 99999, 999999, *[0] * 12) + bytes(20)
    ),
    "RLE that is cut": lambda: encapsulated(RLELossless, bytes(7)),
    "JPEG 2000 of 4 G x 4 G": lambda: encapsulated(JPEG2000Lossless, J2K_HUGE + bytes(100)),
    "JPEG 2000 that is none": lambda: encapsulated(JPEG2000Lossless, bytes(100)),
    "JPEG-LS of 65535 x 65535": lambda: encapsulated(JPEGLSLossless, JLS_HUGE + bytes(100)),
    "JPEG of 65520 x 65520": lambda: encapsulated(JPEGBaseline8Bit, JPEG_HUGE + b"\xff\xd9"),
    "JPEG Lossless that is none": lambda: encapsulated(JPEGLosslessSV1, b"\xff\xd8" + bytes(99)),
    "a fragment of nothing": lambda: encapsulated(JPEGBaseline8Bit, b"\0\0"),
    "PMSCT_RLE1, a private RLE": lambda: encapsulated(UID("1.2.840.113619.5.2"), bytes(64)),
}

HARMLESS = {
    "more bits stored than there are",
    "a high bit out of the word",
    "no frames",
    "a palette of odd length",
}
"""Shown or refused: both are safe, and which of them depends on the decoder's reading."""


@pytest.mark.parametrize("name", CASES)
def test_pixels_that_lie_are_refused_by_name_and_cost_the_parent_nothing(
    decoder: Decoder, name: str
) -> None:
    content, process = CASES[name](), psutil.Process()
    before = process.memory_info().rss
    with suppress(InputError) if name in HARMLESS else pytest.raises(InputError):
        decoder.display_frames(content)
    assert process.memory_info().rss < before + GROWTH_MIB * 1024**2
    (good,) = decoder.display_frames(part10(ct_image()))
    assert good.shape == (32, 32)


@pytest.mark.parametrize(
    "name",
    ["rows and columns of 32 bits", "65535 x 65535 in 200 bytes of RLE", "two billion frames"],
)
def test_a_budget_is_judged_before_anything_is_decoded(decoder: Decoder, name: str) -> None:
    with pytest.raises(InputError, match=r"MiB|no pixels"):
        decoder.display_frames(CASES[name]())
