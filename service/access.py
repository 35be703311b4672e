"""Who asks over REST, and what the audit log keeps of it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from api.events import AccessEvent, EventKind, EventOutcome, Principal, Scope
from archive.accounts import ApiKey
from archive.archive import Archive
from audit import triggers
from audit.events import AuditEvent, Participant
from audit.parties import Search, StudyContent, application, medium, subject
from audit.records import SealedRecord
from audit.vocabulary import Action, Activity, Alert, Media, Outcome
from core.clock import Clock
from core.errors import UnavailableError
from service.trail import Trail


@dataclass(frozen=True)
class KeyAuthenticator:
    """Knows the API keys; the api's `Authenticator`."""

    archive: Archive
    clock: Clock

    def authenticate(self, api_key: str, *, address: str) -> Principal:  # noqa: ARG002 - keys are not bound to addresses yet
        """Return whose key it is; AccessError if it is unknown, expired or revoked."""
        now = self.clock()
        with self.archive.snapshot() as tx:  # asked each time, so that a revoked key ends at once
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

    def seal(self, event: AccessEvent, **facts: object) -> SealedRecord:
        """Seal an access, with more facts about it, for the outbox."""
        made = _MAKERS[event.kind](self.trail, event, _requestor(event))
        if event.outcome is not EventOutcome.SUCCESS:
            made = made.ended(Outcome(event.outcome), event.reason)
        origin = event.origin
        return self.trail.seal(
            made.noting(
                Request=origin.request_id,
                ClientRequest=origin.client_request_id or "none",
                Route=f"{origin.method} {origin.route}",
                **facts,
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
    """Say whose studies were listed, too: an answer shows patient IDs."""
    search = Search(event.query.encode(), event.origin.route)
    made = triggers.query(trail.stamp(), who, trail.ours, search)
    shown = " ".join(study.study_instance_uid for study in event.studies)
    return made.noting(Studies=shown) if shown else made


def _alert(trail: Trail, event: AccessEvent, who: Participant) -> AuditEvent:
    did = "used" if event.outcome is EventOutcome.SUCCESS else "refused"
    return triggers.security_alert(
        trail.stamp(),
        Alert.USE_OF_RESTRICTED_FUNCTION,
        event.reason or did,
        reporters=(trail.ours,),
        performers=(who,),
        subjects=(subject(event.origin.route, event.reason or did),),
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
