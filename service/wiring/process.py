"""What every role does at its start and end: say so in the audit log, and heed the signals."""

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.errors import ServiceError
from service.foundation import Foundation, opened
from service.settings import Installation

log = logging.getLogger(__name__)


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


def on_signal(stop: Callable[[], object]) -> None:
    """Call `stop` when the supervisor or an operator asks this process to end."""
    signal.signal(signal.SIGTERM, lambda *_: stop())
    signal.signal(signal.SIGINT, lambda *_: stop())
