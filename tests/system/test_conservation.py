"""After kill -9 while objects come: whatever arrived is stored, known, refused or failed."""

import time
import urllib.request
from pathlib import Path

import pytest

from tests.support.builders import endoscopic_image
from tests.support.installation import Service, install, running, storescu

pytestmark = [pytest.mark.external("DCMTK"), pytest.mark.slow]

STUDIES, INSTANCES = 6, 20
REST_S = 90.0


def numbers(service: Service) -> dict[str, float]:
    url = f"http://127.0.0.1:{service.api_port}/metrics"
    with urllib.request.urlopen(url, timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith("second_reader_"))
    return {name.removeprefix("second_reader_"): float(value) for name, value in pairs}


def at_rest(service: Service) -> dict[str, float]:
    """Return the numbers once no study is on its way any more."""
    deadline = time.monotonic() + REST_S
    while time.monotonic() < deadline:
        found = numbers(service)
        if found['studies{outcome="queued"}'] == 0 and found["studies_received"]:
            return found
        time.sleep(1)
    raise AssertionError(f"the service does not come to rest: {numbers(service)}")


def outcomes(found: dict[str, float], what: str) -> float:
    return sum(value for name, value in found.items() if name.startswith(f"{what}{{"))


def written(folder: Path) -> Path:
    folder.mkdir()
    for study in range(STUDIES):
        uid = f"2.25.11{study}"
        for number in range(INSTANCES):
            attributes = {
                "StudyInstanceUID": uid,
                "SeriesInstanceUID": f"{uid}.1",
                "SOPInstanceUID": f"{uid}.1.{number}",
                "PatientID": f"PID-{study}" if study else None,  # the first is held
            }
            endoscopic_image(None, attributes).save_as(folder / f"{study}-{number}.dcm")
    return folder


def test_the_sums_hold_at_rest_also_after_kill_9(tmp_path: Path) -> None:
    sent = written(tmp_path / "sent")
    with running(install(tmp_path / "site")) as service:
        sender = storescu(service.dicom_port, sent)
        objects = service.folder / "data" / "objects"
        # It sends one after the other: the second is there, so it was told of the first.
        while len(list(objects.rglob("[0-9a-f]" * 32))) < 2:
            time.sleep(0.05)
        service.kill()
        sender.communicate(timeout=60)
        service.start()
        again = storescu(service.dicom_port, sent)
        again.communicate(timeout=120)
        assert again.returncode == 0
        found = at_rest(service)
    assert found["objects_unaccounted"] == found["studies_unaccounted"] == 0
    assert outcomes(found, "objects") == found["objects_received"]
    assert outcomes(found, "studies") == found["studies_received"]
    assert found['objects{outcome="stored"}'] == STUDIES * INSTANCES
    assert found['objects{outcome="duplicate"}'] >= 1  # what the first sender had been told of
    assert found['studies{outcome="held"}'] >= 1
