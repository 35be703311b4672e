"""One thread that waits for many descriptors and many moments at once, and never for one alone."""

import heapq
import itertools
import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from dicom_node.faults import log_fault

_LONGEST_WAIT_S = 5.0

Action = Callable[[], None]


class Loop:
    """Calls whoever waits for a descriptor or a moment, all in the thread that runs it.

    Only `call_soon` and `stop` may be called from other threads.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._selector = selectors.DefaultSelector()
        self._moments: list[tuple[float, int, Action]] = []
        self._numbers = itertools.count()
        self._soon: deque[Action] = deque()
        self._wakened, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._wakened, selectors.EVENT_READ, self._hear)
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_running(self) -> bool:
        """Whether the thread lives."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Run in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and let go of everything that was watched."""
        self._is_stopping = True
        self.call_soon(lambda: None)
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()
        self._let_go()

    def watch(self, source: socket.socket, action: Action) -> None:
        """Call `action` whenever `source` can be read."""
        self._selector.register(source, selectors.EVENT_READ, action)

    def forget(self, source: socket.socket) -> None:
        """Watch a source no more; nothing happens if it is not watched."""
        try:
            self._selector.unregister(source)
        except (KeyError, ValueError):
            return

    def call_later(self, wait_s: float, action: Action) -> None:
        """Call `action` once, after so many seconds."""
        moment = time.monotonic() + wait_s
        heapq.heappush(self._moments, (moment, next(self._numbers), action))

    def call_soon(self, action: Action) -> None:
        """Call `action` in the loop's thread; safe to call from any thread."""
        self._soon.append(action)
        try:
            os.write(self._waker, b"\0")
        except BlockingIOError:
            return  # it will wake anyhow
        except OSError:
            return  # it has ended

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                for key, _ in self._selector.select(self._patience()):
                    self._call(key.data)
                self._call_what_is_due()
        finally:
            self._selector.close()

    def _let_go(self) -> None:
        self._selector.close()
        for end in (self._wakened, self._waker):
            with suppress(OSError):
                os.close(end)

    def _patience(self) -> float:
        if not self._moments:
            return _LONGEST_WAIT_S
        return min(_LONGEST_WAIT_S, max(0.0, self._moments[0][0] - time.monotonic()))

    def _call_what_is_due(self) -> None:
        now = time.monotonic()
        while self._moments and self._moments[0][0] <= now:
            self._call(heapq.heappop(self._moments)[2])

    def _hear(self) -> None:
        os.read(self._wakened, 4096)
        while self._soon:
            self._call(self._soon.popleft())

    def _call(self, action: Action) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - one visitor must not end the loop for all
            log_fault(f"{self._name} failed", "-", error)
