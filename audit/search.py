"""Opened records, and the search among them."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from audit.events import AuditEvent
from audit.records import RecordSealer
from audit.segments import Segment, decode_entry, find_segments, read_entries
from audit.vocabulary import EventKind, Outcome

SLACK = timedelta(hours=1)
"""By how much an event may stand in the log after a younger one: events are logged in the order of
their commits, and a clock may have been set back a little."""
_PROBED_EVERY = 512


@dataclass(frozen=True)
class LoggedEvent:
    """An opened record and where it stands in the log."""

    position: int | None
    """0 for the first record; None while it waits in the outbox."""
    event: AuditEvent


@dataclass(frozen=True)
class AuditSearch:
    """Which events; what is None does not matter."""

    patient_id: str | None = None
    user: str | None = None
    """A login, a person's name or an AE title, exactly."""
    kind: EventKind | None = None
    outcome: Outcome | None = None
    at_from: datetime | None = None
    at_before: datetime | None = None

    def matches(self, event: AuditEvent) -> bool:
        """Whether the event is one of them."""
        return all(
            (
                self.patient_id is None or self.patient_id in event.patient_ids(),
                self.user is None or self.user in event.users(),
                self.kind is None or self.kind is event.kind,
                self.outcome is None or self.outcome is event.outcome,
                self.at_from is None or self.at_from <= event.time,
                self.at_before is None or event.time < self.at_before,
            )
        )


def search(events: Iterable[LoggedEvent], wanted: AuditSearch) -> Iterator[LoggedEvent]:
    """Yield those of the opened events that are wanted, in their order."""
    return (logged for logged in events if wanted.matches(logged.event))


def read_events(folder: Path, sealer: RecordSealer, start: int = 0) -> Iterator[LoggedEvent]:
    """Open the records of the log from a position on; each by itself, proving nothing of the log.

    Raises
    ------
    SealError
        At the first record that was changed or sealed under another key.
    BrokenChainError
        If a segment is missing or ends early.
    """
    for position, entry in read_entries(folder, start):
        yield LoggedEvent(position, sealer.open(decode_entry(entry)))


def position_before(folder: Path, sealer: RecordSealer, moment: datetime) -> int:
    """Return a position before which the log holds nothing that happened since `moment`.

    Opens a few hundred records at most, however long the log is.

    Raises
    ------
    SealError, LogUnreadableError
        If one of them was changed, or cannot be read.
    """

    def is_later(entry: bytes | None) -> bool:
        return entry is None or sealer.open(decode_entry(entry)).time + SLACK >= moment

    segments = find_segments(folder)
    at = bisect_left(segments, True, key=lambda segment: is_later(_first(segment)))
    if at == 0:
        return 0
    position = segments[at - 1].first
    for place, entry in read_entries(folder, position):
        if place % _PROBED_EVERY:
            continue
        if is_later(entry):
            break
        position = place
    return position


def log_size(folder: Path) -> int:
    """Return how many records the log holds, as far as they are whole."""
    segments = find_segments(folder)
    return segments[-1].first + sum(1 for _ in segments[-1].frames()) if segments else 0


def _first(segment: Segment) -> bytes | None:
    return next(iter(segment.frames()), None)
