"""Who asks over REST: API keys, what the audit log keeps, and its search."""

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from api.events import (
    AccessEvent,
    AuditPage,
    AuditQuery,
    AuditRecord,
    EventKind,
    EventOutcome,
    Principal,
    RequestOrigin,
    Scope,
)
from archive.archive import Archive
from audit.events import AuditEvent
from audit.records import SealedRecord
from audit.vocabulary import EventKind as AuditKind
from core.errors import AccessError, InputError
from core.model import PatientIdentity, StudyIdentity
from service.access import AccessTrail, KeyAuthenticator
from service.foundation import Foundation, opened
from service.keys import Purpose, create_keys
from service.log_reader import LogReader
from service.sequencer import Sequencer
from service.settings import load_settings
from tests.support.archives import make_archive

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ADA = StudyIdentity(
    PatientIdentity("P-7", "HOSPITAL", "Example^Ada", "19700102", "F"),
    "2.25.77",
    "A-1001",
    "20261120",
    "1030",
    "1",
)
EMR = Principal("the emr", "abcd1234", frozenset({Scope.DETECT}))


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    made = make_archive(tmp_path)
    yield made
    made.close()


@pytest.fixture
def foundation(tmp_path: Path, clock: Clock) -> Iterator[Foundation]:
    create_keys(tmp_path / "keys")
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"audit": {"entries_per_segment": 8}}))
    with opened(load_settings(config), "api", clock) as made:
        yield made


# --- keys -----------------------------------------------------------------------------------------


def issued(archive: Archive, *scopes: str) -> str:
    with archive.transaction() as tx:
        return archive.accounts.issue(tx, "the emr", scopes, at=NOON).secret


def test_a_key_opens_what_it_was_made_for(archive: Archive, clock: Clock) -> None:
    secret = issued(archive, "detect", "audit:read", "of a later version")
    principal = KeyAuthenticator(archive, clock).authenticate(secret, address="10.0.0.7")
    assert principal.name == "the emr"
    assert principal.key_prefix == secret.split("_")[1]
    assert principal.scopes == {Scope.DETECT, Scope.AUDIT_READ}


def test_a_revoked_key_opens_nothing_from_that_moment_on(archive: Archive, clock: Clock) -> None:
    secret = issued(archive, "detect")
    keys = KeyAuthenticator(archive, clock)
    keys.authenticate(secret, address="")
    with archive.transaction() as tx:
        archive.accounts.revoke(tx, secret.split("_")[1], at=NOON)
    with pytest.raises(AccessError, match="was revoked"):
        keys.authenticate(secret, address="")


@pytest.mark.parametrize("wrong", ["", "sr_", "sr__", "nothing of ours", "sr_abcd_efgh"])
def test_what_is_no_key_opens_nothing(archive: Archive, clock: Clock, wrong: str) -> None:
    secret = issued(archive, "detect")
    keys = KeyAuthenticator(archive, clock)
    for tried in (wrong, secret[:-1], secret + "a", "xx" + secret[2:]):
        with pytest.raises(AccessError, match="is unknown"):
            keys.authenticate(tried, address="")


def test_the_use_of_a_key_is_noted_once_a_minute(archive: Archive, clock: Clock) -> None:
    secret = issued(archive, "detect")
    keys = KeyAuthenticator(archive, clock)
    for seconds in (0, 10, 59, 61, 70):
        clock.now = NOON + timedelta(seconds=seconds)
        keys.authenticate(secret, address="")
    with archive.snapshot() as tx:
        (record,) = archive.accounts.all(tx)
    assert record.last_used_at == NOON + timedelta(seconds=61)


# --- records --------------------------------------------------------------------------------------


