"""REST against the whole service: real processes, a real socket, a tiny real model."""

import base64
import io
import re
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset

from archive.results import ResultObject
from service.foundation import opened
from service.settings import load_settings
from tests.support.builders import part10
from tests.support.detector import bright_cells_package, picture_with_cells
from tests.support.house import image_with_cells
from tests.support.installation import AE_TITLE, SENDER, Service, install, running

MAX_BODY_BYTES = 1024 * 1024
MARKER = "Unmistakable^Marker"
CELL = [16.0, 24.0, 24.0, 32.0]
"""Where the model sees the cell (2, 3)."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("rest")
    rules = [{"name": "cells"}, {"name": "polyp", "peers": ["nobody"]}]
    made = install(
        folder / "installation",
        sections={
            "inference": {"models": rules, "package_folders": ["models"]},
            "api": {
                "max_body_bytes": MAX_BODY_BYTES,
                "detection_timeout_s": 8,
                "max_concurrent_detections": 2,
            },
        },
    )
    bright_cells_package(made.folder / "models" / "cells")
    with running(made):
        yield made


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=f"http://127.0.0.1:{service.api_port}",
        headers={"Authorization": f"Bearer {service.api_key}"},
        timeout=30,
    ) as made:
        yield made


@pytest.fixture(scope="module")
def original() -> FileDataset:
    return image_with_cells((2, 3), (5, 5), PatientName="Example^Ada", PatientID="PID-7")


@pytest.fixture(scope="module")
def study(
    service: Service,
    client: httpx.Client,
    original: FileDataset,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """Push one study over DICOM, wait until it is through, and return its UID."""
    file = tmp_path_factory.mktemp("pushed") / "frame.dcm"
    file.write_bytes(part10(original))
    to = f"127.0.0.1:{service.dicom_port}"
    service.run("send", str(file), "--to", to, "--called", AE_TITLE, "--calling", SENDER)
    uid = str(original.StudyInstanceUID)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if client.get(f"/v1/studies/{uid}").json()["state"] == "COMPLETED":
            return uid
        time.sleep(0.3)
    raise AssertionError(f"the study is not through:\n{service.tail()}")


def jpeg(*cells: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = MARKER
    picture = Image.fromarray(picture_with_cells(*cells))
    picture.save(out, "JPEG", quality=95, exif=exif)
    return out.getvalue()


def detect(client: httpx.Client, **rest: Any) -> httpx.Response:
    return client.post("/v1/detect", **rest)


def issued(service: Service, *scopes: str) -> str:
    made = service.json("apikey", "add", "another", *(f"--scope={scope}" for scope in scopes))
    return str(made["api_key"])


# --- detect ---------------------------------------------------------------------------------------


def assert_is_the_cell(answer: httpx.Response) -> None:
    """The shape that others rely on, exactly: more keys may be there, these must."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    (found,) = body["detections"]
    assert found["bbox"] == CELL
    assert found["class"] == "bright"
    assert 0.9 < found["confidence"] <= 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", body["processed_at"])
    assert body["model_version"] == "cells 1.0.0"


def test_a_picture_in_a_form_is_read_at_once(client: httpx.Client) -> None:
    file = ("frame.jpg", jpeg((2, 3)), "image/jpeg")
    assert_is_the_cell(detect(client, files={"file": file}, data={"confidence": "0.9"}))


def test_a_picture_in_json_is_read_at_once(client: httpx.Client) -> None:
    body = {"image": base64.b64encode(jpeg((2, 3))).decode(), "confidence": 0.9}
    assert_is_the_cell(detect(client, json=body))


def test_an_object_is_read_at_once_in_a_form_and_in_json(client: httpx.Client) -> None:
    whole = part10(image_with_cells((2, 3), PatientName=MARKER))
    body = {"dicom": base64.b64encode(whole).decode(), "confidence": 0.9}
    assert_is_the_cell(detect(client, json=body))
    file = ("frame.dcm", whole, "application/dicom")
    assert_is_the_cell(detect(client, files={"file": file}, data={"confidence": "0.9"}))


def test_the_confidence_is_the_lowest_score_that_is_listed(client: httpx.Client) -> None:
    files = {"file": jpeg((2, 3))}
    everything = detect(client, files=files, data={"confidence": "0"}).json()
    assert len(everything["detections"]) == 64
    assert everything["threshold"] == 0
    nothing = detect(client, files={"file": jpeg()}).json()
    assert nothing["detections"] == []
    assert nothing["conclusion"] == "no finding"


