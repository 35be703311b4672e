"""Who gets in, and what is left in the audit log of who does not."""

from collections.abc import AsyncIterator

import pytest

from api.events import EventKind, EventOutcome, Principal, Scope
from tests.api.fakes import ADDRESS, KEY, POOR_KEY, STUDY_UID, House


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer  {KEY}"},
        {"X-API-Key": KEY},
    ],
)
def test_a_key_is_taken_from_either_header(headers: dict[str, str]) -> None:
    assert House().call("GET", "/v1/models", key=None, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer short"},
        {"Authorization": "Bearer " + "x" * 257},
        {"Authorization": f"Bearer {KEY} {KEY}"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": KEY},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": f"Bearer {KEY[:-1]}\t"},
        {"Authorization": f"Bearer {KEY}", "X-API-Key": KEY},
        {"X-API-Key": "unknown-key-0123456789"},
        {"Cookie": f"key={KEY}"},
    ],
)
def test_anything_else_is_401_and_recorded(headers: dict[str, str]) -> None:
    house = House()
    answer = house.call("GET", "/v1/models", key=None, headers=headers)
    assert answer.status_code == 401
    assert KEY not in answer.text
    (event,) = house.sink.events
    assert (event.kind, event.outcome) == (
        EventKind.USER_AUTHENTICATION,
        EventOutcome.MINOR_FAILURE,
    )
    assert event.principal is None
    assert event.origin.address == ADDRESS
    assert event.origin.route == "/v1/models"
    assert KEY not in repr(event)


def test_a_key_in_the_address_lets_nobody_in() -> None:
    """ASVS 14.2.1."""
    answer = House().call("GET", "/v1/models", key=None, params={"api_key": KEY})
    assert answer.status_code == 401


def test_an_unknown_key_and_none_sound_alike() -> None:
    house = House()
    bodies = [
        house.call("GET", "/v1/models", key=key).json() for key in (None, "unknown-0123456789")
    ]
    for body in bodies:
        del body["request_id"]
    assert bodies[0] == bodies[1]


def test_a_revoked_key_is_refused_at_the_next_request() -> None:
    house = House()
    assert house.call("GET", "/v1/models").status_code == 200
    del house.authenticator.keys[KEY]
    assert house.call("GET", "/v1/models").status_code == 401


@pytest.mark.parametrize("scope", Scope)
def test_each_scope_opens_its_own_routes_and_no_other(scope: Scope) -> None:
    """API-1: every route by every scope."""
    expected = {
        Scope.STUDIES_READ: {"/v1/studies", f"/v1/studies/{STUDY_UID}"},
        Scope.RESULTS_READ: {f"/v1/studies/{STUDY_UID}/results"},
        Scope.MODELS_READ: {"/v1/models"},
        Scope.PEERS_READ: {"/v1/peers", "/v1/peers/unknown"},
        Scope.AUDIT_READ: {"/v1/audit?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z"},
    }
    house = House()
    house.authenticator.keys[KEY] = Principal("one", "one", frozenset({scope}))
    for path in set().union(*expected.values()):
        allowed = path in expected.get(scope, set())
        assert house.call("GET", path).status_code == (200 if allowed else 403)


def test_a_missing_scope_is_an_alert_that_names_the_key() -> None:
    house = House()
    answer = house.call("GET", "/v1/studies", key=POOR_KEY)
    assert answer.status_code == 403
    (event,) = house.sink.events
    assert event.kind is EventKind.SECURITY_ALERT
    assert event.principal is not None
    assert event.principal.key_prefix == "none"
    assert event.reason == "the key lacks the scope studies:read"


def test_a_refusal_that_cannot_be_recorded_is_503() -> None:
    house = House()
    house.sink.is_broken = True
    assert house.call("GET", "/v1/studies", key=None).status_code == 503


def test_the_key_is_asked_for_before_the_body_is_read() -> None:
    pulled = []

    async def body() -> AsyncIterator[bytes]:
        pulled.append(1)
        yield b"x"

    answer = House().detect(key=None, content=body())
    assert answer.status_code == 401
    assert pulled == []


def test_the_key_is_asked_for_before_parameters_are_judged() -> None:
    assert House().call("GET", "/v1/studies?limit=x", key=None).status_code == 401
