"""What lies in a folder or a ZIP: bombs, lies, links, and endless directories (NET-6)."""

import os
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from service.cli import sources as module
from tests.support.builders import ct_image, encoded, endoscopic_image, part10
from tests.support.commands import second_reader

MIB = 1024 * 1024
GROWTH_MIB = 64
"""So much more than for one small object a refusal may take (NET-6)."""

OBJECT = part10(endoscopic_image())


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where there is no installation."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SECOND_READER_CONFIG", raising=False)


def folder(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    (made / "good.dcm").write_bytes(OBJECT)
    return made


def zeros(path: Path) -> str:
    """400 MiB of nothing, which take no room on the disk."""
    with path.open("wb") as file:
        file.truncate(400 * MIB)
    return "no DICOM object"


def object_of_zeros(path: Path) -> str:
    """A sound head, and 400 MiB of elements 0000,0000 behind it."""
    with path.open("wb") as file:
        file.write(part10(ct_image(attributes={"PixelData": None})))
        file.truncate(400 * MIB)
    return "of a command or of a file's head"


def deflated_bomb(path: Path) -> str:
    """0.41 MB on the disk, 400 MiB inflated: a sound object with black pixels."""
    dataset = ct_image(attributes={"PixelData": None})
    head = encoded(dataset) + b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<L", 400 * MIB)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    whole = part10(dataset)
    compressor = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    pieces = [compressor.compress(head)]
    pieces += [compressor.compress(bytes(MIB)) for _ in range(400)]
    start = 144 + int.from_bytes(whole[140:144], "little")
    path.write_bytes(b"".join([whole[:start], *pieces, compressor.flush()]))
    assert path.stat().st_size < 430_000
    return "inflates to more than 100 times"


def zipped_bomb(path: Path) -> str:
    """A sound object of 400 MiB in a ZIP of half a megabyte."""
    dataset = ct_image(attributes={"PixelData": None})
    head = part10(dataset) + b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<L", 400 * MIB)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open("bomb.dcm", "w") as member,
    ):
        member.write(head)
        for _ in range(400):
            member.write(bytes(MIB))
    return "unpacks to more than 100 times"


def nested(path: Path) -> str:
    """An object of sequences 5000 deep."""
    opening = struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF)
    opening += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    path.write_bytes(part10(ct_image(attributes={"PixelData": None})) + opening * 5000)
    return "nested deeper"


def endless_items(path: Path) -> str:
    """Two million empty items, eight bytes each, that a parser makes gigabytes of."""
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 2_000_000
    head = struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, len(items))
    path.write_bytes(part10(ct_image(attributes={"PixelData": None})) + head + items)
    return "more than 1000000 elements"


CASES: dict[str, tuple[str, Callable[[Path], str]]] = {
    "400 MiB of zeros": ("zeros", zeros),
    "400 MiB of zeros behind a sound head": ("zeros.dcm", object_of_zeros),
    "a deflated bomb": ("bomb.dcm", deflated_bomb),
    "a zipped bomb": ("bomb.zip", zipped_bomb),
    "sequences 5000 deep": ("deep.dcm", nested),
    "endless items": ("items.dcm", endless_items),
}


