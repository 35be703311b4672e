from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset
from pydicom.filereader import read_dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from core.errors import MalformedInstanceError, UnavailableError
from dicom_node.part10 import OutgoingObject, from_file, from_part10, reencoded
from dicom_node.presentation import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from tests.support.builders import ct_image


def as_file(dataset: FileDataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def in_pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@given(size=st.integers(1, 5000))
def test_a_file_is_split_at_its_data_set_however_it_is_read(size: int) -> None:
    dataset = ct_image()
    file = as_file(dataset)
    outgoing = from_part10(lambda: in_pieces(file, size))
    assert outgoing.sop_instance_uid == dataset.SOPInstanceUID
    assert outgoing.sop_class_uid == dataset.SOPClassUID
    assert outgoing.transfer_syntax_uid == dataset.file_meta.TransferSyntaxUID
    encoded = b"".join(outgoing.read())
    assert file.endswith(encoded)
    assert encoded[:4] == b"\x08\x00\x05\x00"  # Specific Character Set, or what is first
    assert b"".join(outgoing.read()) == encoded


def test_a_file_on_disk_is_read_again_for_each_attempt(tmp_path: Path) -> None:
    path = tmp_path / "ct.dcm"
    path.write_bytes(as_file(ct_image()))
    outgoing = from_file(path)
    path.unlink()
    with pytest.raises(UnavailableError, match="cannot be read"):
        list(outgoing.read())


@pytest.mark.parametrize(
    "data",
    [b"", b"short", bytes(500), bytes(128) + b"DICM" + bytes(500), as_file(ct_image())[:200]],
)
def test_what_is_no_part_10_file_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedInstanceError, match="not a DICOM file"):
        from_part10(lambda: [data])


def sample() -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName = "Müller^Jörg"
    dataset.Rows = 2
    dataset.Columns = 2
    dataset.BitsAllocated = 16
    dataset.PixelRepresentation = 1
    dataset.SmallestImagePixelValue = -5
    inner = Dataset()
    inner.ReferencedSOPInstanceUID = "1.2.3"
    inner.PatientName = "Müller^Jörg"
    dataset.ReferencedImageSequence = Sequence([inner])
    dataset.add_new(0x00090010, "LO", "MAKER")
    dataset.add_new(0x00091002, "UN", b"\x01\x02\x03\x04")
    dataset.add_new(0x00281201, "OW", b"\x01\x02\x03\x04")
    dataset.add_new(0x7FE00010, "OW", np.array([1, -2, 300, 4], "<i2").tobytes())
    return dataset


def encoded_as(dataset: Dataset, syntax: str) -> bytes:
    buffer = BytesIO()
    uid = UID(syntax)
    dataset.save_as(buffer, implicit_vr=uid.is_implicit_VR, little_endian=uid.is_little_endian)
    return buffer.getvalue()


def outgoing_of(data: bytes, syntax: str) -> OutgoingObject:
    return OutgoingObject("1.2", "1.2.3", syntax, lambda: [data])


@pytest.mark.parametrize(
    ("old", "new"),
    [(EXPLICIT_LITTLE, IMPLICIT_LITTLE), (IMPLICIT_LITTLE, EXPLICIT_LITTLE)],
)
def test_another_encoding_holds_the_same_data_set(old: str, new: str) -> None:
    data = reencoded(outgoing_of(encoded_as(sample(), old), old), new)
    read = read_dataset(BytesIO(data), UID(new).is_implicit_VR, True)
    for element in sample():
        assert read[element.tag].value == element.value, element.keyword
    again = reencoded(outgoing_of(data, new), old)
    assert read_dataset(BytesIO(again), UID(old).is_implicit_VR, True).PixelData == (
        sample().PixelData
    )


def test_words_change_their_byte_order_with_the_encoding() -> None:
    """PS3.5 7.3: OW is a stream of 16-bit words in the byte order of the transfer syntax."""
    little = encoded_as(sample(), EXPLICIT_LITTLE)
    big = reencoded(outgoing_of(little, EXPLICIT_LITTLE), EXPLICIT_BIG)
    read = read_dataset(BytesIO(big), False, False)
    assert np.frombuffer(read.PixelData, ">i2").tolist() == [1, -2, 300, 4]
    assert read.Rows == 2
    assert read.SmallestImagePixelValue == -5
    assert reencoded(outgoing_of(big, EXPLICIT_BIG), EXPLICIT_LITTLE) == little


def test_an_unreadable_data_set_is_refused_without_its_values() -> None:
    broken = b"\x10\x00\x10\x00PN\xff\x00DOE^JOHN"
    with pytest.raises(MalformedInstanceError) as caught:
        reencoded(outgoing_of(broken, EXPLICIT_LITTLE), IMPLICIT_LITTLE)
    assert "DOE" not in str(caught.value)


def test_a_whole_file_reads_the_same_after_the_change() -> None:
    original = ct_image(np.arange(1024, dtype=np.int16).reshape(32, 32))
    outgoing = from_part10(lambda: [as_file(original)])
    data = reencoded(outgoing, IMPLICIT_LITTLE)
    read = read_dataset(BytesIO(data), True, True)
    source = dcmread(BytesIO(as_file(original)))
    assert read.PixelData == source.PixelData
    assert {e.tag for e in read} == {e.tag for e in source}


@pytest.mark.parametrize("uid", ["../../evil", "1." + "2" * 63, "1.2\\3", "a", "1.2 3"])
def test_a_file_whose_head_names_no_uid_is_no_object_to_send(uid: str) -> None:
    whole = as_file(ct_image())
    meta = dcmread(BytesIO(whole)).file_meta
    old = str(meta.MediaStorageSOPInstanceUID).encode()
    old += b"\0" * (len(old) % 2)
    new = uid.encode().ljust(len(old) + 2, b"\0")[: max(len(old), len(uid) + len(uid) % 2)]
    at = whole.index(old)
    length = int.from_bytes(whole[140:144], "little") + len(new) - len(old)
    changed = whole[: at - 2] + len(new).to_bytes(2, "little") + new + whole[at + len(old) :]
    changed = changed[:140] + length.to_bytes(4, "little") + changed[144:]
    with pytest.raises(MalformedInstanceError, match="MediaStorageSOPInstanceUID of the file"):
        from_part10(lambda: [changed])


def test_a_vr_that_nobody_knows_cannot_be_encoded_anew() -> None:
    """Found by fuzzing: the library's error quotes the value."""
    whole = as_file(ct_image()).replace(b"\x08\x00\x30\x00TM", b"\x08\x00\x30\x00TN")
    with pytest.raises(MalformedInstanceError, match="encoded anew"):
        reencoded(from_part10(lambda: [whole]), IMPLICIT_LITTLE)
