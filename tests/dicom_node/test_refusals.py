"""Refusals are told once each, whatever a flood of them does."""

import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dicom_node.entrance.refusals import Refusals, sentence
from dicom_node.ports import Refusal, RefusalReason

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Desk:
    """Writes down what it is told; can be made to wait."""

    def __init__(self) -> None:
        self.told: list[Refusal] = []
        self.is_free = threading.Event()
        self.is_free.set()
        self.first = threading.Event()

    def refused(self, refusal: Refusal) -> None:
        self.is_free.wait(30)
        self.told.append(refusal)
        self.first.set()


def refusal(calling: str = "CT", address: str = "10.0.0.1") -> Refusal:
    return Refusal(
        reason=RefusalReason.UNKNOWN_CALLING_AE_TITLE,
        address=address,
        calling_ae_title=calling,
        called_ae_title="READER",
        remedy="Add a peer",
    )


def told(*noted: Refusal, desk: Desk | None = None) -> list[Refusal]:
    """Return what the desk was told of those that were noted within one window."""
    desk = desk or Desk()
    refusals = Refusals(desk, lambda: NOON)
    refusals.start()
    for one in noted:
        refusals.note(one)
    desk.is_free.set()
    refusals.stop()
    return desk.told


def test_the_first_refusal_is_told_at_once_with_its_time() -> None:
    desk = Desk()
    refusals = Refusals(desk, lambda: NOON)
    refusals.start()
    refusals.note(refusal())
    assert desk.first.wait(10)
    assert desk.told[0].last_at == NOON
    refusals.stop()
    assert len(desk.told) == 1


def test_a_caller_who_comes_again_is_counted_and_told_once_more() -> None:
    first, again = told(*[refusal() for _ in range(1000)])
    assert (first.times, first.is_repeated) == (1, False)
    assert (again.times, again.is_repeated) == (999, True)
    assert again.calling_ae_title == "CT"


def test_callers_are_told_apart() -> None:
    assert len(told(refusal("A"), refusal("B"), refusal("A", "10.0.0.2"))) == 3


def test_a_flood_of_different_callers_fills_neither_memory_nor_the_log() -> None:
    found = told(*[refusal(f"AE{n}", f"10.0.{n // 250}.{n % 250}") for n in range(10_000)])
    assert len(found) < 100
    assert sum(one.times for one in found) == 10_000
    assert found[-1].address == ""


def test_an_observer_that_is_slow_keeps_nobody_waiting_and_misses_nothing() -> None:
    desk = Desk()
    desk.is_free.clear()
    found = told(*[refusal(f"AE{n % 500}") for n in range(5000)], desk=desk)
    assert sum(one.times for one in found) == 5000


def test_after_the_window_a_caller_is_told_anew() -> None:
    desk = Desk()
    refusals = Refusals(desk, lambda: NOON, window_s=0.05)
    refusals.start()
    refusals.note(refusal())
    for _ in range(100):
        threading.Event().wait(0.05)
        refusals.note(refusal())
        if sum(not one.is_repeated for one in desk.told) > 1:
            break
    refusals.stop()
    assert sum(not one.is_repeated for one in desk.told) > 1


class Broken(Desk):
    """Cannot record what it is told first."""

    def refused(self, refusal: Refusal) -> None:
        super().refused(refusal)
        if len(self.told) == 1:
            raise RuntimeError("the audit log is away")


def test_what_could_not_be_recorded_is_told_again() -> None:
    first, second, again = told(refusal("A"), refusal("B"), desk=Broken())
    assert (first.calling_ae_title, second.calling_ae_title) == ("A", "B")
    assert (again.calling_ae_title, again.times, again.is_repeated) == ("A", 1, False)


def test_what_could_not_be_recorded_counts_with_what_came_since() -> None:
    _, again = told(*[refusal("A")] * 5, desk=Broken())
    assert (again.times, again.is_repeated) == (5, False)


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (
            refusal(),
            'refused "CT" calling "READER" from 10.0.0.1: unknown calling AE title. Add a peer',
        ),
        (
            Refusal(RefusalReason.CAPACITY, "", "", "", "Wait", times=7),
            "refused a connection calling us from several addresses (7 times): "
            "too many associations. Wait",
        ),
        (
            replace(refusal(), times=2, is_repeated=True),
            'refused "CT" calling "READER" from 10.0.0.1 (2 times more): '
            "unknown calling AE title. Add a peer",
        ),
    ],
)
def test_a_line_of_the_log_quotes_who_called(one: Refusal, line: str) -> None:
    assert sentence(one) == line
