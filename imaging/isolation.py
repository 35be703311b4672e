"""Disposable decoder children: started in milliseconds, limited by the kernel, ended on a breach.

A child gets bytes over a socket and gives pixels back over it; it has no environment, no other
descriptor, and may write no file. Whatever happens to it ends one job with a named error.
"""

import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core import errors as core_errors
from core.errors import CapacityError, ServiceError
from imaging import errors as imaging_errors
from imaging.child import END, PID_BYTES, SPAWN, STATUS_BYTES, arguments
from imaging.errors import (
    DecoderCrashError,
    DecoderTimeoutError,
    DecoderUnavailableError,
    PixelBudgetError,
)
from imaging.facts import MIB, DecoderLimits
from imaging.wire import Buffer, Channel, ChannelClosedError, ChannelTimeoutError, Header

_ENVIRONMENT = {
    "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
    "LANG": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",  # a process with threads cannot be forked safely
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
}
_START_LIMIT_S, _END_LIMIT_S = 30.0, 2.0


class Child:
    """One decoder process that serves one job at a time."""

    def __init__(
        self, nursery: "_Nursery", pid: int, connection: socket.socket, limits: DecoderLimits
    ) -> None:
        self.nursery = nursery
        self.pid = pid
        self.jobs = 0
        self.is_settled = True
        """Whether it waits for its next job, as far as we know; false while one is under way."""
        self.channel = Channel(connection)
        self._limits = limits

    def is_waiting(self) -> bool:
        """Return whether it is alive and silent, as a child between two jobs is."""
        readable, _, _ = select.select([self.channel], [], [], 0)
        return not readable

    def send(self, header: Header, pieces: Iterable[Buffer] = (), size: int = 0) -> None:
        """Ask for something."""
        self.is_settled = False
        self.channel.send_pieces(header, pieces, size, timeout_s=self._limits.deadline_s)

    def receive(self) -> Header:
        """Return the next answer, or raise what the child refused with."""
        header, _ = self.channel.receive(timeout_s=self._limits.deadline_s)
        if "error" in header:
            self.is_settled = True
            raise _refusal(header)
        return header

    def payload(self) -> bytearray:
        """Return what came with that answer; three times the stored size if it became RGB."""
        limit = 3 * self._limits.frame_mib * MIB
        return self.channel.payload(limit=limit, timeout_s=self._limits.deadline_s)


class ChildPool:
    """Lends children to jobs: at most so many at once, each replaced after a breach or N jobs.

    Safe to use from many threads. Nothing is started before the first job or `warm`.
    """

    def __init__(self, limits: DecoderLimits) -> None:
        self.limits = limits
        self._slots = threading.BoundedSemaphore(limits.children)
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._nursery: _Nursery | None = None
        self._lent = 0
        self._last_use = time.monotonic()
        self._reaper: threading.Timer | None = None

    def warm(self) -> None:
        """Start what the first job would wait for."""
        with self._lock:
            if not self._idle:
                self._idle.append(self._start())

    def close(self) -> None:
        """End all children."""
        with self._lock:
            if self._reaper is not None:
                self._reaper.cancel()
            self._end_all()

    @contextmanager
    def lend(self, *, wait_s: float) -> Iterator[Child]:
        """Lend a child for one job.

        The block may end while the child still works; it is then ended, as after any error, a
        refusal of its own included.

        Raises
        ------
        CapacityError
            If none is free within `wait_s`.
        DecoderTimeoutError, DecoderCrashError
            If the child breaks its limits, or dies.
        """
        if not self._slots.acquire(timeout=wait_s):
            raise CapacityError("every decoder is busy", remedy="Try again in a moment")
        try:
            with self._lock:
                child = self._take()
                self._lent += 1
            try:
                yield from self._use(child)
            finally:
                with self._lock:
                    self._lent -= 1
                    self._last_use = time.monotonic()
                    self._watch_idleness()
        finally:
            self._slots.release()

    def _take(self) -> Child:
        """Return an idle child that is still alive, or a fresh one."""
        while self._idle:
            child = self._idle.pop()
            if child.is_waiting():
                return child
            child.channel.close()
            child.nursery.end(child.pid)
        return self._start()

    def _use(self, child: Child) -> Iterator[Child]:
        try:
            yield child
        except ChannelTimeoutError:
            raise DecoderTimeoutError(
                f"the decoder took longer than {self.limits.deadline_s:g} s over one step"
            ) from None
        except ChannelClosedError:
            raise self._end(child) from None
        except ServiceError:
            child.is_settled = False  # what a decoder left behind must not count against the next
            raise
        finally:
            child.jobs += 1
            if child.is_settled and child.jobs < self.limits.jobs_per_child:
                with self._lock:
                    self._idle.append(child)
            else:
                self._end(child)

    def _end(self, child: Child) -> ServiceError:
        """End a child and say what it died of, if it was dead already."""
        child.channel.close()
        child.is_settled = False
        with self._lock:
            status = child.nursery.end(child.pid)
        if status == -signal.SIGXCPU:
            return DecoderTimeoutError(
                f"the decoder used more than {self.limits.deadline_s:g} s of processor time"
            )
        cause = signal.Signals(-status).name if status is not None and status < 0 else "no signal"
        return DecoderCrashError(f"the decoder died over these pixels ({cause})")

    def _start(self) -> Child:
        """Fork a child; a nursery that died is replaced once."""
        for _ in range(2):
            if self._nursery is None:
                self._nursery = _Nursery(self.limits)
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    pid = self._nursery.spawn(theirs)
                    return Child(self._nursery, pid, ours, self.limits)
                except OSError:
                    ours.close()
                    self._end_all()
        raise DecoderUnavailableError(
            "no decoder process can be started",
            remedy="See whether the machine is out of memory or processes",
        )

    def _end_all(self) -> None:
        for child in self._idle:
            child.channel.close()
        self._idle.clear()
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None

    def _watch_idleness(self) -> None:
        if self.limits.idle_s and (self._reaper is None or not self._reaper.is_alive()):
            self._reaper = threading.Timer(self.limits.idle_s, self._end_if_idle)
            self._reaper.daemon = True
            self._reaper.start()

    def _end_if_idle(self) -> None:
        with self._lock:
            self._reaper = None
            if self._lent == 0 and time.monotonic() - self._last_use >= self.limits.idle_s:
                self._end_all()
            else:
                self._watch_idleness()


