"""`/livez`, `/readyz`, `/metrics`, `/v1/models`."""

from api.views import PartHealth
from tests.api.fakes import KEY, STUDY_UID, House


def test_the_process_is_alive_though_nothing_else_is() -> None:
    house = House()
    house.health.parts = (PartHealth("database", False, "it is away", "start it"),)
    house.sink.is_broken = True
    assert house.call("GET", "/livez", key=None).json() == {"status": "alive"}


def test_readiness_names_each_part_with_its_reason_and_remedy() -> None:
    house = House()
    house.health.parts = (
        PartHealth("reader", True, "1 model loaded"),
        PartHealth("database", False, "it is away", "start it"),
    )
    answer = house.call("GET", "/readyz", key=None)
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "not ready",
        "parts": [
            {"name": "reader", "is_ready": True, "reason": "1 model loaded", "remedy": ""},
            {"name": "database", "is_ready": False, "reason": "it is away", "remedy": "start it"},
        ],
    }


def test_many_who_ask_share_one_look() -> None:
    house = House()
    for _ in range(5):
        assert house.call("GET", "/readyz", key=None).status_code == 200
    assert house.health.looks == 1


def test_metrics_count_by_route_template_and_hold_no_identity() -> None:
    house = House()
    house.call("GET", f"/v1/studies/{STUDY_UID}")
    house.call("GET", f"/v1/studies/{STUDY_UID}/x")
    house.call("GET", "/v1/studies", key=None)
    answer = house.call("GET", "/metrics", key=None)
    assert answer.headers["content-type"].startswith("text/plain")
    assert (
        "second_reader_http_requests_total"
        '{method="GET",route="/v1/studies/{uid}",status="200"} 1.0' in answer.text
    )
    assert 'route="unmatched",status="404"} 1.0' in answer.text
    assert 'second_reader_http_access_refusals_total{status="401"} 1.0' in answer.text
    for identity in (STUDY_UID, "P-7", "Ada", KEY, "emr"):
        assert identity not in answer.text


def test_models_are_listed_with_their_card() -> None:
    (model,) = House().call("GET", "/v1/models").json()["models"]
    assert model["performance"] == {"mAP50": 0.8}
    assert model["is_ready"] is True
