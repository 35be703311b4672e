"""`POST /v1/detect`."""

import base64
from dataclasses import replace

import pytest

from api.events import EventKind, EventOutcome
from api.views import DetectionAnswer, DetectionRequest, Medium
from core.errors import CapacityError
from core.findings import Evaluation, Outcome, Polygon, Reading
from tests.api.fakes import House, jpeg, whole

PART_10 = bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00\x00\x00\x00\x00"


def test_a_form_is_answered_with_the_keys_of_the_contract() -> None:
    house = House()
    answer = house.detect(files={"file": ("frame.jpg", jpeg(), "image/jpeg")})
    body = answer.json()
    assert answer.status_code == 200
    assert body["detections"][0]["bbox"] == [104.0, 88.5, 190.25, 171.0]
    assert body["detections"][0]["confidence"] == 0.89
    assert body["detections"][0]["class"] == "polyp"
    assert body["processed_at"] == "2026-11-20T10:30:00Z"
    assert body["model_version"] == "polyp 1.0.0"
    assert body["image"] == {"rows": 352, "columns": 352, "number_of_frames": 1}


def test_json_says_itself_whether_it_is_a_picture_or_dicom() -> None:
    house = House()
    for name, content in (("image", jpeg(8)), ("dicom", PART_10)):
        answer = house.detect(json={name: base64.b64encode(content).decode()})
        assert answer.status_code == 200
        request = house.detector.requests[-1]
        assert (request.medium.value, request.content) == (name, content)


@pytest.mark.parametrize(
    ("content", "declared", "medium"),
    [
        (PART_10, "image/jpeg", Medium.DICOM),
        (PART_10, "application/octet-stream", Medium.DICOM),
        (PART_10[128:], "application/dicom", Medium.DICOM),
        (jpeg(8), "application/octet-stream", Medium.PICTURE),
    ],
)
def test_a_file_of_a_form_is_told_by_its_content(
    content: bytes, declared: str, medium: Medium
) -> None:
    house = House()
    assert house.detect(files={"file": ("f", content, declared)}).status_code == 200
    assert house.detector.requests[0].medium is medium


def test_model_and_confidence_reach_the_detector_and_its_time_limit_too() -> None:
    house = House(detection_timeout_s=7)
    answer = house.detect(files={"file": jpeg(8)}, data={"model": "polyp", "confidence": "0.95"})
    assert answer.json()["detections"] == []
    assert answer.json()["conclusion"] == "no finding"
    assert answer.json()["threshold"] == 0.95
    request = house.detector.requests[0]
    assert (request.model, request.confidence) == ("polyp", 0.95)
    assert 6 < request.timeout_s <= 7


def test_a_large_file_comes_throughwhole() -> None:
    content = jpeg(8) + bytes(range(256)) * 16_000
    house = House()
    assert house.detect(files={"file": content}).status_code == 200
    assert house.detector.requests[0].content == content


def test_the_audit_names_whose_instance_was_read_and_the_answer_does_not() -> None:
    house = House()
    answer = house.detect(json={"dicom": base64.b64encode(PART_10).decode()})
    (event,) = house.sink.events
    assert event.kind is EventKind.IMPORT
    assert event.outcome is EventOutcome.SUCCESS
    assert event.studies[0].study_instance_uid == "2.25.77"
    assert event.principal is not None
    assert event.principal.name == "emr"
    assert "2.25.77" not in answer.text
    assert "Ada" not in answer.text


def test_a_failed_detection_is_recorded_too() -> None:
    house = House()
    assert house.detect(files={"file": b"no picture"}).status_code == 422
    assert house.sink.events[0].outcome is EventOutcome.MINOR_FAILURE
    assert house.sink.events[0].reason == "the picture cannot be decoded"


def test_an_unrecorded_detection_is_not_answered() -> None:
    house = House()
    house.sink.is_broken = True
    answer = house.detect(files={"file": jpeg(8)})
    assert answer.status_code == 503
    assert answer.json()["type"].endswith(":audit-unavailable")
    assert "detections" not in answer.json()


@pytest.mark.parametrize("outcome", [Outcome.NOT_EVALUATED, Outcome.COULD_NOT_PROCESS])
def test_what_was_not_evaluated_is_never_an_empty_list(outcome: Outcome) -> None:
    def blind(request: DetectionRequest) -> DetectionAnswer:
        answer = whole(request)
        key = answer.reading.evaluations[0].instance_key
        evaluation = Evaluation(key, outcome, reason="the modality is not ES")
        return replace(answer, reading=Reading(answer.reading.algorithm, (), (evaluation,)))

    house = House()
    house.detector.detector = blind
    answer = house.detect(files={"file": jpeg(8)})
    assert answer.status_code == 422
    assert answer.json()["type"].endswith(":unreadable")
    assert "the modality is not ES" in answer.json()["detail"]


def test_an_outline_is_answered_with_the_box_around_it() -> None:
    def outlined(request: DetectionRequest) -> DetectionAnswer:
        answer = whole(request)
        region = Polygon(((1.0, 9.0), (5.0, 2.0), (3.0, 4.0)))
        finding = replace(answer.reading.findings[0], region=region)
        return replace(answer, reading=replace(answer.reading, findings=(finding,)))

    house = House()
    house.detector.detector = outlined
    detection = house.detect(files={"file": jpeg(8)}).json()["detections"][0]
    assert detection["bbox"] == [1.0, 2.0, 5.0, 9.0]
    assert detection["outline"] == [[1.0, 9.0], [5.0, 2.0], [3.0, 4.0]]


def test_a_busy_reader_is_503_with_the_time_to_come_again() -> None:
    def busy(_: DetectionRequest) -> DetectionAnswer:
        raise CapacityError("the reader is busy")

    house = House(retry_after_s=9)
    house.detector.detector = busy
    answer = house.detect(files={"file": jpeg(8)})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "9"