def test_another_model_reads_if_it_is_named(client: httpx.Client) -> None:
    answer = detect(client, files={"file": jpeg((2, 3))}, data={"model": "polyp"})
    assert answer.json()["model_version"].startswith("polyp ")
    unknown = detect(client, files={"file": jpeg((2, 3))}, data={"model": "lung"})
    assert unknown.status_code == 404
    assert "there is no model lung" in unknown.json()["detail"]


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        ({"files": {"file": b"\xff\xd8\xff no picture"}}, 422),
        ({"files": {"file": b"GIF89a"}}, 422),
        ({"files": {"other": b"x"}}, 422),
        ({"json": {"image": "!"}}, 422),
        ({"json": {"image": "AAAA", "more": 1}}, 422),
        ({"json": {"image": "AAAA", "confidence": 2}}, 422),
        ({"json": {"dicom": base64.b64encode(bytes(128) + b"DICM").decode()}}, 422),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"content": b"x", "headers": {"Content-Type": "image/jpeg"}}, 415),
    ],
)
def test_what_cannot_be_read_is_one_clear_problem(
    client: httpx.Client, rest: dict[str, Any], status: int
) -> None:
    answer = detect(client, **rest)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_a_body_that_is_too_large_is_refused_before_it_is_read(
    service: Service, client: httpx.Client
) -> None:
    head = (
        "POST /v1/detect HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {service.api_key}",
        "Content-Type: multipart/form-data; boundary=b",
        f"Content-Length: {MAX_BODY_BYTES + 1}",
    )
    with socket.create_connection(("127.0.0.1", service.api_port), timeout=10) as connection:
        connection.sendall("\r\n".join((*head, "", "")).encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 413 ")
    assert detect(client, files={"file": bytes(MAX_BODY_BYTES + 1)}).status_code == 413
    assert_is_the_cell(detect(client, files={"file": jpeg((2, 3))}, data={"confidence": "0.9"}))


def test_a_detection_leaves_nothing_behind_but_its_record(
    service: Service, client: httpx.Client
) -> None:
    before = files_of(service)
    for whole in (jpeg((2, 3)), part10(image_with_cells((2, 3), PatientName=MARKER))):
        assert detect(client, files={"file": whole}).status_code == 200
    new = files_of(service) - before
    assert {path.parts[0] for path in new} <= {"audit"}
    assert client.get("/v1/studies").json() == {"studies": [], "next_cursor": None}
    for path in service.folder.rglob("*"):
        if path.is_file():
            assert b"Unmistakable" not in path.read_bytes()
    assert "Unmistakable" not in service.tail(100_000)


def files_of(service: Service) -> set[Path]:
    return {
        path.relative_to(service.folder)
        for path in service.folder.rglob("*")
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


# --- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer sr_aaaaaaaa_aaaaaaaaaaaaaaaa"}, {"Authorization": "Basic YTpi"}],
)
def test_without_a_key_that_we_know_nothing_is_read(
    service: Service, headers: dict[str, str]
) -> None:
    for method, path in (("POST", "/v1/detect"), ("GET", "/v1/studies"), ("GET", "/v1/audit")):
        answer = httpx.request(method, url(service, path), headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_key_opens_only_what_it_was_made_for_and_nothing_once_it_is_revoked(
    service: Service,
) -> None:
    key = issued(service, "models:read")
    headers = {"X-API-Key": key}
    assert httpx.get(url(service, "/v1/models"), headers=headers).status_code == 200
    refused = httpx.get(url(service, "/v1/studies"), headers=headers)
    assert refused.status_code == 403
    assert "studies:read" in refused.json()["detail"]
    service.run("apikey", "revoke", key.split("_")[1])
    assert httpx.get(url(service, "/v1/models"), headers=headers).status_code == 401


def url(service: Service, path: str) -> str:
    return f"http://127.0.0.1:{service.api_port}{path}"


# --- studies --------------------------------------------------------------------------------------


def test_a_study_that_was_pushed_is_listed_under_its_patient(
    client: httpx.Client, study: str, original: FileDataset
) -> None:
    listed = client.get("/v1/studies", params={"state": "COMPLETED"}).json()["studies"]
    (found,) = (one for one in listed if one["study_instance_uid"] == study)
    assert found["patient_id"] == "PID-7"
    assert found["issuer_of_patient_id"] == original.IssuerOfPatientID
    assert found["accession_number"] == original.AccessionNumber
    assert (found["modalities"], found["number_of_instances"]) == (["ES"], 1)
    assert client.get("/v1/studies", params={"state": "HELD"}).json()["studies"] == []


def test_a_study_tells_its_way(client: httpx.Client, study: str) -> None:
    detail = client.get(f"/v1/studies/{study}").json()
    assert detail["completeness"]["is_complete"]
    assert "quiet for 2 s" in detail["completeness"]["rule"]
    assert detail["journey"][0]["event"].startswith("received")
    assert detail["journey"][-1]["event"] == "process: done"
    assert client.get("/v1/studies/2.25.404").status_code == 404


def test_results_are_those_of_the_objects_in_the_archive(
    service: Service, client: httpx.Client, study: str, original: FileDataset
) -> None:
    told = client.get(f"/v1/studies/{study}/results").json()
    assert (told["patient_id"], told["study_instance_uid"]) == ("PID-7", study)
    assert (told["revision"], told["newest_revision"], told["state"]) == (1, 1, "COMPLETED")
    (reading,) = told["readings"]
    assert reading["statement"] == "Findings above 0.25; 1 of 1 instances evaluated."
    assert [one["bbox"] for one in reading["findings"]] == [CELL, [40.0, 40.0, 48.0, 48.0]]
    assert {one["sop_instance_uid"] for one in reading["findings"]} == {original.SOPInstanceUID}
    kept = dict(objects_of(service, study))
    assert {one["sop_instance_uid"] for one in told["objects"]} == set(kept)
    (report,) = (one for one in kept.values() if one.Modality == "SR")
    assert report.PatientID == "PID-7"
    assert report.StudyInstanceUID == study
    uids = [one["tracking_uid"] for one in reading["findings"]]
    assert uids == tracking_uids(report)


def objects_of(service: Service, study_uid: str) -> Iterator[tuple[str, Dataset]]:
    """Open what the archive holds, beside the running service."""
    with opened(load_settings(service.config), "test") as foundation:
        archive = foundation.archive
        with archive.snapshot() as tx:
            key = archive.catalogue.locate(tx, study_uid)
            kept: tuple[ResultObject, ...] = archive.results.objects_of_study(tx, key)
        for one in kept:
            content = archive.read_object(key, one.blob_name)
            yield one.sop_instance_uid, dcmread(io.BytesIO(content))


def tracking_uids(item: Dataset) -> list[str]:
    """Return every Tracking Unique Identifier (112040, DCM) of a content tree, in its order."""
    found = []
    for child in item.get("ContentSequence", []):
        name = child.get("ConceptNameCodeSequence")
        if name and name[0].CodeValue == "112040":
            found.append(str(child.UID))
        found += tracking_uids(child)
    return found


# --- models, audit, health ------------------------------------------------------------------------


def test_models_are_shown_with_what_they_are_for(client: httpx.Client) -> None:
    cards = {card["name"]: card for card in client.get("/v1/models").json()["models"]}
    assert set(cards) >= {"cells", "polyp"}
    assert cards["polyp"]["is_ready"]
    assert "Not a medical device" in cards["polyp"]["intended_use"]
    assert cards["polyp"]["performance"]["mAP50"] > 0


def test_the_audit_log_tells_of_custody_and_of_every_access(
    client: httpx.Client, study: str, original: FileDataset
) -> None:
    client.get(f"/v1/studies/{study}")
    detect(client, files={"file": jpeg((2, 3))})
    found = audit_records(client)
    events = {record["event"]["value"] for record in found}
    assert {"SR-101", "110103", "110104", "110107", "110112"} <= events
    custody = [record for record in found if record["event"]["value"] == "SR-101"]
    assert original.SOPInstanceUID in {value for one in custody for _, value in one["details"]}
    assert "PID-7" in {thing["id"] for thing in custody[0]["objects"]}
    looks = [
        record
        for record in found
        if ["Route", "GET /v1/studies/{uid}"] in record["details"] and record["outcome"] == 0
    ]
    assert looks
    assert {who["user_name"] for one in looks for who in one["participants"]} >= {"test"}
    ids = [record["event_id"] for record in found]
    assert len(ids) == len(set(ids))


def test_a_refused_request_is_in_the_audit_log(service: Service, client: httpx.Client) -> None:
    httpx.get(url(service, "/v1/studies"), headers={"X-API-Key": "sr_aaaaaaaa_aaaaaaaaaaaaaaaa"})
    refused = [one for one in audit_records(client) if one["event"]["value"] == "110114"]
    assert refused[-1]["outcome"] == 4
    assert refused[-1]["description"] == "the API key is unknown"


def audit_records(client: httpx.Client) -> list[dict[str, Any]]:
    """Read every page of the last hour."""
    now = datetime.now(UTC)
    asked = {
        "from": (now - timedelta(hours=1)).isoformat(),
        "to": (now + timedelta(hours=1)).isoformat(),
        "limit": "7",
    }
    found: list[dict[str, Any]] = []
    while True:
        page = client.get("/v1/audit", params=asked).json()
        found += page["records"]
        if page["next_cursor"] is None:
            return found
        asked["cursor"] = page["next_cursor"]


def test_health_and_numbers_need_no_key_and_name_nobody(
    service: Service, client: httpx.Client, study: str
) -> None:
    assert httpx.get(url(service, "/livez")).json() == {"status": "alive"}
    ready = httpx.get(url(service, "/readyz"))
    assert ready.status_code == 200
    assert {part["name"] for part in ready.json()["parts"]} == {
        "database",
        "disk",
        "dicom",
        "reader",
        "worker",
        "audit",
    }
    numbers = httpx.get(url(service, "/metrics")).text
    assert 'second_reader_study_revisions{state="COMPLETED"} 1.0' in numbers
    assert "second_reader_archive_up 1.0" in numbers
    assert 'route="/v1/studies/{uid}"' in numbers
    for identity in (study, "PID-7", "Example"):
        assert identity not in numbers
        assert identity not in ready.text


def test_looks_at_health_are_no_calls_to_the_listener(
    service: Service, client: httpx.Client
) -> None:
    for _ in range(3):
        httpx.get(url(service, "/readyz"))
        time.sleep(1.1)
    assert "refused" not in service.tail(100_000)
    types = [record["type_code"] for record in audit_records(client)]
    assert "110126" not in {kind["value"] for kind in types if kind}  # node authentication


def test_a_reader_that_hangs_costs_a_client_its_time_limit_and_the_service_nothing(
    service: Service, client: httpx.Client
) -> None:
    """Both threads for detections are free again as soon as their clients were answered."""
    reader = service.role("reader")
    reader.suspend()
    try:
        for _ in range(3):
            answer = detect(client, files={"file": jpeg((2, 3))})
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
        assert httpx.get(url(service, "/livez")).status_code == 200
    finally:
        reader.resume()
    assert detect(client, files={"file": jpeg((2, 3))}).status_code == 200


def test_readiness_ends_with_the_reader_and_comes_back_with_it(
    service: Service, client: httpx.Client
) -> None:
    service.role("reader").kill()
    seen = wait_for_status(service, 503)
    (reader,) = (part for part in seen["parts"] if part["name"] == "reader")
    assert not reader["is_ready"]
    assert "reader" in reader["reason"]
    assert reader["remedy"]
    unavailable = detect(client, files={"file": jpeg((2, 3))})
    if unavailable.status_code != 200:  # it may be back already
        assert unavailable.status_code == 503
        assert unavailable.headers["retry-after"]
    wait_for_status(service, 200)
    assert detect(client, files={"file": jpeg((2, 3))}).status_code == 200


def wait_for_status(service: Service, status: int) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = httpx.get(url(service, "/readyz"), timeout=10)
        if answer.status_code == status:
            return dict(answer.json())
        time.sleep(0.1)
    raise AssertionError(f"/readyz never answered {status}:\n{service.tail()}")


def test_a_client_that_stays_connected_is_answered_after_a_pause(
    service: Service, tmp_path: Path
) -> None:
    with httpx.Client(headers={"Authorization": f"Bearer {service.api_key}"}) as kept:
        assert kept.get(url(service, "/v1/models")).status_code == 200
        time.sleep(1)
        assert kept.get(url(service, "/v1/models")).status_code == 200
