"""Search among opened records: by patient, user, kind, outcome and time."""

from datetime import timedelta
from pathlib import Path

import pytest

from audit.errors import BrokenChainError
from audit.records import RecordSealer
from audit.search import (
    SLACK,
    AuditSearch,
    LoggedEvent,
    log_size,
    position_before,
    read_events,
    search,
)
from audit.segments import Segment
from audit.vocabulary import EventKind, Outcome
from core.errors import SealError
from tests.audit.builders import EVENTS, NOON, SEALER, Installation, stamp

LOGGED = [
    LoggedEvent(position, EVENTS[name](stamp(position + 1, NOON + timedelta(hours=position))))
    for position, name in enumerate(EVENTS)
]


def kinds(wanted: AuditSearch) -> set[str]:
    return {logged.event.kind.name for logged in search(LOGGED, wanted)}


def test_without_a_wish_everything_is_found_in_order() -> None:
    assert list(search(LOGGED, AuditSearch())) == LOGGED


def test_who_saw_a_patient() -> None:
    found = kinds(AuditSearch(patient_id="PID-0001"))
    assert "INSTANCES_ACCESSED" in found
    assert "QUERY" not in found
    assert kinds(AuditSearch(patient_id="PID-000")) == set()


@pytest.mark.parametrize("user", ["MOD1", "ada@hospital", "Ada Auditor", "SECOND"])
def test_a_user_is_found_by_each_of_his_names(user: str) -> None:
    assert kinds(AuditSearch(user=user))
    assert all(user in found.event.users() for found in search(LOGGED, AuditSearch(user=user)))


def test_a_kind_and_an_outcome() -> None:
    assert kinds(AuditSearch(kind=EventKind.QUERY)) == {"QUERY"}
    assert kinds(AuditSearch(outcome=Outcome.MAJOR_FAILURE)) == set()


def test_a_span_of_time_begins_with_its_beginning_and_ends_before_its_end() -> None:
    wanted = AuditSearch(at_from=NOON + timedelta(hours=2), at_before=NOON + timedelta(hours=5))
    assert [logged.position for logged in search(LOGGED, wanted)] == [2, 3, 4]


def test_every_wish_must_hold() -> None:
    wanted = AuditSearch(patient_id="PID-0001", kind=EventKind.QUERY)
    assert kinds(wanted) == set()


def test_the_log_is_opened_from_any_position(tmp_path: Path) -> None:
    site = Installation(tmp_path).fill(20)
    opened = list(read_events(site.folder, SEALER, start=15))
    assert [logged.position for logged in opened] == [15, 16, 17, 18, 19]
    assert opened[0].event == EVENTS["accessed"](stamp(16))


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    site = Installation(tmp_path).fill(3)
    with pytest.raises(SealError):
        next(read_events(site.folder, RecordSealer(b"x" * 32)))


def test_a_missing_segment_is_not_read_over(tmp_path: Path) -> None:
    site = Installation(tmp_path).fill(40)
    Segment.at(site.folder, 16).path.unlink()
    with pytest.raises(BrokenChainError):
        list(read_events(site.folder, SEALER))


def test_no_log_has_no_records(tmp_path: Path) -> None:
    assert list(read_events(tmp_path / "none", SEALER)) == []


@pytest.mark.parametrize(("entries_per_segment", "size"), [(16, 160), (700, 1400)])
def test_what_happened_long_before_is_not_opened_again(
    tmp_path: Path, entries_per_segment: int, size: int
) -> None:
    """One record a minute; every tenth is half an hour older than its neighbours."""
    site = Installation(tmp_path, entries_per_segment, checkpoint_every_events=size)
    moments = [NOON + timedelta(minutes=n - 30 * (n % 10 == 0)) for n in range(size)]
    with site.keeper() as keeper:
        keeper.append(
            [SEALER.seal(EVENTS["accessed"](stamp(n + 1, at))) for n, at in enumerate(moments)]
        )
    assert log_size(site.folder) == size
    for wanted in (0, 50, 99, 100, 111, size - 1):
        start = position_before(site.folder, SEALER, moments[wanted])
        assert all(at < moments[wanted] for at in moments[:start])
    assert position_before(site.folder, SEALER, moments[-1] + SLACK) >= size - 512


def test_no_log_begins_at_its_beginning(tmp_path: Path) -> None:
    assert position_before(tmp_path / "none", SEALER, NOON) == 0
    assert log_size(tmp_path / "none") == 0
