"""The audit outbox."""

import pytest

from archive.archive import Archive
from tests.support.archives import at, new_instance


def _add(archive: Archive, *event_ids: str, seconds: float = 0) -> None:
    for event_id in event_ids:
        with archive.transaction() as tx:
            archive.outbox.add(tx, event_id, event_id.encode(), at=at(seconds))


def test_records_come_out_in_the_order_of_their_commits(archive: Archive) -> None:
    _add(archive, "c", "a", "b")
    with archive.snapshot() as tx:
        pending = archive.outbox.pending(tx, 10)
        assert [one.event_id for one in archive.outbox.pending(tx, 2)] == ["c", "a"]
        rest = archive.outbox.pending(tx, 2, after=pending[1].sequence)
    assert [one.event_id for one in pending] == ["c", "a", "b"]
    assert [one.event_id for one in rest] == ["b"]
    assert [one.sealed for one in pending] == [b"c", b"a", b"b"]
    assert [one.sequence for one in pending] == sorted(one.sequence for one in pending)


def test_a_repeated_event_id_changes_nothing(archive: Archive) -> None:
    _add(archive, "a", "a")
    with archive.transaction() as tx:
        assert archive.outbox.count_pending(tx) == 1
        archive.outbox.mark_appended(tx, ["a"], at=at(1))
    _add(archive, "a")
    with archive.snapshot() as tx:
        assert archive.outbox.pending(tx, 10) == ()


def test_marking_twice_changes_nothing(archive: Archive) -> None:
    _add(archive, "a", "b")
    with archive.transaction() as tx:
        archive.outbox.mark_appended(tx, ["a"], at=at(1))
        archive.outbox.mark_appended(tx, ["a", "unknown"], at=at(2))
        assert [one.event_id for one in archive.outbox.pending(tx, 10)] == ["b"]


def test_the_age_is_that_of_the_oldest_record_that_waits(archive: Archive) -> None:
    with archive.transaction() as tx:
        assert archive.outbox.oldest_pending_age(tx, now=at(9)) is None
    _add(archive, "a", seconds=1)
    _add(archive, "b", seconds=5)
    with archive.transaction() as tx:
        assert archive.outbox.oldest_pending_age(tx, now=at(9)) == 8
        archive.outbox.mark_appended(tx, ["a"], at=at(9))
        assert archive.outbox.oldest_pending_age(tx, now=at(9)) == 4


def test_only_what_the_log_has_had_for_long_is_pruned(archive: Archive) -> None:
    _add(archive, "a", "b", "c")
    with archive.transaction() as tx:
        archive.outbox.mark_appended(tx, ["a"], at=at(1))
        archive.outbox.mark_appended(tx, ["b"], at=at(5))
        assert archive.outbox.prune(tx, before=at(3)) == 1
        assert archive.outbox.prune(tx, before=at(3)) == 0
        assert archive.outbox.count_pending(tx) == 1


def test_a_record_is_there_exactly_if_what_it_records_is(archive: Archive) -> None:
    def fail() -> None:
        with archive.transaction() as tx:
            archive.studies.add(tx, new_instance(archive))
            archive.outbox.add(tx, "a", b"a", at=at(0))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with archive.snapshot() as tx:
        assert archive.outbox.pending(tx, 10) == ()
        assert archive.studies.known(tx, "2.25.30001") == ()


def test_many_records_are_marked_at_once(archive: Archive) -> None:
    ids = [f"event {number}" for number in range(1200)]
    with archive.transaction() as tx:
        for event_id in ids:
            archive.outbox.add(tx, event_id, b"x", at=at(0))
        archive.outbox.mark_appended(tx, ids, at=at(1))
        assert archive.outbox.count_pending(tx) == 0
