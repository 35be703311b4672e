"""`/v1/audit`."""

from datetime import UTC, datetime

import pytest

from api.events import AuditQuery, EventKind, EventOutcome
from tests.api.fakes import House

SPAN = "from=2026-11-01T00:00:00Z&to=2026-12-01T00:00:00Z"


def test_a_search_is_itself_in_the_log() -> None:
    house = House()
    answer = house.call("GET", f"/v1/audit?{SPAN}&event=110103&user=emr&outcome=0&limit=9")
    assert answer.json()["records"][0]["event"]["value"] == "110103"
    assert house.audit.queries == [
        AuditQuery(
            datetime(2026, 11, 1, tzinfo=UTC),
            datetime(2026, 12, 1, tzinfo=UTC),
            "110103",
            "emr",
            EventOutcome.SUCCESS,
            9,
            None,
        )
    ]
    (event,) = house.sink.events
    assert event.kind is EventKind.AUDIT_LOG_USED
    assert "event=110103" in event.query


@pytest.mark.parametrize(
    "query",
    [
        "",
        "from=2026-11-01T00:00:00Z",
        "to=2026-11-01T00:00:00Z",
        "from=2026-11-01&to=2026-11-02",
        "from=2026-12-01T00:00:00Z&to=2026-11-01T00:00:00Z",
        f"{SPAN}&event=1101",
        f"{SPAN}&outcome=3",
        f"{SPAN}&patient=P-7",
        f"{SPAN}&at_from=2026-11-01T00:00:00Z",
    ],
)
def test_a_search_without_a_span_or_with_a_wrong_filter_is_refused(query: str) -> None:
    house = House()
    assert house.call("GET", f"/v1/audit?{query}").status_code == 422
    assert house.audit.queries == []
