"""Data sets that lie, hide, nest or swell (NET-6), sent to a live service by C-STORE.

Each is answered by its status, recorded, and leaves nothing behind; the association goes on, and
the next object is taken.
"""

import re
import struct
import urllib.error
import urllib.parse
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import DataElement
from pydicom.datadict import dictionary_VR
from pydicom.dataset import FileDataset
from pydicom.tag import Tag

from core.uids import random_uid
from dicom_node.part10 import OutgoingObject
from dicom_node.store_scu import SendOutcome, send
from tests.dicom_node.raw import pdu, pdv
from tests.hostile.live import associated, destination, recorded, survives
from tests.support.builders import ct_image, encoded, endoscopic_image
from tests.support.installation import Service

MIB = 1024**2
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
BIG, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
CANNOT_UNDERSTAND, MISMATCH, SUCCESS = 0xC000, 0xA900, 0x0000


@dataclass(frozen=True)
class Case:
    """One object, and what is said of it."""

    body: bytes
    said: str = ""
    """Part of the Error Comment, and of the audit record."""
    status: int = CANNOT_UNDERSTAND
    syntax: str = EXPLICIT
    head: FileDataset = field(default_factory=ct_image)
    """Whose SOP class and instance the command names."""
    instance: str = ""
    """What the command calls the instance, if not by its name."""


def image() -> FileDataset:
    return ct_image(attributes={"PixelData": None})


def behind(extra: bytes, said: str = "", status: int = CANNOT_UNDERSTAND) -> Case:
    """Return a sound image with these bytes behind it."""
    head = image()
    return Case(encoded(head) + extra, said, status, head=head)


def renamed(keyword: str, value: str) -> Case:
    """Return an image in which a UID is something else."""
    head = image()
    head[keyword] = DataElement(keyword, "LO", value)
    head[keyword].VR = "UI"
    return Case(encoded(head), "not named by a UID", head=head)


def sequences(depth: int, said: str = "nested deeper", status: int = CANNOT_UNDERSTAND) -> Case:
    """Return an image with sequences of undefined length nested so deep."""
    opening = struct.pack("<HH2sHL", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF)
    opening += struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    closing = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return behind(opening * depth + closing * depth, said, status)


def defined(depth: int) -> Case:
    """Return an image with sequences of defined length nested so deep."""
    body = b""
    for _ in range(depth):
        item = struct.pack("<HHL", 0xFFFE, 0xE000, len(body)) + body
        body = struct.pack("<HH2sHL", 0x0040, 0x0275, b"SQ", 0, len(item)) + item
    return behind(body, "nested deeper")


def raw_deflate(*pieces: bytes) -> bytes:
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return b"".join([*(compressor.compress(one) for one in pieces), compressor.flush()])


def bomb() -> Case:
    """0.41 MB on the wire, 400 MiB inflated (fo-dicom #2165)."""
    head = image()
    pixels = b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<L", 400 * MIB)
    body = raw_deflate(encoded(head), pixels, *[bytes(MIB)] * 400)
    assert len(body) < 430_000
    return Case(body, "inflates to more than 100 times", syntax=DEFLATED, head=head)


def deflated(change: Callable[[bytes], bytes], said: str, status: int = CANNOT_UNDERSTAND) -> Case:
    head = image()
    return Case(change(raw_deflate(encoded(head))), said, status, DEFLATED, head)


def smuggled() -> Case:
    """File meta information in the data set, that would speak for our own file's head."""
    head = image()
    meta = struct.pack("<HH2sH", 2, 0x10, b"UI", 18) + b"1.2.840.10008.1.2\0"
    return Case(meta + encoded(head), "of a file's head", head=head)


def in_implicit(extra: bytes, said: str) -> Case:
    head = image()
    return Case(encoded(head, implicit=True) + extra, said, syntax=IMPLICIT, head=head)


def twice() -> Case:
    head = image()
    body = encoded(head)
    place = body.index(b"\x10\x00\x30\x00")
    other = struct.pack("<HH2sH", 0x0010, 0x0020, b"LO", 4) + b"ELSE"
    return Case(body[:place] + other + body[place:], "appears twice", head=head)


def other_class() -> Case:
    head, other = image(), endoscopic_image()
    other.SOPInstanceUID = head.SOPInstanceUID
    return Case(encoded(other), "the SOP class differs", MISMATCH, head=head)


ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
END_OF_ITEM = struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
FRAGMENTS = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)

