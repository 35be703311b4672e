"""Who asks over REST, what the audit log keeps of it, and the search of that log."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from api.events import (
    AccessEvent,
    AuditObject,
    AuditPage,
    AuditParticipant,
    AuditQuery,
    AuditRecord,
    EventKind,
    EventOutcome,
    Principal,
    Scope,
)
from archive.accounts import ApiKey
from archive.archive import Archive
from audit import triggers
from audit.events import AuditEvent, Participant
from audit.parties import Search, StudyContent, application, medium, subject
from audit.records import SealedRecord
from audit.search import AuditSearch, LoggedEvent, read_events
from audit.vocabulary import Action, Activity, Alert, Media, Outcome
from audit.vocabulary import EventKind as AuditKind
from core.clock import Clock
from core.codes import Code
from core.errors import InputError, UnavailableError
from service.foundation import Foundation
from service.trail import Trail


@dataclass(frozen=True)
class KeyAuthenticator:
    """Knows the API keys; the api's `Authenticator`."""

    archive: Archive
    clock: Clock

    def authenticate(self, api_key: str, *, address: str) -> Principal:  # noqa: ARG002 - keys are not bound to addresses yet
        """Return whose key it is; AccessError if it is unknown, expired or revoked."""
        now = self.clock()
        with self.archive.snapshot() as tx:
            record = self.archive.accounts.authenticate(tx, api_key, at=now)
        if self.archive.accounts.needs_note(record, at=now):
            with suppress(UnavailableError), self.archive.transaction() as tx:
                self.archive.accounts.note_use(tx, record.prefix, at=now)
        return Principal(record.name, record.prefix, _scopes(record))


def _scopes(record: ApiKey) -> frozenset[Scope]:
    known = {scope.value for scope in Scope}
    return frozenset(Scope(scope) for scope in record.scopes if scope in known)


@dataclass(frozen=True)
class AccessTrail:
    """Makes access records durable; the api's `AuditSink`."""

    archive: Archive
    trail: Trail
    clock: Clock

    def record(self, event: AccessEvent) -> None:
        """Return once the record is committed."""
        record = self.seal(event)
        with self.archive.transaction() as tx:
            self.archive.outbox.add(tx, record.event_id, record.sealed, at=self.clock())

    def seal(self, event: AccessEvent) -> SealedRecord:
        """Seal an access for the outbox."""
        made = _MAKERS[event.kind](self.trail, event, _requestor(event))
        if event.outcome is not EventOutcome.SUCCESS:
            made = made.ended(Outcome(event.outcome), event.reason)
        origin = event.origin
        return self.trail.seal(
            made.noting(
                Request=origin.request_id,
                ClientRequest=origin.client_request_id or "none",
                Route=f"{origin.method} {origin.route}",
            )
        )


def _requestor(event: AccessEvent) -> Participant:
    if event.principal is None:
        return application("", address=event.origin.address, is_requestor=True)
    return Participant(
        f"apikey {event.principal.key_prefix}",
        is_requestor=True,
        user_name=event.principal.name,
        address=event.origin.address,
    )


def _contents(event: AccessEvent) -> tuple[StudyContent, ...]:
    return tuple(StudyContent(identity) for identity in event.studies)


def _log_used(trail: Trail, event: AccessEvent, who: Participant) -> AuditEvent:
    made = triggers.log_used(trail.stamp(), (who,), log_uri="audit log")
    return made.noting(Query=event.query or "none")


def _accessed(trail: Trail, event: AccessEvent, who: Participant) -> AuditEvent:
    return triggers.instances_accessed(trail.stamp(), (who, trail.ours), _contents(event))


def _imported(trail: Trail, event: AccessEvent, who: Participant) -> AuditEvent:
    return triggers.data_import(
        trail.stamp(),
        (trail.ours,),
        medium("request body", Media.URI),
        sources=(who,),
        studies=_contents(event),
    )


def _procedure(trail: Trail, event: AccessEvent, who: Participant) -> AuditEvent:
    return triggers.procedure_record(trail.stamp(), (who,), _contents(event), action=Action.UPDATE)


def _query(trail: Trail, event: AccessEvent, who: Participant) -> AuditEvent:
    search = Search(event.query.encode(), event.origin.route)
    return triggers.query(trail.stamp(), who, trail.ours, search)


def _alert(trail: Trail, event: AccessEvent, who: Participant) -> AuditEvent:
    return triggers.security_alert(
        trail.stamp(),
        Alert.USE_OF_RESTRICTED_FUNCTION,
        event.reason or "refused",
        reporters=(trail.ours,),
        performers=(who,),
        subjects=(subject(event.origin.route, event.reason or "refused"),),
    )


def _authentication(trail: Trail, event: AccessEvent, who: Participant) -> AuditEvent:
    del event
    return triggers.user_authentication(
        trail.stamp(), who, activity=Activity.LOGIN, node=trail.ours
    )


_MAKERS: dict[EventKind, Callable[[Trail, AccessEvent, Participant], AuditEvent]] = {
    EventKind.AUDIT_LOG_USED: _log_used,
    EventKind.INSTANCES_ACCESSED: _accessed,
    EventKind.IMPORT: _imported,
    EventKind.PROCEDURE_RECORD: _procedure,
    EventKind.QUERY: _query,
    EventKind.SECURITY_ALERT: _alert,
    EventKind.USER_AUTHENTICATION: _authentication,
}


@dataclass(frozen=True)
class LogReader:
    """Searches the audit log and what waits for it; the api's `AuditReader`."""

    foundation: Foundation

    def search(self, query: AuditQuery) -> AuditPage:
        """Return one page, oldest first."""
        start = _position(query.cursor)
        wanted = AuditSearch(
            user=query.user,
            kind=_kind(query.event),
            outcome=None if query.outcome is None else Outcome(query.outcome),
            at_from=query.at_from,
            at_before=query.at_to,
        )
        found: list[LoggedEvent] = []
        for logged in self._events(start):
            if not wanted.matches(logged.event):
                continue
            if len(found) == query.limit:
                return AuditPage(tuple(map(_record, found)), _cursor(logged.position))
            found.append(logged)
        return AuditPage(tuple(map(_record, found)), None)

    def _events(self, start: int) -> Iterator[LoggedEvent]:
        foundation = self.foundation
        sealer = foundation.trail.sealer
        folder = foundation.audit_settings.folder
        with foundation.archive.snapshot() as tx:
            waiting = foundation.archive.outbox.pending(tx, 1000)
        if folder.is_dir():
            yield from read_events(folder, sealer, start)
        for one in waiting:
            yield LoggedEvent(None, sealer.open(SealedRecord(one.event_id, one.sealed)))


def _kind(code: str | None) -> AuditKind | None:
    if code is None:
        return None
    try:
        return AuditKind(code)
    except ValueError:
        raise InputError(f"there is no audit event {code[:16]}") from None


def _position(cursor: str | None) -> int:
    if cursor is None:
        return 0
    try:
        position = int(json.loads(base64.urlsafe_b64decode(cursor))["position"])
    except (ValueError, KeyError, TypeError):
        raise InputError("the cursor is not one of ours") from None
    if position < 0:
        raise InputError("the cursor is not one of ours")
    return position


def _cursor(position: int | None) -> str | None:
    if position is None:
        return None  # what waits for the log is on the last page or, soon, on a later one
    return base64.urlsafe_b64encode(json.dumps({"position": position}).encode()).decode()


def _record(logged: LoggedEvent) -> AuditRecord:
    event = logged.event
    activity: Code | None = event.type_code
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
        description=event.outcome_description or (activity.meaning if activity else ""),
    )
