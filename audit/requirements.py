"""What PS3.15 A.5.3 makes mandatory for each kind of event, as tables, and the check of it."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from audit.errors import MalformedEventError
from audit.events import AuditEvent, Participant, ParticipantObject
from audit.vocabulary import (
    Action,
    Activity,
    Alert,
    Coded,
    Decision,
    EventKind,
    IdType,
    ObjectRole,
    ObjectType,
    Role,
)

LOG_NAME = "Security Audit Log"
"""ParticipantObjectName of the log itself. Source: PS3.15 A.5.3.2."""
ALERT_DESCRIPTION = "Alert Description"
"""Detail of every subject of an alert. Source: PS3.15 A.5.3.13."""
TRANSFER_SYNTAX = "TransferSyntax"
"""Detail of a query that is an encoded data set. Source: PS3.15 A.5.3.10."""


@dataclass(frozen=True)
class Count:
    """How many there must be, both ends included."""

    low: int
    high: int | None

    def holds(self, number: int) -> bool:
        """Whether `number` is within."""
        return number >= self.low and (self.high is None or number <= self.high)


ONE, ONE_OR_TWO = Count(1, 1), Count(1, 2)
SOME, ANY = Count(1, None), Count(0, None)


@dataclass(frozen=True)
class ObjectKind:
    """One kind of participant object."""

    name: str
    object_type: ObjectType
    roles: frozenset[ObjectRole]
    id_types: frozenset[IdType]
    also: Callable[[ParticipantObject], bool] = lambda _: True
    """What else its table demands."""

    def matches(self, thing: ParticipantObject) -> bool:
        """Whether `thing` is of this kind."""
        return (
            thing.object_type is self.object_type
            and thing.role in self.roles
            and thing.id_type in self.id_types
            and self.also(thing)
        )


def _has_detail(thing: ParticipantObject, name: str) -> bool:
    return any(detail.name == name and detail.value for detail in thing.details)


def _is_whole_query(thing: ParticipantObject) -> bool:
    encoded = thing.id_type is IdType.SOP_CLASS_UID
    return bool(thing.query) and (not encoded or _has_detail(thing, TRANSFER_SYNTAX))


def _is_one_instance(thing: ParticipantObject) -> bool:
    return len(thing.sop_classes) == 1 and len(thing.sop_classes[0].instances) == 1


_SYSTEM, _REPORT = ObjectType.SYSTEM_OBJECT, frozenset({ObjectRole.REPORT})

STUDY = ObjectKind("study", _SYSTEM, _REPORT, frozenset({IdType.STUDY_INSTANCE_UID}))
PATIENT = ObjectKind(
    "patient",
    ObjectType.PERSON,
    frozenset({ObjectRole.PATIENT}),
    frozenset({IdType.PATIENT_NUMBER}),
)
LOG = ObjectKind(
    "log",
    _SYSTEM,
    frozenset({ObjectRole.SECURITY_RESOURCE}),
    frozenset({IdType.URI}),
    lambda thing: thing.name == LOG_NAME,
)
QUERY = ObjectKind(
    "query",
    _SYSTEM,
    frozenset({ObjectRole.REPORT, ObjectRole.QUERY}),
    frozenset({IdType.SOP_CLASS_UID, IdType.SEARCH}),
    _is_whole_query,
)
SUBJECT = ObjectKind(
    "subject",
    _SYSTEM,
    frozenset({ObjectRole.MASTER_FILE, ObjectRole.SECURITY_RESOURCE}),
    frozenset({IdType.URI, IdType.NODE_ID}),
    lambda thing: _has_detail(thing, ALERT_DESCRIPTION),
)
INSTANCE = ObjectKind(
    "instance", _SYSTEM, _REPORT, frozenset({IdType.STUDY_INSTANCE_UID}), _is_one_instance
)


@dataclass(frozen=True)
class Requirement:
    """The mandatory rows of one event's table."""

    actions: str
    participants: Count
    """All of them together."""
    roles: Mapping[Role, Count] = field(default_factory=dict)
    objects: Mapping[str, tuple[ObjectKind, Count]] = field(default_factory=dict)
    types: type[Coded] | tuple[Activity, ...] = ()
    """From which list the EventTypeCode must come; empty leaves it free."""
    also: Callable[[AuditEvent], bool] = lambda _: True


def _objects(*rows: tuple[ObjectKind, Count]) -> Mapping[str, tuple[ObjectKind, Count]]:
    return {kind.name: (kind, count) for kind, count in rows}


def _nobody_asked(event: AuditEvent) -> bool:
    return not any(who.is_requestor for who in event.participants)


def _has_address(event: AuditEvent) -> bool:
    return bool(event.participants[0].address)


_TWO_ENDS = {Role.SOURCE: ONE, Role.DESTINATION: ONE}
_PATIENT_S_STUDIES = _objects((STUDY, SOME), (PATIENT, ONE))
_PEOPLE_S_STUDIES = _objects((STUDY, ANY), (PATIENT, SOME))