def event(kind: EventKind, **changes: object) -> AccessEvent:
    route = "/v1/studies/{uid}"
    origin = RequestOrigin("0011", "theirs", "GET", route, "10.0.0.7")
    return replace(AccessEvent(kind, EventOutcome.SUCCESS, origin, EMR), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", EventKind)
@pytest.mark.parametrize("outcome", EventOutcome)
@pytest.mark.parametrize("principal", [EMR, None])
def test_every_kind_of_access_makes_a_whole_record(
    foundation: Foundation, kind: EventKind, outcome: EventOutcome, principal: Principal | None
) -> None:
    """PS3.15 A.5.3: sealing refuses what lacks a mandatory part."""
    trail = AccessTrail(foundation.archive, foundation.trail, foundation.clock)
    reason = "" if outcome is EventOutcome.SUCCESS else "refused for a reason"
    trail.record(
        event(
            kind, outcome=outcome, principal=principal, studies=(ADA,), query="a=b", reason=reason
        )
    )
    (opened_event,) = waiting(foundation)
    assert opened_event.kind.code.value == kind.code
    assert opened_event.action.value == kind.action
    assert int(opened_event.outcome) == outcome
    assert reason in opened_event.outcome_description
    facts = {detail.name: detail.value for detail in opened_event.details}
    assert facts["Request"] == "0011"
    assert facts["ClientRequest"] == "theirs"
    assert facts["Route"] == "GET /v1/studies/{uid}"


def waiting(foundation: Foundation) -> list[AuditEvent]:
    with foundation.archive.snapshot() as tx:
        records = foundation.archive.outbox.pending(tx, 1000)
    sealer = foundation.trail.sealer
    return [sealer.open(SealedRecord(one.event_id, one.sealed)) for one in records]


def test_a_record_names_who_asked_from_where_and_about_whom(foundation: Foundation) -> None:
    trail = AccessTrail(foundation.archive, foundation.trail, foundation.clock)
    trail.record(event(EventKind.INSTANCES_ACCESSED, studies=(ADA,)))
    (made,) = waiting(foundation)
    assert {"apikey abcd1234", "the emr"} <= made.users()
    assert made.participants[0].address == "10.0.0.7"
    assert made.patient_ids() == {"P-7"}


def test_a_list_of_studies_says_whose_were_listed(foundation: Foundation) -> None:
    trail = AccessTrail(foundation.archive, foundation.trail, foundation.clock)
    other = replace(ADA, study_instance_uid="2.25.78")
    trail.record(event(EventKind.QUERY, studies=(ADA, other), query="limit=2"))
    (made,) = waiting(foundation)
    assert ("Studies", "2.25.77 2.25.78") in {(one.name, one.value) for one in made.details}


# --- search ---------------------------------------------------------------------------------------


def put(foundation: Foundation, clock: Clock, *minutes: float) -> None:
    """Record an access at so many minutes after noon, each for a user of its own."""
    trail = AccessTrail(foundation.archive, foundation.trail, clock)
    for minute in minutes:
        clock.now = NOON + timedelta(minutes=minute)
        user = replace(EMR, name=f"user {minute:g}")
        trail.record(event(EventKind.INSTANCES_ACCESSED, studies=(ADA,), principal=user))


def sequence(foundation: Foundation) -> None:
    one = Sequencer(
        foundation.archive,
        foundation.audit_settings,
        signing_key=foundation.keyring.key(Purpose.AUDIT_SIGNING),
        owner="here",
        trail=foundation.trail,
        clock=foundation.clock,
    )
    one.run_once()
    one.close()


def asked(**changes: object) -> AuditQuery:
    return replace(AuditQuery(NOON - DAY, NOON + DAY), **changes)  # type: ignore[arg-type]


def minutes(records: tuple[AuditRecord, ...]) -> list[float]:
    names = [one.participants[0].user_name for one in records]
    return [float(name.removeprefix("user ")) for name in names]


def pages(reader: LogReader, query: AuditQuery) -> Iterator[AuditPage]:
    while True:
        page = reader.search(query)
        yield page
        if page.next_cursor is None:
            return
        query = replace(query, cursor=page.next_cursor)


def test_the_log_and_what_waits_for_it_are_one_list(foundation: Foundation, clock: Clock) -> None:
    put(foundation, clock, *range(10))
    sequence(foundation)
    put(foundation, clock, *range(10, 15))
    page = LogReader(foundation).search(asked())
    assert minutes(page.records) == list(range(15))
    assert [one.position for one in page.records] == [*range(10), *[None] * 5]
    assert page.next_cursor is None


@pytest.mark.parametrize("limit", [1, 3, 7, 10, 15, 20])
def test_pages_show_each_record_once_even_if_records_are_logged_between_them(
    foundation: Foundation, clock: Clock, limit: int
) -> None:
    put(foundation, clock, *range(10))
    sequence(foundation)
    put(foundation, clock, *range(10, 18))
    seen: list[float] = []
    for number, page in enumerate(pages(LogReader(foundation), asked(limit=limit))):
        seen += minutes(page.records)
        if number in {0, 3, 11}:
            sequence(foundation)
            put(foundation, clock, 18 + number)
    assert seen[:18] == list(range(18))
    assert len(seen) == len(set(seen))


def test_a_page_opens_so_many_records_and_no_more(foundation: Foundation, clock: Clock) -> None:
    put(foundation, clock, *range(20))
    sequence(foundation)
    put(foundation, clock, *range(20, 25))
    reader = LogReader(foundation, most_opened=4)
    found = list(pages(reader, asked(user="user 22")))
    assert [len(page.records) for page in found] == [0, 0, 0, 0, 0, 1, 0]
    assert minutes(found[5].records) == [22]


def test_more_waiting_records_than_are_taken_at_once_are_all_shown(
    foundation: Foundation, clock: Clock
) -> None:
    put(foundation, clock, *range(11))
    reader = LogReader(foundation, waiting_at_once=4)
    assert minutes(reader.search(asked()).records) == list(range(11))
    seen = [minutes(page.records) for page in pages(reader, asked(limit=5))]
    assert seen == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10]]


