"""Revisions: open, closed, running, held."""

import pytest

from archive.archive import Archive
from archive.errors import RevisionBusyError, UnknownRevisionError
from core.model import RevisionKey, StudyKey
from core.states import HoldReason, IllegalMoveError, RevisionState
from tests.support.archives import at, stored


def _closed(archive: Archive, number: int = 1, seconds: float = 0) -> RevisionKey:
    key = stored(archive, number, seconds=seconds)
    with archive.transaction() as tx:
        archive.revisions.close(tx, key, rule="quiet for 60 s (default)", at=at(seconds + 60))
    return key


def test_instances_are_counted_into_the_open_revision(archive: Archive) -> None:
    stored(archive, 1, seconds=0)
    key = stored(archive, 2, seconds=7)
    with archive.snapshot() as tx:
        record = archive.revisions.get(tx, key)
    assert (record.key.number, record.number_of_instances) == (1, 2)
    assert (record.opened_at, record.last_instance_at) == (at(0), at(7))


def test_closing_schedules_and_keeps_the_rule(archive: Archive) -> None:
    key = _closed(archive)
    with archive.transaction() as tx:
        again = archive.revisions.close(tx, key, rule="another", at=at(99))
        record = archive.revisions.get(tx, key)
    assert again is record.state is RevisionState.SCHEDULED
    assert (record.rule, record.closed_at, record.attempt) == (
        "quiet for 60 s (default)",
        at(60),
        1,
    )


def test_closing_holds_what_has_a_reason_to_be_held(archive: Archive) -> None:
    key = stored(archive, 1)
    with archive.transaction() as tx:
        assert archive.revisions.hold(tx, key, HoldReason.MIXED_IDENTITY, at=at(1))
        assert not archive.revisions.hold(tx, key, HoldReason.MIXED_IDENTITY, at=at(2))
        assert archive.revisions.close(tx, key, rule="r", at=at(60)) is RevisionState.HELD
        assert archive.revisions.ready(tx) == ()


def test_the_heaviest_reason_is_kept(archive: Archive) -> None:
    key = stored(archive, 1)
    with archive.transaction() as tx:
        archive.revisions.hold(tx, key, HoldReason.CONFLICT, at=at(1))
        assert not archive.revisions.hold(tx, key, HoldReason.CORRECTION, at=at(2))
        assert archive.revisions.get(tx, key).hold_reason is HoldReason.CONFLICT


@pytest.mark.parametrize("state", [RevisionState.SCHEDULED, RevisionState.IN_PROGRESS])
def test_what_is_on_its_way_is_held_at_once(archive: Archive, state: RevisionState) -> None:
    key = _closed(archive)
    with archive.transaction() as tx:
        if state is RevisionState.IN_PROGRESS:
            archive.revisions.begin(tx, key, at=at(61))
        assert archive.revisions.hold(tx, key, HoldReason.CONFLICT, at=at(62))
        assert archive.revisions.get(tx, key).state is RevisionState.HELD
        with pytest.raises(IllegalMoveError):
            archive.revisions.move(tx, key, RevisionState.COMPLETED, at=at(63))


def test_a_reason_that_lies_in_the_instances_goes_on_in_the_next_revision(
    archive: Archive,
) -> None:
    key = stored(archive, 1)
    with archive.transaction() as tx:
        archive.revisions.hold(tx, key, HoldReason.MISSING_PATIENT_ID, at=at(1))
        archive.revisions.close(tx, key, rule="r", at=at(60))
    late = stored(archive, 2, seconds=61)
    with archive.snapshot() as tx:
        assert archive.revisions.get(tx, late).hold_reason is HoldReason.MISSING_PATIENT_ID


def test_a_reason_of_the_pipeline_does_not_go_on_in_the_next_revision(archive: Archive) -> None:
    key = _closed(archive)
    with archive.transaction() as tx:
        archive.revisions.begin(tx, key, at=at(61))
        archive.revisions.hold(tx, key, HoldReason.CHECK_FAILED, at=at(62), reason="no SR")
        assert archive.revisions.get(tx, key).reason == "no SR"
    late = stored(archive, 2, seconds=63)
    with archive.snapshot() as tx:
        assert archive.revisions.get(tx, late).hold_reason is None


def test_one_revision_of_a_study_runs_at_a_time(archive: Archive) -> None:
    first = _closed(archive, 1)
    second = _closed(archive, 2, seconds=61)
    with archive.transaction() as tx:
        assert [record.key for record in archive.revisions.ready(tx)] == [first]
        archive.revisions.begin(tx, first, at=at(200))
        archive.revisions.begin(tx, first, at=at(201))  # a step may run twice
        assert archive.revisions.ready(tx) == ()
        with pytest.raises(RevisionBusyError):
            archive.revisions.begin(tx, second, at=at(202))
        archive.revisions.move(tx, first, RevisionState.COMPLETED, at=at(203))
        archive.revisions.move(tx, first, RevisionState.COMPLETED, at=at(204))
        assert [record.key for record in archive.revisions.ready(tx)] == [second]
        assert archive.revisions.get(tx, first).updated_at == at(203)


def test_a_person_may_schedule_again_what_ended(archive: Archive) -> None:
    key = _closed(archive)
    with archive.transaction() as tx:
        with pytest.raises(IllegalMoveError):
            archive.revisions.reschedule(tx, key, at=at(61))
        archive.revisions.begin(tx, key, at=at(61))
        archive.revisions.move(tx, key, RevisionState.FAILED, at=at(62), reason="no reader")
        assert archive.revisions.reschedule(tx, key, at=at(63)) == 2
        record = archive.revisions.get(tx, key)
    assert (record.state, record.attempt, record.reason) == (RevisionState.SCHEDULED, 2, "")


def test_an_open_revision_is_closed_by_a_rule_and_not_scheduled_again(archive: Archive) -> None:
    key = stored(archive, 1)
    with archive.transaction() as tx, pytest.raises(IllegalMoveError):
        archive.revisions.reschedule(tx, key, at=at(1))


def test_revisions_are_counted_by_state(archive: Archive) -> None:
    _closed(archive, 1)
    stored(archive, 2, seconds=61)
    with archive.snapshot() as tx:
        counts = archive.revisions.count_by_state(tx)
    assert counts == {RevisionState.SCHEDULED: 1, RevisionState.OPEN: 1}


def test_a_move_that_the_table_does_not_know_is_refused(archive: Archive) -> None:
    key = stored(archive, 1)
    with archive.transaction() as tx, pytest.raises(IllegalMoveError):
        archive.revisions.move(tx, key, RevisionState.COMPLETED, at=at(1))


def test_what_is_unknown_is_told_by_its_own_error(archive: Archive) -> None:
    nobody = StudyKey("x" * 26)
    with archive.snapshot() as tx:
        with pytest.raises(UnknownRevisionError):
            archive.revisions.get(tx, RevisionKey(nobody, 1))
        with pytest.raises(UnknownRevisionError):
            archive.revisions.newest(tx, nobody)
        assert archive.revisions.of(tx, nobody) == ()
