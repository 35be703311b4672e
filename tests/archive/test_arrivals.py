"""What each association brought."""

from dataclasses import replace

from archive.archive import Archive
from archive.arrivals import LEASE_PREFIX, Arrival
from core.model import StudyKey
from tests.support.archives import PEER, at, stored


def _arrival(study_key: StudyKey, seconds: float, *, association_id: str = "a1") -> Arrival:
    return Arrival(association_id, study_key, "CT", PEER, 1, 0, at(seconds), at(seconds))


def test_objects_are_counted_by_association_and_modality(archive: Archive) -> None:
    key = stored(archive).study_key
    duplicate = replace(_arrival(key, 2), stored=0, duplicates=1)
    with archive.transaction() as tx:
        for brought in (_arrival(key, 0), _arrival(key, 1), duplicate):
            archive.arrivals.count(tx, brought)
        archive.arrivals.count(tx, replace(_arrival(key, 3), modality="SR"))
        found = archive.arrivals.of_association(tx, "a1")
    assert [(one.modality, one.stored, one.duplicates) for one in found] == [
        ("CT", 2, 1),
        ("SR", 1, 0),
    ]
    assert (found[0].first_at, found[0].last_at, found[0].peer) == (at(0), at(2), PEER)


def test_only_what_came_since_counts_for_a_revision(archive: Archive) -> None:
    key = stored(archive).study_key
    with archive.transaction() as tx:
        archive.arrivals.count(tx, _arrival(key, 0, association_id="old"))
        archive.arrivals.count(tx, _arrival(key, 50, association_id="new"))
        found = archive.arrivals.of_study(tx, key, since=at(10), now=at(60))
    assert [one.association_id for one in found] == ["new"]


def test_an_association_is_open_while_its_lease_lives(archive: Archive) -> None:
    key = stored(archive).study_key
    with archive.transaction() as tx:
        archive.arrivals.count(tx, _arrival(key, 0))
        archive.leases.acquire(tx, f"{LEASE_PREFIX}a1", owner="a1", now=at(0), lifetime_s=10)
        (alive,) = archive.arrivals.of_study(tx, key, since=at(0), now=at(9))
        (dead,) = archive.arrivals.of_study(tx, key, since=at(0), now=at(10))
    assert (alive.is_open, dead.is_open) == (True, False)


def test_associations_that_died_are_reported_once(archive: Archive) -> None:
    key = stored(archive).study_key
    with archive.transaction() as tx:
        for association_id in ("alive", "dead"):
            archive.arrivals.count(tx, _arrival(key, 0, association_id=association_id))
        archive.leases.acquire(tx, f"{LEASE_PREFIX}alive", owner="x", now=at(0), lifetime_s=99)
        assert archive.arrivals.unreported(tx, now=at(50)) == ("dead",)
        archive.arrivals.mark_reported(tx, "dead", at=at(50))
        assert archive.arrivals.unreported(tx, now=at(50)) == ()
