"""What every role does at its start and end: say so in the audit log, and heed the signals."""

import fcntl
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import ConfigurationError, ServiceError
from service.foundation import Foundation, opened
from service.settings import Installation

log = logging.getLogger(__name__)

LONGEST_HANDOVER_S = 30.0
"""How long a worker that was told to end may take."""
_LOOK_S = 0.1


class SecondWorkerError(ConfigurationError):
    """Another worker uses the same workflow database, which has room for one."""


@contextmanager
def role(installation: Installation, name: str) -> Iterator[Foundation]:
    """Open the installation, and record that this process started and stopped (110100)."""
    with opened(installation, name) as foundation:
        foundation.record(foundation.trail.process(started=True))
        try:
            yield foundation
        finally:
            try:
                foundation.record(foundation.trail.process(started=False))
            except ServiceError as error:
                log.error("the end of this role could not be recorded: %s", error)  # noqa: TRY400


@contextmanager
def one_worker(place: Path, *, wait_s: float = LONGEST_HANDOVER_S) -> Iterator[None]:
    """Be the only worker of a workflow database on this machine, while the body runs.

    Two would each do all the work. The system lets go of the lock with the process, however that
    ends; one that is just ending is waited for.

    Raises
    ------
    SecondWorkerError
        If another goes on working.
    """
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(lock, place, time.monotonic() + wait_s)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(lock)


def _lock(lock: int, place: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                other = os.pread(lock, 20, 0).decode(errors="replace") or "unknown"
                raise SecondWorkerError(
                    f"another worker, process {other}, is at work here ({place})",
                    remedy="Stop it; for several workers set `archive.database_url` and "
                    "`pipeline.database_url` to PostgreSQL",
                ) from None
            time.sleep(_LOOK_S)
        else:
            return


def on_signal(stop: Callable[[], object]) -> None:
    """Call `stop` when the supervisor or an operator asks this process to end."""
    signal.signal(signal.SIGTERM, lambda *_: stop())
    signal.signal(signal.SIGINT, lambda *_: stop())
