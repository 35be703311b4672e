"""Work that is done once for all who ask for it at the same time: leader and followers.

Whoever comes first leads: it takes everything that waits, its own item included, does it in one
go, and then hands the lead to the first of those that came meanwhile. Nobody waits for more to
come, so that somebody who is alone is served as if there were no group.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from core.errors import UnavailableError

T = TypeVar("T")


class _Place(Generic[T]):
    """One who waits."""

    def __init__(self, item: T) -> None:
        self.item = item
        self.leads = False
        self.is_done = False
        self.error: BaseException | None = None
        self._gate = threading.Lock()
        self._gate.acquire()

    def wait(self) -> None:
        """Return once this one is done, or is to lead."""
        self._gate.acquire()

    def wake(self) -> None:
        """Let it go on."""
        self._gate.release()


class Group(Generic[T]):
    """Does items together.

    Parameters
    ----------
    work
        Does them all. Each item carries its own outcome; what `work` raises is raised to everyone
        of the group.
    most
        So many at once at the most; the others are the next group.
    """

    def __init__(self, work: Callable[[Sequence[T]], None], *, most: int = 64) -> None:
        self._work = work
        self._most = most
        self._mutex = threading.Lock()
        self._waiting: list[_Place[T]] = []
        self._is_led = False

    @property
    def waiting(self) -> int:
        """How many wait for the next group."""
        return len(self._waiting)

    def do(self, item: T) -> None:
        """Return once a group that `item` belonged to was done."""
        place = _Place(item)
        with self._mutex:
            self._waiting.append(place)
            place.leads = not self._is_led
            self._is_led = True
        if not place.leads:
            place.wait()
        if place.leads and not place.is_done:
            self._lead(place)
        if place.error is not None:
            raise place.error

    def _lead(self, leader: _Place[T]) -> None:
        with self._mutex:
            group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        error: BaseException | None = UnavailableError("the work of a group was broken off")
        try:
            self._work([place.item for place in group])
            error = None
        except Exception as fault:  # noqa: BLE001 - raised again, to everyone it concerns
            error = fault
        finally:
            self._hand_over()
            for place in group:
                place.is_done, place.error = True, error
                if place is not leader:
                    place.wake()

    def _hand_over(self) -> None:
        with self._mutex:
            if not self._waiting:
                self._is_led = False
                return
            following = self._waiting[0]
            following.leads = True
        following.wake()
