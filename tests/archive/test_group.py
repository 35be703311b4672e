"""Work that is done once for all who ask for it at the same time."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from archive.group import Group
from core.errors import UnavailableError


@dataclass
class Workshop:
    """Does groups of numbers, each only when it is let."""

    groups: list[list[int]] = field(default_factory=list)
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    let: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    broken: frozenset[int] = frozenset()

    def work(self, items: Sequence[int]) -> None:
        self.groups.append(list(items))
        self.begun.release()
        assert self.let.acquire(timeout=10)
        if self.broken.intersection(items):
            raise UnavailableError("the tool broke")


@dataclass
class Crowd:
    """Threads that each want one number done."""

    group: Group[int]
    errors: dict[int, BaseException | None] = field(default_factory=dict)
    threads: list[threading.Thread] = field(default_factory=list)

    def ask(self, number: int) -> None:
        """Ask for a number, and return once it waits or is being done."""
        thread = threading.Thread(target=self._do, args=(number,), daemon=True)
        self.threads.append(thread)
        waiting = self.group.waiting
        thread.start()
        while len(self.threads) > 1 and self.group.waiting == waiting and number not in self.errors:
            thread.join(0.001)

    def _do(self, number: int) -> None:
        try:
            self.group.do(number)
        except (UnavailableError, SystemExit) as error:
            self.errors[number] = error
        else:
            self.errors[number] = None

    def join(self) -> None:
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


def test_whoever_is_alone_waits_for_nobody(workshop: Workshop) -> None:
    workshop.let.release()
    Group(workshop.work).do(1)
    assert workshop.groups == [[1]]


def test_all_that_came_during_one_group_are_the_next(workshop: Workshop) -> None:
    crowd = Crowd(Group(workshop.work))
    crowd.ask(1)
    assert workshop.begun.acquire(timeout=10)
    for number in (2, 3, 4):
        crowd.ask(number)
    workshop.let.release(2)
    crowd.join()
    assert workshop.groups == [[1], [2, 3, 4]]
    assert crowd.errors == {1: None, 2: None, 3: None, 4: None}


def test_no_group_is_larger_than_it_may_be(workshop: Workshop) -> None:
    crowd = Crowd(Group(workshop.work, most=2))
    crowd.ask(1)
    assert workshop.begun.acquire(timeout=10)
    for number in (2, 3, 4):
        crowd.ask(number)
    workshop.let.release(3)
    crowd.join()
    assert workshop.groups == [[1], [2, 3], [4]]


def test_a_group_that_fails_fails_for_all_of_it_and_for_nobody_else(workshop: Workshop) -> None:
    workshop.broken = frozenset({3})
    crowd = Crowd(Group(workshop.work))
    crowd.ask(1)
    assert workshop.begun.acquire(timeout=10)
    for number in (2, 3):
        crowd.ask(number)
    workshop.let.release()
    assert workshop.begun.acquire(timeout=10)
    crowd.ask(4)
    workshop.let.release(2)
    crowd.join()
    assert workshop.groups == [[1], [2, 3], [4]]
    failed = {number for number, error in crowd.errors.items() if error is not None}
    assert failed == {2, 3}


def test_nobody_waits_for_ever_for_a_leader_that_was_stopped() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work(items: Sequence[int]) -> None:
        begun.set()
        assert go_on.wait(10)
        if 2 in items:
            raise SystemExit

    crowd = Crowd(Group(work))
    crowd.ask(1)
    assert begun.wait(10)
    for number in (2, 3):
        crowd.ask(number)
    go_on.set()
    crowd.join()
    assert crowd.errors[1] is None
    assert isinstance(crowd.errors[3], UnavailableError)
    crowd.group.do(4)
