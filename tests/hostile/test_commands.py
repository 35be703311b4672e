"""`deidentify`, `detect` and `send` with objects that nest, hide, swell or pretend (NET-6)."""

import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import DataElement, dcmread
from pydicom.tag import Tag

from tests.dicom_node.fakes import running_node
from tests.support.builders import ct_image, encoded, endoscopic_image, part10
from tests.support.commands import Ran, second_reader

DEPTHS = {10: True, 63: True, 100: False, 200: False, 1000: False, 5000: False}
"""How deep sequences are nested, and whether that is taken."""


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where there is no installation."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SECOND_READER_CONFIG", raising=False)


ANATOMIC_REGION = (0x0008, 0x2218)
"""A sequence that is kept, and gone through."""


def nested(depth: int) -> bytes:
    """Return sequences of undefined length nested so deep."""
    opening = struct.pack("<HH2sHL", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF)
    opening += struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    closing = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return opening * depth + closing * depth


def hidden(depth: int) -> bytes:
    """Return sequences nested so deep within a value of unknown VR, where no scanner looks."""
    body = b""
    for _ in range(depth):
        item = struct.pack("<HHL", 0xFFFE, 0xE000, len(body)) + body
        body = struct.pack("<HHL", *ANATOMIC_REGION, len(item)) + item
    return struct.pack("<HH2sHL", *ANATOMIC_REGION, b"UN", 0, len(body) - 8) + body[8:]


def file(tmp_path: Path, extra: bytes) -> Path:
    path = tmp_path / "x.dcm"
    path.write_bytes(part10(ct_image(attributes={"PixelData": None})) + extra)
    return path


def deidentified(path: Path) -> Ran:
    return second_reader("deidentify", path, path.with_name("out.dcm"))


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("nest", [nested, hidden])
def test_deidentify_takes_sequences_to_a_depth_and_names_the_rest(
    tmp_path: Path, depth: int, nest: Callable[[int], bytes]
) -> None:
    ran = deidentified(file(tmp_path, nest(depth)))
    assert ran.code == (0 if DEPTHS[depth] else 1)
    assert DEPTHS[depth] or "nested deeper" in ran.err
    assert "Recursion" not in ran.err + ran.out


