"""The scanner: what is whole passes in any pieces, what is cut or wrong is refused."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from core.dataset_stream import MAX_KEPT_BYTES, MAX_KEPT_IN_ALL, DataSetScanner
from core.errors import MalformedInstanceError
from core.limits import MAX_DEPTH, DataSetLimits
from core.model import Instance
from tests.support.builders import ct_image, encoded, endoscopic_image, transfer_syntax

IMAGE = endoscopic_image()


def scanned(body: bytes, syntax: str, *, piece: int = 1 << 20) -> Dataset:
    scanner = DataSetScanner(syntax)
    for start in range(0, len(body), piece):
        scanner.feed(body[start : start + piece])
    return scanner.finish()


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("piece", [1, 7, 100, 1 << 20])
def test_the_index_is_the_same_however_the_bytes_arrive(implicit: bool, piece: int) -> None:
    syntax = transfer_syntax(implicit=implicit)
    leading = scanned(encoded(IMAGE, implicit=implicit), syntax, piece=piece)
    assert Instance.parse(leading, transfer_syntax_uid=syntax) == Instance.parse(
        IMAGE, transfer_syntax_uid=syntax
    )


@given(st.integers(0, len(encoded(IMAGE)) - 1))
def test_a_data_set_cut_anywhere_is_refused_or_lacks_its_tail(length: int) -> None:
    """A cut between two elements cannot be seen; every other one is."""
    body = encoded(IMAGE)
    try:
        leading = scanned(body[:length], transfer_syntax(implicit=False))
    except MalformedInstanceError:
        return
    not_kept = struct.pack("<HH2s2xL", 0x0040, 0x0555, b"SQ", 0)  # of a group behind the last one
    assert encoded(leading) == body[:length].removesuffix(not_kept)


def test_a_data_set_that_ends_inside_its_pixels_is_refused() -> None:
    with pytest.raises(MalformedInstanceError, match="cut off"):
        scanned(encoded(ct_image())[:-2], transfer_syntax(implicit=False))


def test_pixels_are_not_held() -> None:
    scanner = DataSetScanner(transfer_syntax(implicit=False))
    scanner.feed(encoded(IMAGE))
    assert "PixelData" not in scanner.finish()


def nested(depth: int) -> Dataset:
    dataset = Dataset()
    for _ in range(depth):
        outer = Dataset()
        outer.ReferencedSeriesSequence = [dataset]
        dataset = outer
    return dataset


@pytest.mark.parametrize("implicit", [False, True])
def test_sequences_as_deep_as_the_limit_pass(implicit: bool) -> None:
    body = encoded(nested(MAX_DEPTH - 1), implicit=implicit)
    scanned(body, transfer_syntax(implicit=implicit))


@pytest.mark.parametrize("implicit", [False, True])
def test_sequences_deeper_than_the_limit_are_refused(implicit: bool) -> None:
    body = encoded(nested(MAX_DEPTH + 1), implicit=implicit)
    with pytest.raises(MalformedInstanceError, match="deeper"):
        scanned(body, transfer_syntax(implicit=implicit))


def test_an_element_longer_than_its_item_is_refused() -> None:
    body = bytearray(encoded(nested(1)))
    item = Dataset()
    item.PatientComments = "x" * 10
    outer = Dataset()
    outer.ReferencedSeriesSequence = [item]
    body = bytearray(encoded(outer))
    position = body.index(b"LT") + 2
    body[position : position + 2] = (200).to_bytes(2, "little")
    with pytest.raises(MalformedInstanceError, match="longer"):
        scanned(bytes(body), transfer_syntax(implicit=False))


@given(st.binary(max_size=400))
def test_no_bytes_whatever_raise_anything_but_our_own_error(body: bytes) -> None:
    for syntax in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"):
        try:
            scanned(body, syntax, piece=13)
        except MalformedInstanceError:
            continue


@pytest.mark.parametrize("syntax", ["", "1.2.3.4", "nonsense", "1.2.840.10008.5.1.4.1.1.2"])
def test_a_transfer_syntax_that_is_none_or_unknown_is_refused(syntax: str) -> None:
    with pytest.raises(MalformedInstanceError):
        DataSetScanner(syntax)


def test_a_leading_element_that_appears_twice_is_refused() -> None:
    """Two readers could see two patients. PS3.5 7.1: at most once."""
    other = Dataset()
    other.PatientID = "PID-0002"
    body = encoded(IMAGE)
    place = body.index(b"\x10\x00\x30\x00")  # just behind the first Patient ID and its issuer
    with pytest.raises(MalformedInstanceError, match="twice"):
        scanned(body[:place] + encoded(other) + body[place:], transfer_syntax(implicit=False))


def test_a_leading_element_is_known_as_soon_as_it_has_arrived() -> None:
    body = encoded(IMAGE)
    end = body.index(b"\x20\x00\x0e\x00")  # Series Instance UID
    scanner = DataSetScanner(transfer_syntax(implicit=False))
    scanner.feed(body[: end - 4])
    assert scanner.leading(0x0020000D) is None
    scanner.feed(body[end - 4 :])
    assert (scanner.leading(0x0020000D) or b"").rstrip(b"\0").decode() == IMAGE.StudyInstanceUID


def element(group: int, number: int, value: bytes, *, order: str = "<") -> bytes:
    return struct.pack(f"{order}HH2sH", group, number, b"UI", len(value)) + value


@pytest.mark.parametrize(
    ("smuggled", "syntax"),
    [
        (element(0x0002, 0x0010, b"1.2.840.10008.1.2\0"), "1.2.840.10008.1.2.1"),
        (element(0x0000, 0x0002, b"1.2.840.10008.1.1\0"), "1.2.840.10008.1.2.1"),
        (element(0x0200, 0x1000, b"1.2.840.10008.1.2\0", order=">"), "1.2.840.10008.1.2.2"),
    ],
)
def test_a_data_set_cannot_speak_for_the_head_of_its_file(smuggled: bytes, syntax: str) -> None:
    """Kept behind a head, it would be read in another transfer syntax than it was checked in."""
    assert b"\x02\x00" in smuggled[:4] or smuggled[:2] == b"\0\0"
    with pytest.raises(MalformedInstanceError, match="file's head"):
        scanned(smuggled + b"\0" * 8, syntax)


@pytest.mark.parametrize("piece", [1, 1 << 20])
def test_more_elements_than_the_limit_are_refused(piece: int) -> None:
    body = encoded(IMAGE)
    scanner = DataSetScanner(transfer_syntax(implicit=False))
    for start in range(0, len(body), piece):
        scanner.feed(body[start : start + piece])
    assert scanner.elements == len(IMAGE)
    fewer = DataSetScanner(
        transfer_syntax(implicit=False), DataSetLimits(max_elements=len(IMAGE) - 1)
    )
    with pytest.raises(MalformedInstanceError, match="more than"):
        fewer.feed(body)


def undefined(tag: int, vr: bytes, content: bytes) -> bytes:
    """Return an element of undefined length; VR b"" for implicit encoding."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    head += struct.pack("<2s2x", vr) if vr else b""
    end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    return head + struct.pack("<L", 0xFFFFFFFF) + content + end


ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, 8) + b"\x10\x00\x10\x00\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("tag", "vr", "syntax"),
    [
        (0x00181302, b"", "1.2.840.10008.1.2"),  # Scan Length, IS
        (0x00400280, b"", "1.2.840.10008.1.2"),  # Comments on the Performed Procedure Step, ST
        (0x0040A160, b"UT", "1.2.840.10008.1.2.1"),
        (0x00189074, b"OB", "1.2.840.10008.1.2.1"),
        (0x00660037, b"OF", "1.2.840.10008.1.2.1"),
    ],
)
def test_only_sequences_and_pixels_may_be_of_undefined_length(
    tag: int, vr: bytes, syntax: str
) -> None:
    """One reader takes what is inside for items, the other for a value that it passes on whole."""
    with pytest.raises(MalformedInstanceError, match="undefined length"):
        scanned(undefined(tag, vr, ITEM), syntax)


@pytest.mark.parametrize("implicit", [False, True])
def test_leading_elements_that_together_would_fill_the_memory_are_refused(implicit: bool) -> None:
    """Each of them may be kept; a peer could send sixteen thousand."""
    value, vr = bytes(MAX_KEPT_BYTES - 2), b"" if implicit else b"LO"
    length = struct.pack("<I" if implicit else "<H", len(value))
    many = range(0x1000, 0x1000 + MAX_KEPT_IN_ALL // MAX_KEPT_BYTES + 1)
    body = b"".join(struct.pack("<HH", 0x0009, one) + vr + length + value for one in many)
    with pytest.raises(MalformedInstanceError, match="take more than"):
        scanned(body, transfer_syntax(implicit=implicit))


def test_very_many_short_leading_elements_are_refused_before_they_fill_the_memory() -> None:
    numbers = range(0x00090000, 0x000B0000)
    body = b"".join(struct.pack("<HH2sH", one >> 16, one & 0xFFFF, b"LO", 0) for one in numbers)
    with pytest.raises(MalformedInstanceError, match="take more than"):
        scanned(body, transfer_syntax(implicit=False))