def resident_mib(*words: str | Path) -> tuple[int, str, float]:
    """Run a command in a process of its own; return exit code, standard error, peak memory."""
    process = subprocess.Popen(
        [sys.executable, "-m", "service", *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, said, usage.ru_maxrss / 1024


@pytest.fixture(scope="module")
def usual_mib(tmp_path_factory: pytest.TempPathFactory) -> float:
    """What the command takes for one small object."""
    place = tmp_path_factory.mktemp("usual")
    made = folder(place)
    code, said, mib = resident_mib("deidentify", made, place / "out")
    assert code == 0, said
    return mib


@pytest.mark.parametrize("name", CASES)
def test_a_bomb_beside_a_good_object_is_refused_by_name_and_costs_little(
    tmp_path: Path, usual_mib: float, name: str
) -> None:
    file, make = CASES[name]
    place = folder(tmp_path)
    reason = make(place / file)
    code, said, mib = resident_mib("deidentify", place, tmp_path / "out")
    assert code == 1
    assert reason in said
    assert file in said
    assert len(list((tmp_path / "out").iterdir())) == 1, "the good object is released"
    # What is read before it is refused counts too: 16 MB of items, say.
    assert mib < usual_mib + GROWTH_MIB


def test_a_member_that_lies_about_its_size_is_judged_by_what_comes_out(tmp_path: Path) -> None:
    path = tmp_path / "liar.zip"
    zipped_bomb(path)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        true_size = struct.pack("<L", archive.infolist()[0].file_size)
    assert content.count(true_size) == 2
    path.write_bytes(content.replace(true_size, struct.pack("<L", 1000)))
    ran = second_reader("deidentify", path, tmp_path / "out")
    assert ran.code == 1
    assert "1 refused" in ran.out


def test_the_names_in_a_zip_are_never_a_place_to_write_to(tmp_path: Path) -> None:
    """Zip slip: nothing is written but under the new UID of the object."""
    archive = tmp_path / "in" / "slip.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as opened:
        for number, name in enumerate(("../../evil.dcm", "/abs.dcm", "C:\\x.dcm", "a\x1b[2J.dcm")):
            dataset = endoscopic_image(attributes={"InstanceNumber": number})
            opened.writestr(name, part10(dataset))
    before = {path for path in tmp_path.parent.rglob("*") if "out" not in path.parts}
    ran = second_reader("deidentify", archive, tmp_path / "out")
    assert ran.code == 0, ran.err
    after = {path for path in tmp_path.parent.rglob("*") if "out" not in path.parts}
    assert after == before
    assert len(list((tmp_path / "out").iterdir())) == 4
    assert all(path.stem.startswith("2.25.") for path in (tmp_path / "out").iterdir())


def test_a_link_in_a_zip_is_a_file_of_its_target_s_name_and_no_object(tmp_path: Path) -> None:
    archive = tmp_path / "link.zip"
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(info, "/etc/passwd")
    ran = second_reader("deidentify", archive, tmp_path / "out")
    assert ran.code == 1
    assert "no DICOM object" in ran.err
    assert "root:" not in ran.err + ran.out


@pytest.mark.parametrize("command", ["deidentify", "send"])
def test_a_link_that_leads_out_of_its_folder_is_not_followed(tmp_path: Path, command: str) -> None:
    outside = tmp_path / "outside.dcm"
    outside.write_bytes(part10(endoscopic_image()))
    place = tmp_path / "in"
    place.mkdir()
    (place / "out.dcm").symlink_to(outside)
    (place / "loop").symlink_to(place)
    (place / "dangling").symlink_to(tmp_path / "nowhere")
    (place / "passwd").symlink_to("/etc/passwd")
    rest = ("--to", "127.0.0.1:9", "--called", "X") if command == "send" else (tmp_path / "out",)
    ran = second_reader(command, place, *rest)
    assert ran.code == 1
    assert ran.err.count("a link that leads out of the folder") == 2


def test_a_link_within_its_folder_is_followed(tmp_path: Path) -> None:
    place = folder(tmp_path)
    (place / "good.dcm").rename(place / "real")
    (place / "link.dcm").symlink_to(place / "real")
    ran = second_reader("deidentify", place, tmp_path / "out")
    assert "1 released" in ran.out
    assert "same SOP Instance UID" in ran.err


def test_a_zip_of_100_000_members_is_refused_before_its_directory_is_read(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(100_000):
            archive.writestr(zipfile.ZipInfo(f"{number}"), b"")
    for command, rest in (
        ("deidentify", (tmp_path / "out",)),
        ("send", ("--to", "127.0.0.1:9", "--called", "X")),
    ):
        ran = second_reader(command, path, *rest)
        assert ran.code == 1
        assert "more than some 50,000 members" in ran.err


def test_a_damaged_zip_is_refused_by_name(tmp_path: Path) -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", OBJECT)
    content = bytearray(buffer.getvalue())
    content[content.index(b"PK\x01\x02")] = 0
    path = tmp_path / "damaged.zip"
    path.write_bytes(bytes(content))
    ran = second_reader("deidentify", path, tmp_path / "out")
    assert ran.code == 1
    assert "damaged.zip" in ran.err


def test_an_object_to_whose_end_a_zip_was_added_is_an_object(tmp_path: Path) -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("evil.dcm", OBJECT)
    path = tmp_path / "polyglot.dcm"
    path.write_bytes(OBJECT + buffer.getvalue())
    (source,) = module.sources([path])
    assert source.name == str(path)
    ran = second_reader("deidentify", path, tmp_path / "out.dcm")
    assert ran.code == 1
    assert not (tmp_path / "out.dcm").exists()


def test_a_fifo_or_a_device_is_no_file(tmp_path: Path) -> None:
    place = folder(tmp_path)
    os.mkfifo(place / "fifo")
    assert second_reader("deidentify", place, tmp_path / "out").code == 0
    ran = second_reader("deidentify", place / "fifo", tmp_path / "out2")
    assert "neither a file nor a folder" in ran.err


def test_a_directory_of_a_medium_opens_none_of_the_files_it_names(tmp_path: Path) -> None:
    """DICOMDIR: what it refers to is never looked at (CVE-2026-32711)."""
    dataset = endoscopic_image(attributes={"PixelData": None})
    dataset.SOPClassUID = "1.2.840.10008.1.3.10"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    record = ct_image()
    record.clear()
    record.ReferencedFileID = ["..", "..", "etc", "passwd"]
    record.DirectoryRecordType = "IMAGE"
    dataset.DirectoryRecordSequence = [record]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "DICOMDIR").write_bytes(part10(dataset))
    ran = second_reader("deidentify", tmp_path / "in", tmp_path / "out")
    assert ran.code == 1
    assert "a DICOMDIR is a directory of files" in ran.err
