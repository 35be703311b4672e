"""Whether two data sets say the same."""

from copy import deepcopy

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from service.sameness import Sameness, compare
from tests.support.builders import ct_image, encoded, transfer_syntax

EXPLICIT, IMPLICIT = transfer_syntax(implicit=False), transfer_syntax(implicit=True)
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG, JPEG_EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"


def _rich() -> FileDataset:
    """Return an image with all that encodings treat differently."""
    dataset = ct_image(np.arange(1024, dtype=np.int16).reshape(32, 32))
    item = Dataset()
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    item.ReferencedSOPInstanceUID = "1.2.3"
    nested = Dataset()
    nested.CodeValue, nested.CodingSchemeDesignator, nested.CodeMeaning = "1", "99X", "odd"
    item.PurposeOfReferenceCodeSequence = [nested]
    dataset.ReferencedImageSequence = [item, Dataset()]
    dataset.SmallestImagePixelValue = 0
    dataset["SmallestImagePixelValue"].VR = "SS"
    dataset.FrameIncrementPointer = 0x00181063
    dataset.WindowCenter, dataset.WindowWidth = ["40", "400.5"], ["80", "1500"]
    dataset.add_new(0x00090010, "LO", "ACME")
    dataset.add_new(0x00091001, "DS", "12.5")
    dataset.add_new(0x00091002, "UN", b"odd")
    return dataset


def _written(dataset: Dataset, syntax: str) -> bytes:
    copy = Dataset(deepcopy(dataset))
    if syntax == BIG_ENDIAN:
        copy.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
        copy["PixelData"].VR = "OW"
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = UID(syntax).is_implicit_VR
    buffer.is_little_endian = UID(syntax).is_little_endian
    write_dataset(buffer, copy)
    return buffer.getvalue()


@pytest.mark.parametrize("one", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize("other", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_encoding_makes_no_difference(one: str, other: str) -> None:
    same = _rich()
    assert compare(_written(same, one), one, _written(same, other), other) is Sameness.EQUAL


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("PatientName", "Example^Eve", Sameness.CORRECTED),
        ("PatientID", "PID-2", Sameness.CORRECTED),
        ("AccessionNumber", "ACC-2", Sameness.CORRECTED),
        ("RequestedProcedureDescription", "chest", Sameness.CORRECTED),
        ("SliceThickness", 2, Sameness.OTHER),
        ("SeriesInstanceUID", "1.2.3", Sameness.OTHER),
        ("StudyInstanceUID", "1.2.3", Sameness.OTHER),
        ("SmallestImagePixelValue", 0x20, Sameness.OTHER),
        ("PixelData", b"\1" * 2048, Sameness.OTHER),
        ("PatientOrientation", ["L", "P"], Sameness.OTHER),
    ],
)
def test_what_differs_decides(keyword: str, value: object, expected: Sameness) -> None:
    dataset = _rich()
    before = _written(dataset, EXPLICIT)
    setattr(dataset, keyword, value)
    if keyword == "PixelData":
        dataset["PixelData"].VR = "OW"
    assert compare(_written(dataset, IMPLICIT), IMPLICIT, before, EXPLICIT) is expected


def test_a_difference_deep_in_a_sequence_is_seen() -> None:
    dataset = _rich()
    before = encoded(dataset)
    dataset.ReferencedImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeMeaning = "even"
    assert compare(encoded(dataset), EXPLICIT, before, EXPLICIT) is Sameness.OTHER


def test_an_item_more_is_seen() -> None:
    dataset = _rich()
    before = encoded(dataset)
    dataset.ReferencedImageSequence.append(Dataset())
    assert compare(encoded(dataset), EXPLICIT, before, EXPLICIT) is Sameness.OTHER


def test_padding_and_group_lengths_say_nothing() -> None:
    dataset = _rich()
    before = encoded(dataset)
    dataset.SeriesDescription = "x"
    padded = before.replace(
        b"\x08\x00\x70\x00LO\x10\x00Invented Devices",
        b"\x08\x00\x70\x00LO\x12\x00Invented Devices  ",
    )
    assert padded != before
    length = b"\x08\x00\x00\x00UL\x04\x00\x01\x00\x00\x00"
    assert compare(length + padded, EXPLICIT, before, EXPLICIT) is Sameness.EQUAL


def test_pixels_of_different_compression_count_as_different() -> None:
    dataset = _rich()
    dataset.PixelData = (
        b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x04\x00\x00\x00\xff\xd8\xff\xd9"
    )
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    body = encoded(dataset)
    assert compare(body, JPEG, body, JPEG) is Sameness.EQUAL
    assert compare(body, JPEG, body, JPEG_EXTENDED) is Sameness.OTHER


def test_what_cannot_be_read_counts_as_different() -> None:
    body = encoded(_rich())
    assert compare(b"\xff" * 100, EXPLICIT, body, EXPLICIT) is Sameness.OTHER
