"""A peer that is too slow in the middle of an object is known by its rate, not by a pause."""

import time

from dicom_node.pace import OwnWork, Pace


def rule() -> Pace:
    return Pace(10_000, window_s=10.0)


def test_a_peer_is_too_slow_once_a_window_brought_too_little() -> None:
    pace = rule()
    looks = [(0.0, 0), (5.0, 0), (9.9, 99_000), (10.0, 99_999)]
    assert [pace.is_too_slow(now, received, 1) for now, received in looks] == [
        False,
        False,
        False,
        True,
    ]


def test_the_least_rate_is_enough() -> None:
    pace = rule()
    assert not any(pace.is_too_slow(float(now), now * 10_000, 1) for now in range(100))


def test_every_window_counts_by_itself() -> None:
    pace = rule()
    looks = [(0.0, 0), (10.0, 10**9), (20.0, 10**9)]
    assert [pace.is_too_slow(*look, 1) for look in looks] == [False, False, True]


def test_nobody_is_slow_between_two_objects() -> None:
    pace = rule()
    looks = [(0.0, 0, 1), (5.0, 10, None), (30.0, 10, None), (31.0, 20, 2), (40.0, 20, 2)]
    assert not any(pace.is_too_slow(*look) for look in looks)


def test_another_object_begins_another_window() -> None:
    pace = rule()
    assert not pace.is_too_slow(0.0, 0, 1)
    assert not pace.is_too_slow(10.0, 500, 2)
    assert pace.is_too_slow(20.0, 1000, 2)


def test_a_rule_of_no_bytes_finds_nobody_slow() -> None:
    pace = Pace(0, window_s=1.0)
    assert not any(pace.is_too_slow(float(now), 0, 1) for now in range(10))


def test_our_own_work_is_counted_while_it_goes_on_and_afterwards() -> None:
    work = OwnWork()
    with work.going_on():
        begun = time.monotonic()
        assert work.until(begun + 60.0) >= 60.0
    done = work.until(begun)
    assert 0.0 <= done < 60.0
    assert work.until(begun + 60.0) == done
