"""How fast a peer has to be while an object arrives: the rule alone, without a socket."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

WINDOW_S = 10.0
"""So long may a peer pause in the middle of an object, if it was fast before and is afterwards."""


class OwnWork:
    """How long we have been at work ourselves, which is no delay of the peer."""

    def __init__(self) -> None:
        self._done_s = 0.0
        self._since: float | None = None

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Count what is done within as our own work."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._done_s += time.monotonic() - self._since
            self._since = None

    def until(self, now: float) -> float:
        """Return how many seconds it has been, what still goes on included."""
        since = self._since
        return self._done_s + (0.0 if since is None else max(0.0, now - since))


class Pace:
    """Whether a peer sends fast enough, looked at now and then."""

    def __init__(self, min_bytes_per_s: float, window_s: float = WINDOW_S) -> None:
        self._min_bytes_per_s = min_bytes_per_s
        self._window_s = window_s
        self._message: int | None = None
        self._start = 0.0
        self._received = 0

    def is_too_slow(self, now: float, received: int, message: int | None) -> bool:
        """Whether too little came in the window that ends now.

        Parameters
        ----------
        now : [s]
            The time, less what we took ourselves.
        received
            How many bytes have ever come.
        message
            The number of the object that is arriving; None between two.
        """
        if message is None or message != self._message:
            self._begin(now, received, message)
            return False
        seconds = now - self._start
        if seconds < self._window_s:
            return False
        rate = (received - self._received) / seconds
        self._begin(now, received, message)
        return rate < self._min_bytes_per_s

    def _begin(self, now: float, received: int, message: int | None) -> None:
        self._message, self._start, self._received = message, now, received