CASES: dict[str, Callable[[], Case]] = {
    # identifiers as paths (pynetdicom #823, #1092; DCMTK CVE-2022-2119)
    "study UID ../": lambda: renamed("StudyInstanceUID", "../../../etc/passwd"),
    "study UID /abs": lambda: renamed("StudyInstanceUID", "/etc/passwd"),
    "series UID ../": lambda: renamed("SeriesInstanceUID", "..\\..\\windows"),
    "study UID with NUL": lambda: renamed("StudyInstanceUID", "1.2\0/../3"),
    "study UID of 65 characters": lambda: renamed("StudyInstanceUID", "1." + "2" * 63),
    "series UID with a line break": lambda: renamed("SeriesInstanceUID", "1.2\r\n3"),
    "another instance than it is called": lambda: Case(
        encoded(image()), "SOP instance differs", MISMATCH, instance="1.2.3.4"
    ),
    "another class than it is called": other_class,
    # lengths
    "an element of 4 GiB": lambda: behind(
        struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, 0xFFFFFFFE), "cut off"
    ),
    "an element of undefined length that has no end": lambda: behind(FRAGMENTS, "cut off"),
    "a fragment of 4 GiB": lambda: behind(
        FRAGMENTS + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFE), "cut off"
    ),
    "no item where one must be": lambda: behind(FRAGMENTS + bytes(64), "an item was expected"),
    "an item longer than its sequence": lambda: behind(
        struct.pack("<HH2sHL", 0x0040, 0x0275, b"SQ", 0, 8)
        + struct.pack("<HHL", 0xFFFE, 0xE000, 100)
        + bytes(100),
        "longer than its outer one",
    ),
    "a delimiter that ends nothing": lambda: behind(END_OF_ITEM, "ends nothing"),
    "an item outside of a sequence": lambda: behind(ITEM, "ends nothing"),
    "half a head of an element": lambda: behind(b"\x40\x00\x75\x02S", "cut off"),
    # VRs and syntaxes
    "a VR of question marks": lambda: behind(b"\x40\x00\x75\x02??\0\0", "no value representation"),
    "a VR of zeros": lambda: behind(b"\x40\x00\x75\x02\0\0\0\0", "no value representation"),
    "a VR in small letters": lambda: behind(b"\x40\x00\x75\x02sq\0\0", "no value representation"),
    "implicit VR in an explicit context": lambda: Case(
        encoded(image(), implicit=True), "no value representation"
    ),
    "explicit VR in an implicit context": lambda: Case(encoded(image()), "", syntax=IMPLICIT),
    "little endian in a big endian context": lambda: Case(encoded(image()), "", syntax=BIG),
    "nothing but zeros": lambda: Case(bytes(10_000), "", syntax=IMPLICIT),
    "a picture": lambda: Case(b"\xff\xd8\xff\xe0" + bytes(1000), ""),
    # what hides
    "the head of a file in the data set": smuggled,
    "a command element in the data set": lambda: in_implicit(
        struct.pack("<HHL", 0, 0x0002, 0), "of a file's head"
    ),
    "items in a value of undefined length": lambda: in_implicit(
        struct.pack("<HHL", 0x0018, 0x1302, 0xFFFFFFFF)
        + ITEM
        + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0),
        "undefined length",
    ),
    "two patients in one object": twice,
    # depth (pydicom #2330)
    "sequences 10 deep": lambda: sequences(10, "", SUCCESS),
    "sequences 64 deep": lambda: sequences(63, "", SUCCESS),
    "sequences 100 deep": lambda: sequences(100),
    "sequences 200 deep": lambda: sequences(200),
    "sequences 1000 deep": lambda: sequences(1000),
    "sequences 5000 deep": lambda: sequences(5000),
    "sequences of defined length 100 deep": lambda: defined(100),
    "sequences of defined length 1000 deep": lambda: defined(1000),
    "more items than a parser can hold": lambda: behind(
        struct.pack("<HH2sHL", 0x0040, 0x0275, b"SQ", 0, 8 * 1_000_100) + ITEM * 1_000_100,
        "more than 1000000 elements",
    ),
    # deflate
    "a deflated bomb": bomb,
    "a deflated object": lambda: deflated(lambda body: body, "", SUCCESS),
    "a deflated object that is padded": lambda: deflated(lambda body: body + b"\0", "", SUCCESS),
    "a deflated object that is cut": lambda: deflated(lambda body: body[:-9], "cut off"),
    "a deflated object with more behind it": lambda: deflated(
        lambda body: body + b"<script>" * 9, "follow the end"
    ),
    "a deflated object that is none": lambda: deflated(
        lambda body: b"\xff" * len(body), "no deflate stream"
    ),
    "a zlib stream": lambda: deflated(lambda body: zlib.compress(bytes(body)), "no deflate stream"),
    # what is not ours to judge: kept, and told of later
    "a patient ID that is a path": lambda: free("PatientID", "../../../../etc/passwd"),
    "a patient ID of a formula": lambda: free("PatientID", "=cmd|' /C calc'!A0"),
    "a patient name of HTML": lambda: free("PatientName", "<script>alert(1)</script>"),
    "a description of control characters": lambda: free("StudyDescription", "\x1b[2J\r\nfake"),
    "an unknown VR": lambda: behind(b"\x41\x00\x10\x10ZZ\x02\0ab", "", SUCCESS),
}


