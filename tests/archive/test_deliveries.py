"""Deliveries."""

from dataclasses import replace

import pytest

from archive.archive import Archive
from archive.deliveries import AttemptOutcome
from archive.errors import UnknownResultError
from archive.index import ResultKey
from core.model import RevisionKey
from core.states import DeliveryState, IllegalMoveError
from tests.archive.test_results import made
from tests.support.archives import at, stored

DONE = AttemptOutcome(DeliveryState.COMPLETED, "stored (status 0000)", receipt="0000")
LATER = AttemptOutcome(DeliveryState.SCHEDULED, "no answer", next_attempt_at=at(105))
GIVEN_UP = AttemptOutcome(DeliveryState.FAILED, "refused (status 0122)")


def _scheduled(archive: Archive) -> tuple[RevisionKey, ResultKey]:
    key = stored(archive, 1)
    result = made(archive, key)
    with archive.transaction() as tx:
        archive.results.put_object(tx, result)
        archive.deliveries.schedule(
            tx, archive.results.key_of(result), ["pacs", "mirror"], at=at(100)
        )
    return key, archive.results.key_of(result)


def test_what_is_scheduled_twice_is_delivered_once(archive: Archive) -> None:
    key, result = _scheduled(archive)
    with archive.transaction() as tx:
        archive.deliveries.begin(tx, result, "pacs", at=at(101))
        archive.deliveries.settle(tx, result, "pacs", DONE, at=at(102))
        archive.deliveries.settle(tx, result, "pacs", DONE, at=at(102))
        archive.deliveries.schedule(tx, result, ["pacs", "mirror"], at=at(103))
        record = archive.deliveries.get(tx, result, "pacs")
        assert archive.deliveries.unfinished(tx) == ((key, "mirror"),)
        assert archive.deliveries.due(tx, key, "pacs") == ()
    assert (record.state, record.attempts, record.receipt) == (DeliveryState.COMPLETED, 1, "0000")


def test_deliveries_are_counted_by_state(archive: Archive) -> None:
    _, result = _scheduled(archive)
    with archive.transaction() as tx:
        archive.deliveries.begin(tx, result, "pacs", at=at(101))
        archive.deliveries.settle(tx, result, "pacs", DONE, at=at(102))
        counts = archive.deliveries.count_by_state(tx)
    assert counts == {DeliveryState.COMPLETED: 1, DeliveryState.SCHEDULED: 1}


def test_an_attempt_that_failed_is_made_again_later(archive: Archive) -> None:
    key, result = _scheduled(archive)
    with archive.transaction() as tx:
        assert archive.deliveries.begin(tx, result, "pacs", at=at(101)) == 1
        archive.deliveries.settle(tx, result, "pacs", LATER, at=at(102))
        (due,) = archive.deliveries.due(tx, key, "pacs")
        assert (due.next_attempt_at, due.outcome) == (at(105), "no answer")
        assert archive.deliveries.begin(tx, result, "pacs", at=at(105)) == 2
        assert archive.deliveries.begin(tx, result, "pacs", at=at(106)) == 3  # the worker died


def test_a_dead_letter_can_be_revived(archive: Archive) -> None:
    key, result = _scheduled(archive)
    with archive.transaction() as tx:
        archive.deliveries.begin(tx, result, "pacs", at=at(101))
        archive.deliveries.settle(tx, result, "pacs", GIVEN_UP, at=at(102))
        with pytest.raises(IllegalMoveError):
            archive.deliveries.begin(tx, result, "pacs", at=at(103))
        (revived,) = archive.deliveries.revive(tx, key.study_key, at=at(104))
        assert revived.destination == "pacs"
        assert archive.deliveries.revive(tx, key.study_key, at=at(104)) == ()
        assert archive.deliveries.get(tx, result, "pacs").state is DeliveryState.SCHEDULED


def test_what_is_withdrawn_is_not_sent_and_can_be_wanted_again(archive: Archive) -> None:
    key, result = _scheduled(archive)
    with archive.transaction() as tx:
        archive.deliveries.begin(tx, result, "pacs", at=at(101))
        assert archive.deliveries.withdraw(tx, key.study_key, at=at(102), reason="held") == 2
        assert archive.deliveries.withdraw(tx, key.study_key, at=at(103), reason="held") == 0
        # The attempt that was on its way ends, and tells how.
        ended = archive.deliveries.settle(tx, result, "pacs", LATER, at=at(104))
        assert ended is DeliveryState.CANCELED
        assert archive.deliveries.unfinished(tx) == ()
        archive.deliveries.schedule(tx, result, ["pacs"], at=at(105))
        assert archive.deliveries.get(tx, result, "pacs").state is DeliveryState.SCHEDULED


def test_deliveries_of_an_object_that_was_replaced_stop(archive: Archive) -> None:
    key, _ = _scheduled(archive)
    with archive.transaction() as tx:
        newer = replace(made(archive, key, uid="2.25.8"), identity_version=2)
        archive.results.put_object(tx, newer)
        assert archive.deliveries.withdraw_stale(tx, key, at=at(110)) == 2
        assert {one.state for one in archive.deliveries.of_study(tx, key.study_key)} == {
            DeliveryState.CANCELED
        }


def test_an_unknown_delivery_is_told_by_its_own_error(archive: Archive) -> None:
    with archive.transaction() as tx:
        with pytest.raises(UnknownResultError):
            archive.deliveries.get(tx, ResultKey("x" * 26), "pacs")
        with pytest.raises(UnknownResultError):
            archive.deliveries.schedule(tx, ResultKey("x" * 26), ["pacs"], at=at(0))
