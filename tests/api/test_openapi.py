"""The OpenAPI document says the truth: its examples work, its statuses happen, no route is bare."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from api import peer_schemas, schemas
from api.access import ACCESS, check_covered
from api.events import EventKind
from api.views import PartHealth
from core.errors import ConfigurationError, SealError, UnavailableError
from tests.api.fakes import FRESH_UID, HELD_UID, POOR_KEY, STUDY_UID, House, jpeg

SPAN = {"from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z"}
ASKED: dict[str, Callable[[House], httpx.Response]] = {
    "POST /v1/detect": lambda h: h.detect(files={"file": jpeg(8)}),
    "GET /v1/studies": lambda h: h.call("GET", "/v1/studies"),
    "GET /v1/studies/{uid}": lambda h: h.call("GET", f"/v1/studies/{STUDY_UID}"),
    "GET /v1/studies/{uid}/results": lambda h: h.call("GET", f"/v1/studies/{STUDY_UID}/results"),
    "POST /v1/studies/{uid}/retry": lambda h: h.call("POST", f"/v1/studies/{HELD_UID}/retry"),
    "GET /v1/audit": lambda h: h.call("GET", "/v1/audit", params=SPAN),
    "GET /v1/peers": lambda h: h.call("GET", "/v1/peers"),
    "GET /v1/peers/unknown": lambda h: h.call("GET", "/v1/peers/unknown"),
    "GET /v1/models": lambda h: h.call("GET", "/v1/models"),
    "GET /v1/openapi.json": lambda h: h.call("GET", "/v1/openapi.json"),
    "GET /livez": lambda h: h.call("GET", "/livez", key=None),
    "GET /readyz": lambda h: h.call("GET", "/readyz", key=None),
    "GET /metrics": lambda h: h.call("GET", "/metrics", key=None),
}
"""A good request for every route."""


def document() -> dict[str, Any]:
    answer = House().call("GET", "/v1/openapi.json")
    assert answer.status_code == 200
    parsed: dict[str, Any] = answer.json()
    return parsed


def operations() -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    }


def test_every_route_names_its_audit_event_or_is_exempt_with_a_reason() -> None:
    """AUD-2: by construction, and walked once more from the outside."""
    for route in operations():
        access = ACCESS[route]
        assert (access.event is None) == bool(access.exempt_because), route
    assert set(ACCESS) - set(operations()) == {"GET /v1/openapi.json"}


def test_a_route_with_neither_cannot_be_built() -> None:
    with pytest.raises(ConfigurationError, match="GET /v1/backdoor"):
        check_covered([*ACCESS, "GET /v1/backdoor"])
    with pytest.raises(ConfigurationError, match="GET /livez"):
        check_covered(set(ACCESS) - {"GET /livez"})


@pytest.mark.parametrize("route", ACCESS)
def test_every_route_makes_the_event_that_the_table_names(route: str) -> None:
    house = House()
    assert ASKED[route](house).is_success
    expected = ACCESS[route].event
    assert [event.kind for event in house.sink.events] == ([expected] if expected else [])


@pytest.mark.parametrize("route", [route for route, access in ACCESS.items() if access.event])
def test_no_audited_route_answers_when_it_cannot_be_recorded(route: str) -> None:
    house = House()
    house.sink.is_broken = True
    assert ASKED[route](house).status_code == 503


@pytest.mark.parametrize("route", [route for route, access in ACCESS.items() if access.needs_key])
def test_every_route_but_health_wants_a_key(route: str) -> None:
    house = House()
    method, _, path = route.partition(" ")
    answer = house.call(method, path.replace("{uid}", STUDY_UID), key=None)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert [event.kind for event in house.sink.events] == [EventKind.USER_AUTHENTICATION]


@pytest.mark.parametrize("route", [route for route, access in ACCESS.items() if access.scope])
def test_every_route_wants_its_scope(route: str) -> None:
    house = House()
    method, _, path = route.partition(" ")
    answer = house.call(method, path.replace("{uid}", STUDY_UID), key=POOR_KEY)
    assert answer.status_code == 403
    assert str(ACCESS[route].scope) in answer.json()["detail"]
    assert [event.kind for event in house.sink.events] == [EventKind.SECURITY_ALERT]


ANSWERS = {
    "POST /v1/detect": schemas.DetectAnswer,
    "GET /v1/studies": schemas.StudyList,
    "GET /v1/studies/{uid}": schemas.StudyAnswer,
    "GET /v1/studies/{uid}/results": schemas.ResultsAnswer,
    "POST /v1/studies/{uid}/retry": schemas.StudyItem,
    "GET /v1/audit": schemas.AuditList,
    "GET /v1/peers": peer_schemas.PeerList,
    "GET /v1/peers/unknown": peer_schemas.CallerList,
    "GET /v1/models": schemas.ModelList,
    "GET /readyz": schemas.Readiness,
}


@pytest.mark.parametrize("route", ANSWERS)
def test_the_example_of_an_answer_looks_like_the_answer(route: str) -> None:
    operation = operations()[route]
    status = next(status for status in operation["responses"] if status.startswith("2"))
    example = operation["responses"][status]["content"]["application/json"]["example"]
    got = ASKED[route](House())
    assert got.status_code == int(status)
    assert _shape(got.json()) == _shape(example)


def _shape(value: object) -> object:
    if isinstance(value, dict):
        return {name: _shape(item) for name, item in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [_shape(value[0])]
    return "list" if isinstance(value, list) else "scalar"


def test_the_example_of_a_request_is_accepted() -> None:
    contents = operations()["POST /v1/detect"]["requestBody"]["content"]
    answer = House().detect(json=contents["application/json"]["example"])
    assert answer.status_code == 200
    uid = operations()["GET /v1/studies/{uid}"]["parameters"][0]
    assert House().call("GET", f"/v1/studies/{uid['schema']['examples'][0]}").is_success


def _broken(**faults: Any) -> Callable[[str], httpx.Response]:
    """Return a call of a route in a house where something is broken."""

    def call(route: str) -> httpx.Response:
        house = House()
        if "read" in faults:
            for port, method in (
                (house.detector, "detector"),
                (house.studies, "find"),
                (house.studies, "study"),
                (house.audit, "search"),
                (house.models, "models"),
                (house.peers, "peers"),
                (house.peers, "refused"),
            ):
                setattr(port, method, _raising(faults["read"]))
        return ASKED[route](house)

    return call


def _raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def _bad_parameter(route: str) -> httpx.Response:
    method, _, path = route.partition(" ")
    return House().call(method, path.replace("{uid}", STUDY_UID), params={"api_key": "x"})


def _unknown_study(route: str) -> httpx.Response:
    if route == "POST /v1/detect":
        return House().detect(files={"file": jpeg(8)}, data={"model": "ghost"})
    method, _, path = route.partition(" ")
    return House().call(method, path.replace("{uid}", "2.25.404"))


def _wrong_state(route: str) -> httpx.Response:
    method, _, path = route.partition(" ")
    uid = FRESH_UID if route.endswith("retry") else HELD_UID
    house = House()
    if route.endswith("retry"):
        house.call("POST", f"/v1/studies/{HELD_UID}/retry")
        uid = HELD_UID
    return house.call(method, path.replace("{uid}", uid))


def _not_ready(route: str) -> httpx.Response:
    house = House()
    house.health.parts = (PartHealth("reader", False, "it does not answer", "restart it"),)
    return ASKED[route](house)


def _impatient(route: str) -> httpx.Response:
    house = House(requests_per_minute=1)
    house.call("GET", "/v1/models")
    return ASKED[route](house)


async def _trickle() -> Any:
    yield b"{"
    await asyncio.sleep(5)


HAPPENS: dict[int, Callable[[str], httpx.Response]] = {
    200: lambda route: ASKED[route](House()),
    202: lambda route: ASKED[route](House()),
    400: lambda _: House().detect(content=b"{", headers={"content-type": "application/json"}),
    401: lambda route: House().call(
        route.split()[0], route.split()[1].replace("{uid}", STUDY_UID), key=None
    ),
    403: lambda route: House().call(
        route.split()[0], route.split()[1].replace("{uid}", STUDY_UID), key=POOR_KEY
    ),
    404: _unknown_study,
    408: lambda _: House(body_timeout_s=0.05).detect(
        content=_trickle(), headers={"content-type": "application/json"}
    ),
    409: _wrong_state,
    413: lambda _: House(max_body_bytes=100).detect(files={"file": jpeg(8)}),
    415: lambda _: House().detect(content=jpeg(8), headers={"content-type": "image/jpeg"}),
    422: _bad_parameter,
    429: _impatient,
    500: _broken(read=SealError("a sealed record was changed")),
    503: _broken(read=UnavailableError("the database is away")),
}
DOCUMENTED = [
    (route, int(status))
    for route, operation in operations().items()
    for status in operation["responses"]
]


@pytest.mark.parametrize(("route", "status"), DOCUMENTED)
def test_every_documented_status_happens(route: str, status: int) -> None:
    call = _not_ready if (route, status) == ("GET /readyz", 503) else HAPPENS[status]
    answer = call(route)
    assert answer.status_code == status, answer.text
    if status >= 400 and route != "GET /readyz":
        assert answer.headers["content-type"] == "application/problem+json"
        problem = schemas.Problem.model_validate(answer.json())
        assert problem.status == status
        assert problem.request_id == answer.headers["x-request-id"]


def test_the_document_loads_nothing_from_elsewhere_and_hides_the_versions_of_its_parts() -> None:
    text = json.dumps(document())
    assert "http://" not in text
    assert "https://" not in text
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert House().call("GET", path).status_code == 404
