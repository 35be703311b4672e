"""Who called, and what each listener works by."""

import pytest

from archive.archive import Archive
from archive.callers import (
    MOST_CALLERS,
    MOST_OF_ONE_ADDRESS,
    CallerName,
    Refusals,
    RefusedCaller,
    Sighting,
    UnknownCallerError,
)
from archive.configurations import ConfigurationInForce
from tests.support.archives import at

UNKNOWN = "unknown calling AE title"


def refusals(
    number: int = 1, *, address: str = "192.0.2.7", seconds: float = 0, count: int = 1
) -> Refusals:
    caller = CallerName(address, f"CT{number}", "SECOND_READER")
    return Refusals(caller, "", UNKNOWN, "Add it", at(seconds), at(seconds), count)


def note(archive: Archive, *many: Refusals) -> tuple[RefusedCaller, ...]:
    with archive.transaction() as tx:
        archive.callers.refused(tx, many)
        return archive.callers.all_refused(tx)


def test_refusals_of_one_caller_are_one_entry_with_first_and_last_time_and_count(
    archive: Archive,
) -> None:
    (first,) = note(archive, refusals(seconds=1, count=2))
    (again,) = note(archive, refusals(seconds=9, count=3))
    assert (again.first_at, again.last_at, again.count) == (at(1), at(9), 5)
    assert again.caller_id == first.caller_id


def test_titles_address_and_certificate_together_tell_callers_apart(archive: Archive) -> None:
    names = (
        CallerName("192.0.2.7", "A", "B"),
        CallerName("192.0.2.8", "A", "B"),
        CallerName("192.0.2.7", "C", "B"),
        CallerName("192.0.2.7", "A", "C"),
        CallerName("192.0.2.7", "A", "B", "f" * 64),
    )
    found = note(archive, *(Refusals(n, "", UNKNOWN, "", at(0), at(0), 1) for n in names))
    assert {one.caller for one in found} == set(names)
    assert len({one.caller_id for one in found}) == len(names)


def test_the_newest_comes_first(archive: Archive) -> None:
    found = note(archive, refusals(1, seconds=5), refusals(2, seconds=7), refusals(3, seconds=6))
    assert [one.caller.calling_ae_title for one in found] == ["CT2", "CT3", "CT1"]


def test_the_list_is_bounded_and_drops_who_called_longest_ago(archive: Archive) -> None:
    addresses = [f"10.0.{n // 200}.{n % 200}" for n in range(MOST_CALLERS + 3)]
    found = note(archive, *(refusals(address=a, seconds=n) for n, a in enumerate(addresses)))
    assert len(found) == MOST_CALLERS
    assert found[-1].caller.address == addresses[3]


def test_one_address_that_makes_up_titles_does_not_push_the_others_out(archive: Archive) -> None:
    note(archive, refusals(address="192.0.2.1"))
    flood = [refusals(n, address="203.0.113.9", seconds=n) for n in range(1, 1500)]
    found = note(archive, *flood)
    assert len(found) == MOST_OF_ONE_ADDRESS + 1
    assert found[-1].caller.address == "192.0.2.1"


def test_who_is_forgotten_is_listed_again_when_it_calls_again(archive: Archive) -> None:
    (one,) = note(archive, refusals(count=9))
    with archive.transaction() as tx:
        archive.callers.forget(tx, one.caller_id)
        assert archive.callers.all_refused(tx) == ()
        with pytest.raises(UnknownCallerError, match="no refused caller"):
            archive.callers.get(tx, one.caller_id)
    (again,) = note(archive, refusals())
    assert again.count == 1


def test_callers_of_a_span_and_of_some_reasons_are_counted(archive: Archive) -> None:
    note(archive, refusals(1, seconds=1), refusals(2, seconds=50), refusals(3, seconds=60))
    with archive.snapshot() as tx:
        assert archive.callers.count_refused(tx, since=at(50), reasons=[UNKNOWN]) == 2
        assert archive.callers.count_refused(tx, since=at(0), reasons=["another"]) == 0


def test_the_last_sighting_of_each_peer_is_kept(archive: Archive) -> None:
    name = CallerName("192.0.2.7", "CT1", "SECOND_READER")
    with archive.transaction() as tx:
        archive.callers.seen(tx, [Sighting("ct1", at(1), name), Sighting("mr", at(2), name)])
        archive.callers.seen(tx, [Sighting("ct1", at(5), name)])
        found = archive.callers.sightings(tx)
    assert {name: one.at for name, one in found.items()} == {"ct1": at(5), "mr": at(2)}


def test_each_listener_says_what_it_works_by(archive: Archive) -> None:
    first = ConfigurationInForce("here:104", "a" * 64, "", "", at(0))
    newer = ConfigurationInForce("here:104", "a" * 64, "line 3", "api", at(9))
    other = ConfigurationInForce("there:104", "b" * 64, "", "", at(1))
    with archive.transaction() as tx:
        for one in (first, newer, other):
            archive.configurations.put(tx, one)
        assert archive.configurations.all(tx) == (newer, other)
        archive.configurations.remove(tx, "here:104")
        assert archive.configurations.all(tx) == (other,)