@pytest.mark.parametrize("depth", [100, 5000])
def test_deidentify_names_sequences_too_deep_in_a_bare_data_set(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "bare"
    path.write_bytes(encoded(ct_image(attributes={"PixelData": None})) + nested(depth))
    ran = deidentified(path)
    assert ran.code == 1
    assert "no DICOM object" in ran.err


@pytest.mark.parametrize("depth", [100, 5000])
def test_detect_names_sequences_too_deep(tmp_path: Path, depth: int) -> None:
    ran = second_reader("detect", file(tmp_path, nested(depth)))
    assert ran.code == 1
    assert "nested deeper" in ran.err


@pytest.mark.parametrize("depth", [10, 5000])
def test_send_parses_no_sequence_at_all(tmp_path: Path, depth: int) -> None:
    path = file(tmp_path, nested(depth))
    with running_node() as node:
        to = f"127.0.0.1:{node.node.port}"
        ran = second_reader("send", path, "--to", to, "--called", "READER", "--calling", "SCANNER")
    assert ran.code == 0, ran.err


def test_send_names_sequences_too_deep_where_it_must_encode_anew(tmp_path: Path) -> None:
    from dicom_node.part10 import from_file, reencoded

    with pytest.raises(Exception, match="nested deeper"):
        reencoded(from_file(file(tmp_path, nested(5000))), "1.2.840.10008.1.2")


PREAMBLES: dict[str, bytes] = {
    "a PE": b"MZ" + bytes(58) + b"\x80\0\0\0PE\0\0",
    "an ELF": b"\x7fELF\x02\x01\x01",
    "a Mach-O": b"\xcf\xfa\xed\xfe",
    "a script": b"#!/bin/sh\nrm -rf /\n",
    "a TIFF": b"II*\0\x08\0\0\0",
    "a TIFF of a whole slide": b"MM\0*\0\0\0\x08",
    "an HTML page": b"<html><script>alert(1)</script>",
    "a PDF": b"%PDF-1.4",
}


@pytest.mark.parametrize("name", PREAMBLES)
def test_nothing_in_a_preamble_is_written_on(tmp_path: Path, name: str) -> None:
    """CVE-2019-11687: what we give out begins with 128 zeros, a TIFF's preamble too."""
    content = PREAMBLES[name].ljust(128, b"\0") + part10(endoscopic_image())[128:]
    path = tmp_path / "polyglot.dcm"
    path.write_bytes(content)
    ran = deidentified(path)
    assert ran.code == 0, ran.err
    assert (tmp_path / "out.dcm").read_bytes()[:132] == bytes(128) + b"DICM"


@pytest.mark.parametrize("name", PREAMBLES)
def test_nothing_in_a_preamble_is_sent_on(tmp_path: Path, name: str) -> None:
    path = tmp_path / "polyglot.dcm"
    path.write_bytes(PREAMBLES[name].ljust(128, b"\0") + part10(endoscopic_image())[128:])
    with running_node() as node:
        to = f"127.0.0.1:{node.node.port}"
        ran = second_reader("send", path, "--to", to, "--called", "READER", "--calling", "SCANNER")
        ((_, body),) = node.sink.committed
    assert ran.code == 0, ran.err
    assert PREAMBLES[name] not in body


META: dict[str, Callable[[bytes], bytes]] = {
    "cut in the preamble": lambda whole: whole[:100],
    "cut in the meta information": lambda whole: whole[:150],
    "a group length of zero": lambda whole: whole[:140] + bytes(4) + whole[144:],
    "a group length of 4 GiB": lambda whole: whole[:140] + b"\xff" * 4 + whole[144:],
    "an odd group length": lambda whole: (
        whole[:140]
        + (int.from_bytes(whole[140:144], "little") - 3).to_bytes(4, "little")
        + whole[144:]
    ),
    "no transfer syntax": lambda whole: whole.replace(b"\x02\0\x10\0UI", b"\x02\0\x11\0UI", 1),
    "a transfer syntax of text": lambda whole: whole.replace(
        b"1.2.840.10008.1.2.1\0", b"../../etc/passwd\0\0\0\0", 1
    ),
    "a private transfer syntax": lambda whole: whole.replace(
        b"1.2.840.10008.1.2.1\0", b"1.2.840.113619.5.2\0\0", 1
    ),
    "a VR that is none": lambda whole: whole.replace(b"\x02\0\x10\0UI", b"\x02\0\x10\0??", 1),
    "no group length": lambda whole: whole[:132] + whole[144:],
}
"""DCMTK CVE-2022-2121, Orthanc CVE-2026-5437."""


@pytest.mark.parametrize("name", META)
@pytest.mark.parametrize("command", ["deidentify", "detect", "send"])
def test_a_damaged_head_is_named_and_ends_nothing_else(
    tmp_path: Path, name: str, command: str
) -> None:
    path = tmp_path / "damaged.dcm"
    path.write_bytes(META[name](part10(endoscopic_image())))
    rest: dict[str, tuple[str | Path, ...]] = {
        "deidentify": (tmp_path / "out",),
        "detect": (),
        "send": ("--to", "127.0.0.1:9", "--called", "X"),
    }
    ran = second_reader(command, path, *rest[command])
    assert ran.code == 1
    assert ran.err.strip()
    assert "Traceback" not in ran.err
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").rglob("*.dcm"))


def test_what_acts_in_a_terminal_is_shown_and_not_done(tmp_path: Path) -> None:
    """Names of files and text of objects are data; ESC and CSI would act."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a\x1b[2J\x9b31m\r.txt").write_bytes(b"no object")
    ran = second_reader("deidentify", tmp_path / "in", tmp_path / "out")
    assert ran.code == 1
    assert not any(character in ran.err + ran.out for character in "\x1b\x9b\r")
    report = second_reader(
        "send", tmp_path / "in", "--to", "127.0.0.1:9", "--called", "X", "--json"
    )
    assert not any(character in report.out for character in "\x1b\x9b\r")
    assert report.data["skipped"][0][0].endswith("a\x1b[2J\x9b31m\r.txt")


def test_a_text_is_kept_as_text_in_a_released_copy(tmp_path: Path) -> None:
    """Markup and formulas are no business of DICOM; who shows them escapes them."""
    dataset = endoscopic_image()
    dataset[Tag("BodyPartExamined")] = DataElement("BodyPartExamined", "CS", "<script>")
    path = tmp_path / "x.dcm"
    path.write_bytes(part10(dataset))
    assert deidentified(path).code == 0
    assert dcmread(BytesIO((tmp_path / "out.dcm").read_bytes())).BodyPartExamined == "<script>"
