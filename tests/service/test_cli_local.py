"""`deidentify` and `detect`: the same border and the same models, without the service."""

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from pydicom import dcmread

from api.schemas import NOTICE, DetectAnswer
from service.cli import detecting
from tests.support.builders import endoscopic_image, part10
from tests.support.commands import second_reader
from tests.support.detector import bright_cells_package, picture_with_cells

IDENTITY = (b"Example", b"Ada", b"PID-0001", b"ACC-0001", b"HOSPITAL-A")


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where there is no installation."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SECOND_READER_CONFIG", raising=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Make an installation whose only model finds bright cells."""
    second_reader("init", tmp_path / "site")
    bright_cells_package(tmp_path / "models" / "bright")
    settings = {"models": [{"name": "bright"}], "package_folders": [str(tmp_path / "models")]}
    path = tmp_path / "site" / "config.yaml"
    path.write_text(yaml.safe_dump({"inference": settings}))
    return path


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def image(tmp_path: Path, *cells: tuple[int, int], **attributes: object) -> Path:
    dataset = endoscopic_image(picture_with_cells(*cells), attributes)
    return write(tmp_path / "Example-Ada.dcm", part10(dataset))


# --- deidentify


def test_an_object_is_released_without_its_identity(tmp_path: Path) -> None:
    source = image(tmp_path, (1, 1))
    ran = second_reader("deidentify", source, tmp_path / "out.dcm")
    assert ran.code == 0, ran.err
    content = (tmp_path / "out.dcm").read_bytes()
    assert not any(value in content for value in IDENTITY)
    released = dcmread(BytesIO(content))
    assert released.PatientIdentityRemoved == "YES"
    assert released.PixelData == dcmread(source).PixelData


def test_a_folder_keeps_its_studies_together_and_its_names_out(tmp_path: Path) -> None:
    study = {"StudyInstanceUID": "2.25.99"}
    for number in range(3):
        dataset = endoscopic_image(attributes=study | {"InstanceNumber": number})
        write(tmp_path / "in" / "Example^Ada" / f"{number}.dcm", part10(dataset))
    ran = second_reader("deidentify", tmp_path / "in", tmp_path / "out")
    assert ran.code == 0, ran.err
    released = [dcmread(path) for path in sorted((tmp_path / "out").iterdir())]
    assert len({one.StudyInstanceUID for one in released}) == 1
    assert len({one.PatientID for one in released}) == 1
    assert released[0].StudyInstanceUID != "2.25.99"
    assert not any("Example" in path.name for path in (tmp_path / "out").rglob("*"))


def test_two_runs_cannot_be_joined(tmp_path: Path) -> None:
    source = image(tmp_path, (1, 1))
    for name in ("one.dcm", "two.dcm"):
        second_reader("deidentify", source, tmp_path / name)
    one, two = dcmread(tmp_path / "one.dcm"), dcmread(tmp_path / "two.dcm")
    assert one.PatientID != two.PatientID
    assert one.StudyInstanceUID != two.StudyInstanceUID


def test_what_cannot_be_read_is_refused_by_name_and_the_rest_is_released(tmp_path: Path) -> None:
    whole = part10(endoscopic_image())
    write(tmp_path / "in" / "a.dcm", whole)
    write(tmp_path / "in" / "cut.dcm", whole[:-100])
    write(tmp_path / "in" / "note.txt", b"hello")
    Image.new("RGB", (8, 8)).save(tmp_path / "in" / "picture.png")
    ran = second_reader("deidentify", tmp_path / "in", tmp_path / "out")
    assert ran.code == 1
    assert "cut.dcm: the data set is cut off" in ran.err
    assert "note.txt" in ran.err
    assert "picture.png: the file is no DICOM object" in ran.err
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_the_same_object_twice_is_refused_the_second_time(tmp_path: Path) -> None:
    content = part10(endoscopic_image())
    write(tmp_path / "in" / "a.dcm", content)
    write(tmp_path / "in" / "b.dcm", content)
    ran = second_reader("deidentify", tmp_path / "in", tmp_path / "out")
    assert ran.code == 1
    assert "same SOP Instance UID" in ran.err


def test_nothing_is_written_over(tmp_path: Path) -> None:
    source = image(tmp_path, (1, 1))
    for name in ("out.dcm", "report.json"):
        write(tmp_path / name, b"mine")
    assert second_reader("deidentify", source, tmp_path / "out.dcm").code == 1
    ran = second_reader(
        "deidentify", source, tmp_path / "new.dcm", "--report", tmp_path / "report.json"
    )
    assert ran.code == 1
    assert not (tmp_path / "new.dcm").exists()
    assert (tmp_path / "out.dcm").read_bytes() == b"mine"


def test_the_report_says_what_was_done_and_leads_back_to_nobody(tmp_path: Path) -> None:
    write(tmp_path / "in" / "Example-Ada.txt", b"no object")
    image(tmp_path / "in", (1, 1))
    report = tmp_path / "report.json"
    second_reader("deidentify", tmp_path / "in", tmp_path / "out", "--report", report)
    text = report.read_bytes()
    assert not any(value in text for value in IDENTITY)
    told = json.loads(text)
    assert "drawn for this run" in told["keys"]
    assert told["profile"] == "models"
    assert told["released"][0]["flags"]
    assert len(told["refused"]) == 1


def test_the_members_of_a_zip_are_released(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for number in range(2):
            archive.writestr(f"Example/{number}.dcm", part10(endoscopic_image()))
    assert second_reader("deidentify", tmp_path / "in.zip", tmp_path / "out").code == 0
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_member_that_cannot_be_unpacked_is_refused_and_the_rest_is_released(
    tmp_path: Path,
) -> None:
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(2):
            archive.writestr(f"{number}.dcm", part10(endoscopic_image()))
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF  # inside of the first member, whose CRC then is another
    path.write_bytes(content)
    ran = second_reader("deidentify", path, tmp_path / "out")
    assert ran.code == 1
    assert "0.dcm: the member of the ZIP cannot be unpacked" in ran.err
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_one_object_goes_into_a_folder_that_is_there_and_empty(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert second_reader("deidentify", image(tmp_path, (1, 1)), tmp_path / "out").code == 0
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_an_unknown_profile_is_named(tmp_path: Path) -> None:
    ran = second_reader(
        "deidentify", image(tmp_path, (1, 1)), tmp_path / "out.dcm", "--profile", "none"
    )
    assert ran.code == 1
    assert "there is no profile 'none'" in ran.err
    assert not (tmp_path / "out.dcm").exists()


def test_an_export_is_recorded_before_its_first_file(tmp_path: Path, config: Path) -> None:
    second_reader("deidentify", image(tmp_path, (1, 1)), tmp_path / "o.dcm", "--config", config)
    ran = second_reader("audit", "search", "--patient", "PID-0001", "--json", "--config", config)
    (event,) = ran.data
    assert event["event"] == "110106"
    assert event["details"]["Profile"] == "models"


# --- detect


def detected(config: Path, *words: str | Path) -> dict[str, Any]:
    ran = second_reader("detect", *words, "--json", "--config", config)
    assert ran.code == 0, ran.err
    found: dict[str, Any] = ran.data
    return found


def test_the_answer_is_that_of_the_wire(tmp_path: Path, config: Path) -> None:
    answer = detected(config, image(tmp_path, (2, 3)))
    DetectAnswer.model_validate(answer, by_alias=True)
    (detection,) = answer["detections"]
    assert detection["bbox"] == [16, 24, 24, 32]
    assert detection["class"] == "bright"
    assert answer["model_version"] == "bright 1.0.0"
    assert detecting.NOTICE == NOTICE


def test_a_picture_is_read_too(tmp_path: Path, config: Path) -> None:
    path = tmp_path / "frame.png"
    Image.fromarray(picture_with_cells((2, 3))).save(path)
    assert detected(config, path)["detections"][0]["bbox"] == [16, 24, 24, 32]
    assert detected(config, path, "--confidence", "1")["threshold"] == 1


def test_nothing_found_is_said_so(tmp_path: Path, config: Path) -> None:
    ran = second_reader("detect", image(tmp_path), "--config", config)
    assert ran.code == 0
    assert "no finding above 0.25" in ran.out
    assert "not for diagnosis" in ran.out


def test_an_overlay_shows_the_box_and_covers_nothing(tmp_path: Path, config: Path) -> None:
    path = tmp_path / "found.png"
    detected(config, image(tmp_path, (2, 3)), "--overlay", path)
    with Image.open(path) as opened:
        pixels = np.asarray(opened)
    assert pixels.shape[0] > 64
    assert pixels.shape[1] == 64
    assert (pixels[24, 16:24] == (255, 210, 0)).all()
    assert path.stat().st_mode & 0o077 == 0
    assert second_reader("detect", path, "--overlay", path, "--config", config).code == 1


def test_a_file_that_no_model_reads_is_refused_and_recorded(tmp_path: Path, config: Path) -> None:
    ran = second_reader("detect", write(tmp_path / "x", b"hello"), "--config", config)
    assert ran.code == 1
    assert "neither a JPEG nor a PNG" in ran.err
    events = second_reader("audit", "search", "--event", "110107", "--json", "--config", config)
    assert [event["outcome"] for event in events.data] == [4]


def test_pixels_that_cannot_be_decoded_are_no_empty_answer(tmp_path: Path, config: Path) -> None:
    source = image(tmp_path, (1, 1), PixelData=b"")
    ran = second_reader("detect", source, "--config", config)
    assert ran.code == 1
    assert "bright: " in ran.err


def test_an_unknown_model_is_named(tmp_path: Path, config: Path) -> None:
    ran = second_reader("detect", image(tmp_path), "--model", "none", "--config", config)
    assert ran.code == 1
    assert "there is no model none" in ran.err
