"""Leases."""

from archive.archive import Archive
from archive.leases import Lease
from tests.support.archives import at


def _acquire(archive: Archive, owner: str, seconds: float) -> Lease | None:
    with archive.transaction() as tx:
        return archive.leases.acquire(tx, "sequencer", owner=owner, now=at(seconds), lifetime_s=10)


def test_a_lease_has_one_owner_until_it_expires(archive: Archive) -> None:
    assert _acquire(archive, "one", 0) == Lease("sequencer", "one", 1, at(0), at(10))
    assert _acquire(archive, "two", 9) is None
    assert _acquire(archive, "two", 10) == Lease("sequencer", "two", 2, at(10), at(20))
    assert _acquire(archive, "one", 11) is None


def test_an_owner_that_takes_it_again_renews_it(archive: Archive) -> None:
    _acquire(archive, "one", 0)
    assert _acquire(archive, "one", 5) == Lease("sequencer", "one", 1, at(0), at(15))


def test_a_lost_lease_cannot_be_renewed_or_released(archive: Archive) -> None:
    _acquire(archive, "one", 0)
    _acquire(archive, "two", 10)
    with archive.transaction() as tx:
        assert not archive.leases.renew(tx, "sequencer", owner="one", now=at(11), lifetime_s=10)
        archive.leases.release(tx, "sequencer", owner="one")
        held = archive.leases.get(tx, "sequencer")
    assert held is not None
    assert held.owner == "two"


def test_a_released_lease_is_free(archive: Archive) -> None:
    _acquire(archive, "one", 0)
    with archive.transaction() as tx:
        assert archive.leases.renew(tx, "sequencer", owner="one", now=at(1), lifetime_s=10)
        archive.leases.release(tx, "sequencer", owner="one")
        archive.leases.release(tx, "sequencer", owner="one")
        assert archive.leases.get(tx, "sequencer") is None
    assert _acquire(archive, "two", 2) is not None


def test_expired_leases_are_found_by_kind(archive: Archive) -> None:
    with archive.transaction() as tx:
        for name, lifetime in (("host:a", 5), ("host:b", 50), ("other:c", 5), ("hostXd", 5)):
            archive.leases.acquire(tx, name, owner="o", now=at(0), lifetime_s=lifetime)
        assert [one.name for one in archive.leases.expired(tx, "host:", now=at(6))] == ["host:a"]


def test_leases_that_are_held_are_found_by_kind(archive: Archive) -> None:
    with archive.transaction() as tx:
        for name in ("node a", "node b", "other"):
            archive.leases.acquire(tx, name, owner="me", now=at(0), lifetime_s=10)
        archive.leases.renew(tx, "node b", owner="me", now=at(5), lifetime_s=10)
        assert [one.name for one in archive.leases.alive(tx, "node ", now=at(9))] == [
            "node a",
            "node b",
        ]
        assert [one.name for one in archive.leases.alive(tx, "node ", now=at(10))] == ["node b"]
