"""Whole files as data sets: what is deflated comes out within bounds, a head ends at its end."""

import zlib
from io import BytesIO

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from core.inflation import InflationError
from core.limits import DataSetLimits
from core.part10 import file_head, parse_file
from tests.support.builders import ct_image, encoded, part10


def deflated_file() -> bytes:
    dataset = ct_image()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return part10(dataset)


def test_a_deflated_file_reads_as_pydicom_reads_it() -> None:
    dataset = ct_image()
    plain = part10(dataset)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    read = parse_file(BytesIO(part10(dataset)))
    assert read == parse_file(BytesIO(plain))
    assert read.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    assert read.original_encoding == (False, True)
    assert read.PixelData == dataset.PixelData


def test_a_deflated_file_is_inflated_within_the_limits() -> None:
    with pytest.raises(InflationError):
        parse_file(BytesIO(deflated_file()), DataSetLimits(max_inflated_bytes=1000))


def test_only_what_was_asked_for_is_read() -> None:
    for content in (deflated_file(), part10(ct_image())):
        read = parse_file(BytesIO(content), tags=("Modality", "Rows"), with_pixels=False)
        assert {element.keyword for element in read} == {
            "SpecificCharacterSet",
            "Modality",
            "Rows",
        }
        assert "PixelData" not in parse_file(BytesIO(content), with_pixels=False)


def test_the_head_ends_where_it_says_it_ends() -> None:
    """A deflate stream may begin with bytes that look like more meta information."""
    head = file_head("1.2", "1.3", str(DeflatedExplicitVRLittleEndian))
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    body = compressor.compress(encoded(ct_image())) + compressor.flush()
    read = parse_file(BytesIO(head + body))
    assert read.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    assert read.Modality == "CT"


def test_a_bare_data_set_is_read_too() -> None:
    assert parse_file(BytesIO(encoded(ct_image()))).Modality == "CT"
