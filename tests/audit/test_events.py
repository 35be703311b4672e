"""Events: their ids, their outcome, and every one as it was after sealing."""

import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.events import AuditEvent, Stamp, Stamper, repeatable_id
from audit.records import RecordSealer, SealedRecord
from audit.requirements import faults
from audit.vocabulary import Alert, Coded, EventKind, IdType, Media, Outcome, Role
from core.errors import SealError
from tests.audit.builders import EVENTS, NOON, SEALER, FakeClock, event_id, stamp


def test_a_stamper_gives_each_event_its_own_id_and_the_time_of_the_clock() -> None:
    stamper = Stamper(FakeClock(NOON))
    first, second = stamper(), stamper()
    assert first.event_id != second.event_id
    assert second.time - first.time == timedelta(seconds=1)


def test_a_stamper_uses_the_ids_it_is_handed() -> None:
    assert Stamper(FakeClock(), lambda: uuid.UUID(int=7))().event_id == event_id(7)


def test_an_action_that_runs_twice_has_one_event_id() -> None:
    assert repeatable_id(b"k", "study", "1") == repeatable_id(b"k", "study", "1")
    assert str(uuid.UUID(repeatable_id(b"k", "x"))) == repeatable_id(b"k", "x")


def test_event_ids_differ_by_key_and_by_the_border_between_parts() -> None:
    ids = {
        repeatable_id(b"k", "ab", "c"),
        repeatable_id(b"k", "a", "bc"),
        repeatable_id(b"l", "ab", "c"),
    }
    assert len(ids) == 3


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_comes_back_from_its_sealed_record(name: str) -> None:
    event = EVENTS[name](stamp()).noting(reason="ä\u2028", count=3)
    assert SEALER.open(SEALER.seal(event)) == event


@given(
    at=st.datetimes(timezones=st.just(UTC)),
    outcome=st.sampled_from(Outcome),
    why=st.text(st.characters(exclude_categories=["Cs"])),
)
def test_time_and_outcome_come_back_from_a_sealed_record(
    at: datetime, outcome: Outcome, why: str
) -> None:
    event = EVENTS["accessed"](stamp(at=at)).ended(outcome, why)
    assert SEALER.open(SEALER.seal(event)) == event


def test_every_kind_of_event_has_a_constructor() -> None:
    assert {build(stamp()).kind for build in EVENTS.values()} == set(EventKind)


def test_an_event_says_whose_data_and_who() -> None:
    event = EVENTS["transferred"](stamp())
    assert event.patient_ids() == {"PID-0001"}
    assert {"MOD1", "SECOND"} <= event.users()
    assert {"ada@hospital", "Ada Auditor"} <= EVENTS["accessed"](stamp()).users()


def test_ending_an_event_keeps_why_it_was_recorded() -> None:
    alert = EVENTS["alert"](stamp())
    assert alert.ended(Outcome.MINOR_FAILURE).outcome_description == "unknown AE title"


@pytest.mark.parametrize("terms", [EventKind, Alert, Role, Media, IdType])
def test_our_terms_are_those_of_the_standard(terms: type[Coded]) -> None:
    """PS3.16, as pydicom has it."""
    from pydicom.sr._concepts_dict import concepts

    dcm: Any = concepts["DCM"]
    published = {
        value: meaning for versions in dcm.values() for value, (meaning, *_) in versions.items()
    }
    ours = {term.code.value: term.code.meaning for term in terms if term.code.scheme == "DCM"}
    assert ours == {value: published[value] for value in ours}


# --- sealing -----------------------------------------------------------------------------------


def test_a_sealed_record_shows_nothing_of_the_event() -> None:
    record = SEALER.seal(EVENTS["accessed"](stamp()))
    assert not any(text in record.sealed for text in (b"PID-0001", b"Ada", b"1.2.3.4", b"110103"))


@pytest.mark.parametrize("at", [0, 12, 40, -1])
def test_a_changed_record_is_refused(at: int) -> None:
    record = SEALER.seal(EVENTS["accessed"](stamp()))
    changed = bytearray(record.sealed)
    changed[at] ^= 1
    with pytest.raises(SealError):
        SEALER.open(SealedRecord(record.event_id, bytes(changed)))


def test_a_record_under_another_event_id_is_refused() -> None:
    record = SEALER.seal(EVENTS["accessed"](stamp(1)))
    with pytest.raises(SealError):
        SEALER.open(SealedRecord(event_id(2), record.sealed))


def test_a_record_under_another_key_is_refused() -> None:
    record = SEALER.seal(EVENTS["accessed"](stamp()))
    with pytest.raises(SealError):
        RecordSealer(b"x" * 32).open(record)


def test_two_records_of_one_event_look_different() -> None:
    event = EVENTS["accessed"](stamp())
    assert SEALER.seal(event).sealed != SEALER.seal(event).sealed


def test_an_event_in_another_zone_is_the_same_moment() -> None:
    at = NOON.astimezone(timezone(timedelta(hours=-5)))
    opened: AuditEvent = SEALER.open(SEALER.seal(EVENTS["accessed"](Stamp(event_id(1), at))))
    assert opened.time == NOON
    assert not faults(opened)
