"""Stored values, whatever way the bits lie in their words."""

import io

import numpy as np
import pytest
from pydicom import DataElement, Dataset, Sequence
from pydicom.tag import Tag

from core.errors import MalformedInstanceError
from imaging.facts import DecoderLimits
from imaging.stored import pixel_facts, read_object, stored_frames, transfer_syntax
from tests.imaging.objects import part10
from tests.support.builders import ct_image


def stored(words: list[int], **elements: object) -> list[int]:
    dataset = ct_image(np.array([words], np.uint16).view(np.int16))
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    read = read_object(io.BytesIO(part10(dataset)), DecoderLimits())
    (frame,) = stored_frames(read, pixel_facts(read))
    return [int(value) for value in frame.values[0]]


def test_signed_values_keep_their_sign() -> None:
    assert stored([0x7FFF, 0x8000, 0xFFFF]) == [32767, -32768, -1]


def test_what_lies_above_the_stored_bits_is_no_value() -> None:
    """Overlays were once kept there. PS3.5 8.1.1."""
    assert stored([0xF001, 0x0800], BitsStored=12, HighBit=11) == [1, -2048]


def test_stored_bits_may_end_above_bit_zero() -> None:
    words = [0x0010, 0x8000, 0xFFFF]
    assert stored(words, BitsStored=12, HighBit=15) == [1, -2048, -1]
    assert stored(words, BitsStored=12, HighBit=15, PixelRepresentation=0) == [1, 2048, 4095]


def test_an_object_without_a_transfer_syntax_is_refused() -> None:
    with pytest.raises(MalformedInstanceError, match="no transfer syntax"):
        read_object(io.BytesIO(b"\x08\x00\x60\x00\x02\x00\x00\x00CT"), DecoderLimits())


def test_a_sequence_in_the_place_of_a_text_is_refused_and_not_quoted() -> None:
    inner = Dataset()
    inner.PatientName = "Hidden^Jane"
    dataset = ct_image()
    dataset["Modality"] = DataElement(Tag("Modality"), "SQ", Sequence([inner]))
    read = read_object(io.BytesIO(part10(dataset)), DecoderLimits())
    with pytest.raises(MalformedInstanceError, match="Modality is no text"):
        pixel_facts(read)


def test_a_sequence_in_the_place_of_the_transfer_syntax_is_none() -> None:
    dataset = ct_image()
    element = DataElement(Tag("TransferSyntaxUID"), "SQ", Sequence([Dataset()]))
    dataset.file_meta[element.tag] = element
    assert transfer_syntax(dataset) is None
