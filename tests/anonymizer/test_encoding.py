"""What we write, others read."""

import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.filereader import read_dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from anonymizer import part10
from anonymizer.deidentifier import deidentify
from anonymizer.encoding import Encoding, deflate, encode
from anonymizer.profile import Profile
from anonymizer.text import UTF_8
from core.errors import MalformedInstanceError
from tests.anonymizer.samples import DEFAULT_OPTIONS, item, replacement_for, run
from tests.support.builders import ct_image
from tests.support.builders import part10 as as_file

ENCODINGS = [Encoding(True, True), Encoding(False, True), Encoding(False, False)]

_SOURCE = ct_image(
    np.zeros((4, 4), np.int16),
    {"ReferencedSeriesSequence": [item(PatientName="Example^Ada", CodeMeaning="x")]},
)
SAMPLE = as_file(_SOURCE)
PROFILE, REPLACEMENT = Profile.of("test", DEFAULT_OPTIONS), replacement_for(_SOURCE)


def read_back(encoded: bytes, encoding: Encoding) -> Dataset:
    return read_dataset(BytesIO(encoded), encoding.is_implicit, encoding.is_little)


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(
    number=st.integers(0, 65535),
    text=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=30),
    depth=st.integers(0, 4),
)
def test_a_data_set_survives_writing(
    encoding: Encoding, number: int, text: str, depth: int
) -> None:
    dataset = item(SpecificCharacterSet="ISO_IR 192", Rows=number, ImageComments=text.strip())
    for _ in range(depth):
        dataset = item(
            SpecificCharacterSet="ISO_IR 192",
            ReferencedSeriesSequence=[dataset, item(Columns=number)],
            PixelSpacing=[0.5, 0.25],
        )
    assert read_back(encode(dataset, encoding, UTF_8), encoding) == dataset


def test_a_text_too_long_for_its_vr_is_written_as_unknown() -> None:
    """PS3.5 6.2.2, note 4."""
    original = ct_image(attributes={"Manufacturer": "é" * 40_000})
    written = part10.write(run(original).released)
    assert dcmread(BytesIO(written)).Manufacturer == "é" * 40_000


def test_deflated_is_padded_to_even_length() -> None:
    deflated = deflate(b"abc" * 101)
    assert len(deflated) % 2 == 0
    assert zlib.decompressobj(-zlib.MAX_WBITS).decompress(deflated) == b"abc" * 101


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
def test_the_transfer_syntax_is_kept(syntax: UID) -> None:
    source = ct_image()
    source.file_meta.TransferSyntaxUID = syntax
    source.set_original_encoding(None, None)
    buffer = BytesIO()
    Dataset.save_as(source, buffer, enforce_file_format=True)
    buffer.seek(0)
    written = dcmread(BytesIO(part10.write(run(part10.read(buffer)).released)))
    assert written.file_meta.TransferSyntaxUID == syntax
    assert written.PixelData == source.PixelData
    assert (written.Rows, list(written.PixelSpacing)) == (32, [0.5, 0.5])


@given(
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 3), st.binary(max_size=6)),
        min_size=1,
        max_size=6,
    )
)
def test_a_damaged_object_is_released_or_refused(damages: list[tuple[float, int, bytes]]) -> None:
    """Nothing but our own error escapes, whatever the bytes are."""
    content = bytearray(SAMPLE)
    for where, removed, inserted in damages:
        position = int(where * len(content))
        content[position : position + removed] = inserted
    try:
        original = part10.read(BytesIO(bytes(content)))
        part10.write(deidentify(original, PROFILE, REPLACEMENT).released)
    except MalformedInstanceError as error:
        assert error.__cause__ is None  # noqa: PT017


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for prefix in (b"", bytes(128) + b"DICM"):
        try:
            part10.read(BytesIO(prefix + content))
        except MalformedInstanceError as error:
            assert error.__cause__ is None  # noqa: PT017
