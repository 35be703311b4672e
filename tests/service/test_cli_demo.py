"""`demo`: a drawn frame goes in over the network, and a result comes out under its identity."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from pydicom import Dataset, dcmread

from core.clock import utc_now
from core.errors import InputError
from inference.registry import Registry
from service.cli.demo_run import MODELS, DemoError, model_for, scratch_folder
from service.demo_frame import SIDE_PX, draw_frame
from service.demo_study import demo_study
from service.sr_text import sr_text
from tests.support.commands import second_reader
from tests.support.judges import dciodvfy


def running() -> set[int]:
    """Return the processes below this one."""
    return {process.pid for process in psutil.Process().children(recursive=True)}


pytestmark = pytest.mark.slow  # one run of the whole service


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the demo once."""
    folder = tmp_path_factory.mktemp("demo") / "run"
    before = running()
    ran = second_reader("demo", "--dir", folder)
    assert ran.code == 0, ran.err
    assert "The audit log holds." in ran.out
    assert "polyp" in ran.out
    assert running() <= before
    return folder


def test_the_report_and_the_capture_carry_the_identity_of_what_was_sent(folder: Path) -> None:
    sent = dcmread(folder / "sent" / "frame.dcm")
    for name in ("report.dcm", "capture.dcm"):
        result = dcmread(folder / "results" / name)
        for keyword in ("PatientID", "PatientName", "IssuerOfPatientID", "StudyInstanceUID"):
            assert result[keyword].value == sent[keyword].value
        assert result.SOPInstanceUID != sent.SOPInstanceUID


def test_the_finding_is_where_the_polyp_was_drawn(folder: Path) -> None:
    _, (drawn,) = draw_frame(1)
    results = json.loads((folder / "results" / "results.json").read_text())
    x1, y1, x2, y2 = results["readings"][0]["findings"][0]["bbox"]
    assert abs((x1 + x2) / 2 - (drawn.x1 + drawn.x2) / 2) < 20
    assert abs((y1 + y2) / 2 - (drawn.y1 + drawn.y2) / 2) < 20
    assert "POLYLINE" in (folder / "results" / "report.txt").read_text()


def test_the_capture_is_a_picture_of_the_frame(folder: Path) -> None:
    with Image.open(folder / "results" / "capture.png") as opened:
        pixels = np.asarray(opened).astype(int)
    picture, _ = draw_frame(1)
    corner = np.abs(pixels[:60, :60] - picture[:60, :60])
    assert corner.max() == 0
    assert pixels.shape[0] > SIDE_PX


def test_the_log_tells_what_happened_and_was_verified_from_outside(folder: Path) -> None:
    events = json.loads((folder / "audit" / "events.json").read_text())
    told = {event["event"] for event in events}
    assert {"SR-101", "110102", "110103", "110104", "110100", "SR-102"} <= told
    assert all(event["position"] is not None for event in events)
    said = (folder / "audit" / "verification.txt").read_text()
    assert f"{len(events)} records read" in said
    assert "No checkpoint from outside" not in said


def test_another_drawing_gives_another_result(folder: Path, tmp_path: Path) -> None:
    one, _ = draw_frame(1)
    two, _ = draw_frame(2)
    assert not np.array_equal(one, two)
    assert model_for(two, Registry(), *MODELS) in {"polyp", "demo"}


def test_a_model_that_is_not_here_ends_the_demo_and_all_that_it_started(tmp_path: Path) -> None:
    before = running()
    ran = second_reader("demo", "--dir", tmp_path / "run", "--model", "none")
    assert ran.code == 1
    assert "there is no model none" in ran.err
    assert running() <= before


def test_no_drawing_no_model() -> None:
    with pytest.raises(DemoError, match="finds the drawn polyp"):
        model_for(np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8), Registry(), *MODELS)


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        scratch_folder(tmp_path)
    assert scratch_folder(tmp_path / "new") == tmp_path / "new"


@pytest.mark.external("dciodvfy")
def test_the_study_that_is_sent_is_a_whole_endoscopic_image(tmp_path: Path) -> None:
    """PS3.3 A.32.1."""
    study = demo_study(draw_frame(1)[0], utc_now())
    (tmp_path / "frame.dcm").write_bytes(study.part10)
    assert dciodvfy(tmp_path / "frame.dcm").errors == ()
    dataset = dcmread(BytesIO(study.part10))
    assert dataset.StudyInstanceUID == study.study_instance_uid


def test_a_report_is_told_as_text_with_its_tree() -> None:
    """PS3.3 C.17.3."""
    name, finding = code("Finding"), code("Polyp of colon")
    child, report = Dataset(), Dataset()
    child.RelationshipType, child.ValueType = "CONTAINS", "CODE"
    child.ConceptNameCodeSequence, child.ConceptCodeSequence = [name], [finding]
    report.PatientID, report.ValueType = "PID", "CONTAINER"
    report.ConceptNameCodeSequence = [code("Imaging Measurement Report")]
    report.ContentSequence = [child]
    assert sr_text(report).splitlines() == [
        "PatientID: PID",
        "",
        "Imaging Measurement Report",
        "  contains: Finding = Polyp of colon",
    ]


def code(meaning: str) -> Dataset:
    item = Dataset()
    item.CodeMeaning = meaning
    return item