class _Nursery:
    """The parent's hold on the process that children are forked from."""

    def __init__(self, limits: DecoderLimits) -> None:
        self._control, theirs = socket.socketpair()
        self._control.settimeout(_START_LIMIT_S)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                arguments(theirs.fileno(), limits),
                pass_fds=(theirs.fileno(),),
                env=_ENVIRONMENT,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # a decoder's message may quote a patient's data
            )
        self._is_ready = False
        self._children: set[int] = set()

    def spawn(self, connection: socket.socket) -> int:
        """Fork a child at the other end of `connection`; OSError if the nursery is dead."""
        if not self._is_ready:
            self._answer(1)
            self._is_ready = True
        socket.send_fds(self._control, [SPAWN], [connection.fileno()])
        pid = int.from_bytes(self._answer(PID_BYTES), "big")
        self._children.add(pid)
        return pid

    def end(self, pid: int) -> int | None:
        """End a child and return how it ended; None if that cannot be known any more."""
        if pid not in self._children:
            return None
        self._children.discard(pid)
        try:
            self._control.sendall(END + pid.to_bytes(PID_BYTES, "big"))
            return int.from_bytes(self._answer(STATUS_BYTES), "big", signed=True)
        except OSError:
            return None

    def close(self) -> None:
        """End the nursery, and with it every child."""
        self._control.close()
        try:
            self._process.wait(_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answer(self, size: int) -> bytes:
        answer = b""
        while len(answer) < size:
            piece = self._control.recv(size - len(answer))
            if not piece:
                raise ConnectionResetError
            answer += piece
        return answer


def check_encoded(size: int, limits: DecoderLimits) -> None:
    """Refuse an object or picture that is too large to be handed to a child."""
    if size > limits.encoded_mib * MIB:
        raise PixelBudgetError(
            f"{size // MIB} MiB are more than a decoder may be given ({limits.encoded_mib} MiB)",
            remedy="If such objects are meant to be read, raise inference.decoder.encoded_mib",
        )


def _refusal(header: Header) -> ServiceError:
    """Return the error that a child answered with, as the class it was."""
    for module in (imaging_errors, core_errors):
        kind = getattr(module, str(header["error"]), None)
        if isinstance(kind, type) and issubclass(kind, ServiceError):
            return kind(str(header["message"]), remedy=str(header["remedy"]))
    return DecoderCrashError("the decoder answered with an error that is not known")
