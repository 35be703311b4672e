"""The outermost layer."""

import asyncio
import logging

import httpx
import pytest

from api.border import SECURITY_HEADERS
from api.views import DetectionAnswer, DetectionRequest
from tests.api.fakes import KEY, STUDY_UID, Gate, House, jpeg

PATIENT = "Doe^Jane"


@pytest.mark.parametrize(
    ("path", "key"), [("/livez", None), ("/v1/studies", KEY), ("/v1/studies", None), ("/x", None)]
)
def test_every_answer_has_the_security_headers(path: str, key: str | None) -> None:
    answer = House().call("GET", path, key=key)
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value
    assert len(answer.headers["x-request-id"]) == 16
    assert "server" not in answer.headers
    assert "strict-transport-security" not in answer.headers


def test_a_request_is_logged_by_template_and_key_prefix(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "api")
    house = House()
    headers = {"X-Request-Id": "MRN-77"}
    request_id = house.call("GET", f"/v1/studies/{STUDY_UID}", headers=headers).headers[
        "x-request-id"
    ]
    house.call("GET", f"/v1/studies/{STUDY_UID}/secret-path", headers=headers)
    text = caplog.text
    assert "GET /v1/studies/{uid} 200 in " in text
    assert f"request {request_id}, key all" in text
    for identity in (STUDY_UID, "P-7", "secret-path", "MRN-77", KEY, "emr"):
        assert identity not in text


def test_a_defect_is_logged_without_its_text_and_answered_without_anything(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def defective(request: DetectionRequest) -> DetectionAnswer:
        raise ValueError(PATIENT)

    house = House()
    house.detector.detector = defective
    answer = house.detect(files={"file": jpeg(8)})
    assert answer.status_code == 500
    assert answer.json()["type"].endswith(":defect")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "test_border.py" in caplog.text
    assert "ValueError" in caplog.text
    assert PATIENT not in caplog.text + answer.text
    assert "Traceback" not in answer.text
    assert [event.outcome for event in house.sink.events] == [8]


def test_too_many_requests_at_once_are_503_and_liveness_still_answers() -> None:
    house = House(max_concurrent=1)
    gate = Gate()
    house.detector.detector = gate

    async def crowd() -> tuple[int, int, int]:
        transport = httpx.ASGITransport(house.app)
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://api", headers=headers
        ) as client:
            first = asyncio.create_task(client.post("/v1/detect", files={"file": jpeg(8)}))
            await asyncio.to_thread(gate.entered.acquire)
            second = await client.get("/v1/studies")
            alive = await client.get("/livez")
            gate.is_open.set()
            return (await first).status_code, second.status_code, alive.status_code

    assert asyncio.run(crowd()) == (200, 503, 200)


def test_a_client_that_hangs_up_is_no_defect(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/detect",
        "query_string": b"",
        "headers": [
            (b"authorization", f"Bearer {KEY}".encode()),
            (b"content-type", b"application/json"),
        ],
        "client": None,
    }
    sent: list[object] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        sent.append(message)

    asyncio.run(house.app(scope, receive, send))
    assert sent == []
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert 'status="499"} 1.0' in house.call("GET", "/metrics").text