def free(keyword: str, value: str) -> Case:
    """Return an image whose free text is hostile: it is data, and kept as it is."""
    head = image()
    head[keyword] = DataElement(keyword, dictionary_VR(Tag(keyword)), value)
    return Case(encoded(head), "", SUCCESS, head=head)


def outgoing(case: Case) -> OutgoingObject:
    instance = case.instance or str(case.head.SOPInstanceUID)
    return OutgoingObject(str(case.head.SOPClassUID), instance, case.syntax, lambda: [case.body])


def store(service: Service, case: Case) -> tuple[SendOutcome, SendOutcome]:
    """Send a case, and a good object behind it on the same association."""
    good = image()
    after = OutgoingObject(
        str(good.SOPClassUID), str(good.SOPInstanceUID), case.syntax, lambda: [_good(good, case)]
    )
    first, second = send([outgoing(case), after], destination(service))
    return first, second


def _good(good: FileDataset, case: Case) -> bytes:
    if case.syntax == BIG:
        from pydicom.filebase import DicomBytesIO
        from pydicom.filewriter import write_dataset

        buffer = DicomBytesIO()
        buffer.is_implicit_VR, buffer.is_little_endian = False, False
        write_dataset(buffer, good)
        return buffer.getvalue()
    body = encoded(good, implicit=case.syntax == IMPLICIT)
    return raw_deflate(body) if case.syntax == DEFLATED else body


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_object_is_answered_recorded_and_forgotten(service: Service, name: str) -> None:
    case = CASES[name]()
    since = datetime.now(UTC)
    with survives(service):
        outcome, good = store(service, case)
        assert outcome.status == case.status, outcome.text
        assert case.said in outcome.peer_comment
        assert good.status == SUCCESS, "the association goes on"
    assert knows(service, str(case.head.StudyInstanceUID)) == (case.status == SUCCESS)
    assert all(re.fullmatch(r"[0-9a-f]{32}(\.part)?", path.name) for path in files(service))
    if case.status != SUCCESS:
        assert recorded(service, outcome.peer_comment[:40], since)


@pytest.mark.parametrize("uid", ["../../evil", "/etc/passwd", "1." + "2" * 63, "1.2\0.3", "", "é"])
def test_an_instance_that_is_not_called_by_a_uid_is_refused(service: Service, uid: str) -> None:
    with survives(service):
        peer = associated(service, (1, CT, EXPLICIT))
        peer.send(pdu(0x04, pdv(1, 3, raw_store_rq(uid))))
        peer.send(pdu(0x04, pdv(1, 2, encoded(image()))))
        kind, body = peer.receive()
        peer.socket.close()
    assert kind == 0x07 or b"\x00\x00\x00\x09\x02\x00\x00\x00\x00\xc0" in body


def raw_store_rq(uid: str) -> bytes:
    """Return a C-STORE-RQ that calls its instance so, whatever a library thinks of it."""
    value = uid.encode("latin-1")
    value += b"\0" * (len(value) % 2)
    elements = b"".join(
        struct.pack("<HHL", 0, number, len(content)) + content
        for number, content in (
            (0x0002, CT.encode() + b"\0"),
            (0x0100, b"\x01\0"),
            (0x0110, b"\x07\0"),
            (0x0700, b"\0\0"),
            (0x0800, b"\x01\0"),
            (0x1000, value),
        )
    )
    return struct.pack("<HHLL", 0, 0, 4, len(elements)) + elements


def files(service: Service) -> list[Path]:
    """Return every object file that is kept."""
    return [path for path in (service.folder / "data" / "objects").rglob("*") if path.is_file()]


def knows(service: Service, study_instance_uid: str) -> bool:
    """Whether REST knows the study."""
    try:
        service.get(f"/v1/studies/{urllib.parse.quote(study_instance_uid, safe='')}")
    except urllib.error.HTTPError as error:
        return error.code not in {404, 422}
    return True


def test_an_instance_is_known_by_its_uid_only(service: Service) -> None:
    """A UID that looks like another's with a NUL behind it is that UID, padded (PS3.5 6.2)."""
    uid = random_uid()
    head = ct_image(attributes={"SOPInstanceUID": uid, "PixelData": None})
    case = Case(encoded(head), status=SUCCESS, head=head)
    first, _ = store(service, case)
    again, _ = store(service, case)
    assert (first.status, again.status) == (SUCCESS, SUCCESS)