def test_a_record_that_was_logged_but_not_marked_yet_is_shown_once(
    foundation: Foundation, clock: Clock
) -> None:
    """The sequencer died, or is just, between appending and marking."""
    put(foundation, clock, *range(4))
    with foundation.archive.snapshot() as tx:
        ids = [one.event_id for one in foundation.archive.outbox.pending(tx, 10)]
    sequence(foundation)
    with foundation.archive.database.transaction() as tx:
        marks = ",".join(f"'{one}'" for one in ids[2:])
        tx.connection.exec_driver_sql(
            f"UPDATE outbox SET appended_at = NULL WHERE event_id IN ({marks})"
        )
    page = LogReader(foundation).search(asked())
    assert minutes(page.records) == [0, 1, 2, 3]
    assert all(one.position is not None for one in page.records)


def test_records_that_are_being_logged_meanwhile_are_neither_missed_nor_shown_twice(
    foundation: Foundation, clock: Clock
) -> None:
    put(foundation, clock, *range(40))
    stop = threading.Event()

    def keep_sequencing() -> None:
        while not stop.is_set():
            sequence(foundation)

    worker = threading.Thread(target=keep_sequencing)
    worker.start()
    try:
        for count in range(41, 60):
            put(foundation, clock, count - 1)
            found = minutes(LogReader(foundation).search(asked(limit=200)).records)
            assert found == list(range(count))
    finally:
        stop.set()
        worker.join()


def test_a_search_is_by_time_kind_user_and_outcome(foundation: Foundation, clock: Clock) -> None:
    put(foundation, clock, *range(6))
    trail = AccessTrail(foundation.archive, foundation.trail, clock)
    failed = EventOutcome.MINOR_FAILURE
    trail.record(event(EventKind.QUERY, outcome=failed, query="a=b", reason="unknown study"))
    sequence(foundation)
    reader = LogReader(foundation)
    span = {"at_from": NOON + timedelta(minutes=2), "at_to": NOON + timedelta(minutes=4)}
    assert minutes(reader.search(asked(**span)).records) == [2, 3]
    assert minutes(reader.search(asked(user="user 4")).records) == [4]
    assert len(reader.search(asked(event="110103")).records) == 6
    (refused,) = reader.search(asked(outcome=failed)).records
    assert (refused.event.value, refused.description) == ("110112", "unknown study")
    assert ("Query", "a=b") in refused.details


def test_what_was_logged_long_before_or_after_is_not_opened(
    foundation: Foundation, clock: Clock
) -> None:
    put(foundation, clock, *(60.0 * hour for hour in range(40)))
    sequence(foundation)
    noon_of_the_next_day = NOON + timedelta(hours=24)
    span = {"at_from": noon_of_the_next_day, "at_to": noon_of_the_next_day + timedelta(hours=2)}
    reader = LogReader(foundation, most_opened=16)
    (page,) = pages(reader, asked(**span))
    assert minutes(page.records) == [24 * 60, 25 * 60]


def test_a_record_is_shown_with_everything_it_says(foundation: Foundation, clock: Clock) -> None:
    put(foundation, clock, 0)
    foundation.record(foundation.trail.process(started=True))
    access, started = LogReader(foundation).search(asked()).records
    assert access.at == NOON
    assert access.event == AuditKind.INSTANCES_ACCESSED.code
    assert (access.action, access.outcome) == ("R", 0)
    assert access.participants[0].user_id == "apikey abcd1234"
    assert access.participants[0].network_access_point == "10.0.0.7"
    assert {(one.id, one.name) for one in access.objects} == {
        ("2.25.77", "1"),
        ("P-7", "Example^Ada"),
    }
    assert ("AccessionNumber", "A-1001") in access.details
    assert started.type_code is not None
    assert started.type_code.meaning == "Application Start"


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "====",
        base64.urlsafe_b64encode(b"[]").decode(),
        base64.urlsafe_b64encode(b'{"position": 1}').decode(),
        base64.urlsafe_b64encode(b'{"position": -1, "after": ""}').decode(),
        base64.urlsafe_b64encode(json.dumps({"position": 0, "after": "nobody"}).encode()).decode(),
    ],
)
def test_a_cursor_that_is_not_ours_is_refused(
    foundation: Foundation, clock: Clock, cursor: str
) -> None:
    put(foundation, clock, 0)
    with pytest.raises(InputError, match="not one of ours"):
        LogReader(foundation).search(asked(cursor=cursor))


def test_an_event_that_does_not_exist_is_refused(foundation: Foundation) -> None:
    with pytest.raises(InputError, match="no audit event 999999"):
        LogReader(foundation).search(asked(event="999999"))