REQUIREMENTS: Mapping[EventKind, Requirement] = {
    EventKind.APPLICATION_ACTIVITY: Requirement(
        "E",
        SOME,
        {Role.APPLICATION: ONE, Role.APPLICATION_LAUNCHER: ANY},
        types=(Activity.APPLICATION_START, Activity.APPLICATION_STOP),
    ),
    EventKind.AUDIT_LOG_USED: Requirement("R", ONE_OR_TWO, objects=_objects((LOG, ONE))),
    EventKind.BEGIN_TRANSFERRING: Requirement("E", SOME, _TWO_ENDS, _PATIENT_S_STUDIES),
    EventKind.INSTANCES_ACCESSED: Requirement("CRUD", ONE_OR_TWO, objects=_PATIENT_S_STUDIES),
    EventKind.INSTANCES_TRANSFERRED: Requirement("CRU", SOME, _TWO_ENDS, _PATIENT_S_STUDIES),
    EventKind.STUDY_DELETED: Requirement("D", ONE_OR_TWO, objects=_PATIENT_S_STUDIES),
    EventKind.EXPORT: Requirement(
        "R",
        SOME,
        {Role.DESTINATION: ANY, Role.SOURCE: ONE_OR_TWO, Role.DESTINATION_MEDIA: ONE},
        _PEOPLE_S_STUDIES,
    ),
    EventKind.IMPORT: Requirement(
        "C",
        SOME,
        {Role.DESTINATION: SOME, Role.SOURCE: ANY, Role.SOURCE_MEDIA: ONE},
        _PEOPLE_S_STUDIES,
    ),
    EventKind.NETWORK_ENTRY: Requirement(
        "E", ONE, types=(Activity.ATTACH, Activity.DETACH), also=_nobody_asked
    ),
    EventKind.ORDER_RECORD: Requirement("CRUD", ONE_OR_TWO, objects=_objects((PATIENT, ONE))),
    EventKind.PATIENT_RECORD: Requirement("CRUD", ONE_OR_TWO, objects=_objects((PATIENT, ONE))),
    EventKind.PROCEDURE_RECORD: Requirement(
        "CRUD", ONE_OR_TWO, objects=_objects((STUDY, ANY), (PATIENT, ONE))
    ),
    EventKind.QUERY: Requirement("E", SOME, _TWO_ENDS, _objects((QUERY, ONE))),
    EventKind.SECURITY_ALERT: Requirement("E", SOME, objects=_objects((SUBJECT, ANY)), types=Alert),
    EventKind.USER_AUTHENTICATION: Requirement(
        "E", ONE_OR_TWO, types=(Activity.LOGIN, Activity.LOGOUT), also=_has_address
    ),
    EventKind.CUSTODY_TAKEN: Requirement(
        "C", SOME, _TWO_ENDS, _objects((INSTANCE, ONE), (PATIENT, ONE))
    ),
    EventKind.PIPELINE_DECISION: Requirement(
        "E", ONE_OR_TWO, objects=_objects((STUDY, ONE), (PATIENT, ONE)), types=Decision
    ),
    EventKind.VERIFICATION: Requirement("E", SOME, _TWO_ENDS),
}
"""Source: PS3.15 A.5.3.1 to A.5.3.15; the last three are our own."""


def faults(event: AuditEvent) -> tuple[str, ...]:
    """Say what the event lacks, without quoting any of its values; empty if nothing."""
    requirement = REQUIREMENTS[event.kind]
    return (
        *_heading_faults(event, requirement),
        *_participant_faults(event.participants, requirement),
        *_object_faults(event.objects, requirement),
    )


def require_whole(event: AuditEvent) -> AuditEvent:
    """Return the event, or raise MalformedEventError."""
    found = faults(event)
    if found:
        raise MalformedEventError(f"{event.kind.code.meaning}: {'; '.join(found)}")
    return event


def _heading_faults(event: AuditEvent, requirement: Requirement) -> Iterator[str]:
    if not _is_uuid(event.event_id):
        yield "the event id is no UUID"
    if event.time.utcoffset() is None:
        yield "the time has no zone"
    if Action(event.action).value not in requirement.actions:
        yield f"the action is none of {requirement.actions}"
    types = [term.code for term in requirement.types]
    if types and event.type_code not in types:
        yield "the event type is not one of its list"
    if event.participants and not requirement.also(event):
        yield "a participant lacks its address, or asked for what nobody asks for"


def _participant_faults(
    participants: tuple[Participant, ...], requirement: Requirement
) -> Iterator[str]:
    if not requirement.participants.holds(len(participants)):
        yield "too many participants or too few"
    if not all(who.user_id for who in participants):
        yield "a participant has no user id"
    for role, count in requirement.roles.items():
        if not count.holds(sum(who.role is role for who in participants)):
            yield f"not the right number of {role.code.meaning}"
    for who in participants:
        is_medium = who.role in {Role.SOURCE_MEDIA, Role.DESTINATION_MEDIA}
        if is_medium and (who.media is None or who.is_requestor):
            yield "a medium has no type, or is said to be the requestor"


def _object_faults(
    objects: tuple[ParticipantObject, ...], requirement: Requirement
) -> Iterator[str]:
    for name, (kind, count) in requirement.objects.items():
        if not count.holds(sum(kind.matches(thing) for thing in objects)):
            yield f"not the right number of objects of kind {name}"
    kinds = [kind for kind, _ in requirement.objects.values()]
    for thing in objects:
        if not any(kind.matches(thing) for kind in kinds):
            yield "an object of a kind that this event does not have"
        if not thing.id:
            yield "an object has no id"
        if not thing.name and not thing.query:
            yield "an object has neither name nor query"


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
