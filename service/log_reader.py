"""The search of the audit log, as REST offers it: bounded in memory and time for any log.

A page opens so many records and no more. One that is not full may therefore have a next page, and
a span of time long ago is found without opening what was logged before it.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from api.events import AuditObject, AuditPage, AuditParticipant, AuditQuery, AuditRecord
from archive.outbox import OutboxRecord
from audit.events import AuditEvent
from audit.records import SealedRecord
from audit.search import SLACK, AuditSearch, LoggedEvent, position_before, read_events
from audit.vocabulary import EventKind, IdType, Outcome
from core.errors import InputError
from service.foundation import Foundation

MOST_OPENED = 10_000
"""Records that one page opens: a second or two."""


@dataclass(frozen=True)
class _Place:
    """Where a page ended, and the next begins; stays true when what waited is logged."""

    position: int
    """In the log; its end, where records that waited were shown."""
    after: str = ""
    """Event id of the last record that was shown while it waited."""


@dataclass(frozen=True)
class LogReader:
    """Searches the audit log and what waits for it; the api's `AuditReader`."""

    foundation: Foundation
    most_opened: int = MOST_OPENED
    waiting_at_once: int = 1000
    """Records of the outbox that are held at a time."""

    def search(self, query: AuditQuery) -> AuditPage:
        """Return one page, oldest first."""
        wanted = AuditSearch(
            user=query.user,
            kind=_kind(query.event),
            outcome=None if query.outcome is None else Outcome(query.outcome),
            at_from=query.at_from,
            at_before=query.at_to,
        )
        found: list[AuditRecord] = []
        for opened, (place, logged) in enumerate(self._events(self._start(query))):
            if logged.event.time >= query.at_to + SLACK:
                break  # whatever follows is younger still
            is_wanted = wanted.matches(logged.event)
            if opened == self.most_opened or (is_wanted and len(found) == query.limit):
                return AuditPage(tuple(found), _cursor(place))
            if is_wanted:
                found.append(_record(logged))
        return AuditPage(tuple(found), None)

    def _start(self, query: AuditQuery) -> _Place:
        if query.cursor is not None:
            return _place(query.cursor)
        folder = self.foundation.audit_settings.folder
        return _Place(position_before(folder, self.foundation.trail.sealer, query.at_from))

    def _events(self, start: _Place) -> Iterator[tuple[_Place, LoggedEvent]]:
        """Yield what stands from a place on: records of the log, then those that wait for it."""
        sealer, folder = self.foundation.trail.sealer, self.foundation.audit_settings.folder
        walk, waiting = _Walk(start), self._waiting(0)
        while True:
            for logged in read_events(folder, sealer, walk.place.position):
                place = walk.place
                if walk.is_to_show(logged.event.event_id, logged.position):
                    yield place, logged
            for record in waiting:
                place = walk.place
                if walk.is_to_show(record.event_id, None):
                    sealed = SealedRecord(record.event_id, record.sealed)
                    yield place, LoggedEvent(None, sealer.open(sealed))
            if len(waiting) < self.waiting_at_once:
                return walk.end()
            waiting = self._waiting(waiting[-1].sequence)

    def _waiting(self, sequence: int) -> tuple[OutboxRecord, ...]:
        """Return what waits. Asked before the log is read, so that nothing is missed between."""
        archive = self.foundation.archive
        with archive.snapshot() as tx:
            return archive.outbox.pending(tx, self.waiting_at_once, after=sequence)


@dataclass
class _Walk:
    """How far one page has come; tells a record that it has seen already."""

    place: _Place
    _is_due: bool = field(init=False)
    _seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._is_due = not self.place.after

    def is_to_show(self, event_id: str, position: int | None) -> bool:
        """Note the next record, whose `position` is None while it waits."""
        is_new = event_id not in self._seen
        is_to_show = is_new and self._is_due
        if position is not None:
            after = "" if event_id == self.place.after else self.place.after
            self._is_due = self._is_due or not after
            self.place = _Place(position + 1, after)
        elif is_new:
            self._is_due = self._is_due or event_id == self.place.after
            if self._is_due:
                self.place = _Place(self.place.position, event_id)
        self._seen.add(event_id)
        return is_to_show

    def end(self) -> None:
        """Refuse a cursor that led to nowhere."""
        if not self._is_due:
            raise _not_ours()


def _kind(code: str | None) -> EventKind | None:
    if code is None:
        return None
    try:
        return EventKind(code)
    except ValueError:
        raise InputError(f"there is no audit event {code[:16]}") from None


def _place(cursor: str) -> _Place:
    try:
        fields = json.loads(base64.urlsafe_b64decode(cursor))
        place = _Place(int(fields["position"]), str(fields["after"]))
    except (ValueError, KeyError, TypeError):
        raise _not_ours() from None
    if place.position < 0:
        raise _not_ours()
    return place


def _cursor(place: _Place) -> str:
    return base64.urlsafe_b64encode(json.dumps(asdict(place)).encode()).decode()


def _not_ours() -> InputError:
    return InputError("the cursor is not one of ours", remedy="Begin again without one")


def _record(logged: LoggedEvent) -> AuditRecord:
    event = logged.event
    return AuditRecord(
        event_id=event.event_id,
        position=logged.position,
        at=event.time,
        event=event.kind.code,
        action=event.action.value,
        outcome=int(event.outcome),
        participants=tuple(
            AuditParticipant(
                user_id=who.user_id,
                user_name=who.user_name,
                role=who.role.code.meaning if who.role else "",
                is_requestor=who.is_requestor,
                network_access_point=who.address,
            )
            for who in event.participants
        ),
        objects=tuple(
            AuditObject(id_type=one.id_type.code.meaning, id=one.id, name=one.name)
            for one in event.objects
        ),
        type_code=event.type_code,
        description=event.outcome_description,
        details=tuple(_details(event)),
    )


def _details(event: AuditEvent) -> Iterator[tuple[str, str]]:
    for detail in event.details:
        yield detail.name, detail.value
    for one in event.objects:
        yield from ((detail.name, detail.value) for detail in one.details)
        yield from (("AccessionNumber", number) for number in one.accession_numbers)
        yield from (("SOPInstanceUID", uid) for of in one.sop_classes for uid in of.instances)
        if one.id_type is IdType.SEARCH:
            yield "Query", base64.b64decode(one.query).decode(errors="replace")
