"""Forty patients who are easily taken for one another: every result with the right one."""

import time
from collections import Counter
from pathlib import Path

import pytest

from core.model import InstanceKey
from imaging.decode import Decoder
from inference.engine import Engine
from inference.registry import Registry
from inference.requests import ModelOrder, StudyInstance
from tests.support.builders import part10
from tests.support.data import data_folder
from tests.support.installation import Service, install, running, storescu
from tests.support.look_alikes import Frame, look_alike_frames, truths, write_interleaved
from tests.support.orthanc_judge import StudyInOrthanc, identity_faults, read_all, referenced_uids
from tests.support.peers import Orthanc, orthanc

SENDERS = 4
STUDIES = 80

pytestmark = [pytest.mark.external("DCMTK", "Orthanc"), pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    pictures = sorted((data_folder() / "polyp" / "validation" / "images").glob("*.jpg"))
    return look_alike_frames(pictures)


@pytest.fixture(scope="module")
def delivered(
    frames: list[Frame], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, StudyInOrthanc]:
    """Push everything over four associations at once; return what Orthanc holds in the end."""
    folder = tmp_path_factory.mktemp("look-alikes")
    folders = write_interleaved(frames, folder / "files", senders=SENDERS)
    with orthanc(folder / "orthanc") as server:
        service = install(folder / "installation", destinations=[_destination(server)])
        with running(service):
            _push(service, folders)
            _wait_for_results(service)
        return read_all(server)


def _destination(server: Orthanc) -> dict[str, object]:
    return {
        "name": "pacs",
        "host": "127.0.0.1",
        "port": server.dicom_port,
        "called_ae_title": server.ae_title,
    }


def _push(service: Service, folders: list[Path]) -> None:
    senders = [storescu(service.dicom_port, path, options=["-xy"]) for path in folders]
    for sender in senders:
        output, _ = sender.communicate(timeout=120)
        assert sender.returncode == 0, output.decode(errors="replace")
        assert b"Store Failed" not in output


def _wait_for_results(service: Service) -> None:
    """Wait until every study is processed and nothing is on its way any more."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        states = Counter(study["state"] for study in _studies(service))
        if states == Counter({"COMPLETED": STUDIES}) and not _on_their_way(service):
            return
        time.sleep(1)
    raise AssertionError(f"not all results came: {states}\n{service.tail()}")


def _on_their_way(service: Service) -> set[str]:
    """Return the deliveries that have not ended, by what REST says of each study."""
    return {
        str(delivery["sop_instance_uid"])
        for study in _studies(service)
        for delivery in service.get(f"/v1/studies/{study['study_instance_uid']}")["deliveries"]
        if delivery["state"] in {"SCHEDULED", "IN PROGRESS"}
    }


def _studies(service: Service) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    path = "/v1/studies?limit=50"
    while True:
        page = service.get(path)
        found += page["studies"]
        if not page["next_cursor"]:
            return found
        path = f"/v1/studies?limit=50&cursor={page['next_cursor']}"


def test_every_study_has_a_report_and_a_capture(
    frames: list[Frame], delivered: dict[str, StudyInOrthanc]
) -> None:
    for truth, _ in truths(frames):
        study = delivered[truth.study_instance_uid]
        assert len(study.reports) == 1
        assert study.captures


def test_nothing_arrived_in_a_study_that_was_not_sent(
    frames: list[Frame], delivered: dict[str, StudyInOrthanc]
) -> None:
    assert set(delivered) == {truth.study_instance_uid for truth, _ in truths(frames)}


def test_every_result_carries_the_identity_of_its_own_patient_and_order(
    frames: list[Frame], delivered: dict[str, StudyInOrthanc]
) -> None:
    faults = {
        truth.study_instance_uid: identity_faults(result, truth)
        for truth, _ in truths(frames)
        for result in delivered[truth.study_instance_uid].results
    }
    assert not {uid: found for uid, found in faults.items() if found}


def test_every_result_refers_to_objects_of_its_own_study_only(
    frames: list[Frame], delivered: dict[str, StudyInOrthanc]
) -> None:
    for truth, group in truths(frames):
        own = {str(frame.dataset.SOPInstanceUID) for frame in group}
        for result in delivered[truth.study_instance_uid].results:
            assert referenced_uids(result) <= own


def test_every_study_has_a_result_of_the_right_kind(
    frames: list[Frame], delivered: dict[str, StudyInOrthanc]
) -> None:
    """The expected kind comes from a look at each picture alone, without the service."""
    found = _findings_of(frames)
    for truth, group in truths(frames):
        kinds = {frame.kind for frame in group}
        count = sum(found[id(frame)] for frame in group)
        expected = "findings" if count else "no finding"
        if "broken" in kinds:
            expected = "findings, some not processed" if count else "could not process"
        assert delivered[truth.study_instance_uid].kinds == [expected]


def _findings_of(frames: list[Frame]) -> dict[int, int]:
    """Count the findings of each frame in this very process, without service and archive."""
    with Decoder() as decoder, Engine(Registry(), decoder) as engine:
        return {
            id(frame): len(
                engine.read_study(
                    [StudyInstance.whole(InstanceKey("k"), part10(frame.dataset))],
                    [ModelOrder("polyp")],
                )[0].findings
            )
            for frame in frames
        }
