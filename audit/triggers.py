"""One constructor for each thing that is recorded, named after what happened.

Each assumes success; `AuditEvent.ended` says otherwise, and `AuditEvent.noting` adds facts:

    query(stamp, peer, ours, search).ended(Outcome.MINOR_FAILURE, "the peer may not query")
"""

from collections.abc import Sequence
from dataclasses import replace

from audit.events import AuditEvent, Participant, ParticipantObject, SopClass, Stamp
from audit.parties import (
    Search,
    StudyContent,
    log_object,
    patient_object,
    search_object,
    study_objects,
)
from audit.vocabulary import Action, Activity, Alert, Coded, Decision, EventKind, Outcome, Role
from core.model import Instance, PatientIdentity


def application_started(
    stamp: Stamp, started: Participant, *, launchers: Sequence[Participant] = ()
) -> AuditEvent:
    """Note that a process started; `ended` says so if the one before it had crashed."""
    return _application(stamp, Activity.APPLICATION_START, started, launchers)


def application_stopped(
    stamp: Stamp, stopped: Participant, *, launchers: Sequence[Participant] = ()
) -> AuditEvent:
    """Note that a process stopped."""
    return _application(stamp, Activity.APPLICATION_STOP, stopped, launchers)


def log_used(stamp: Stamp, users: Sequence[Participant], *, log_uri: str) -> AuditEvent:
    """Note that the audit log was read, searched, verified or exported."""
    return _event(stamp, EventKind.AUDIT_LOG_USED, Action.READ, users, (log_object(log_uri),))


def transfer_began(
    stamp: Stamp, source: Participant, destination: Participant, studies: Sequence[StudyContent]
) -> AuditEvent:
    """Note that instances are about to be sent."""
    ends = _ends(source, destination)
    return _event(stamp, EventKind.BEGIN_TRANSFERRING, Action.EXECUTE, ends, study_objects(studies))


def instances_transferred(
    stamp: Stamp,
    source: Participant,
    destination: Participant,
    studies: Sequence[StudyContent],
    *,
    action: Action = Action.CREATE,
) -> AuditEvent:
    """Note that a transfer ended; C for objects new to the receiver, R for those it had."""
    ends = _ends(source, destination)
    return _event(stamp, EventKind.INSTANCES_TRANSFERRED, action, ends, study_objects(studies))


def instances_accessed(
    stamp: Stamp,
    users: Sequence[Participant],
    studies: Sequence[StudyContent],
    *,
    action: Action = Action.READ,
) -> AuditEvent:
    """Note that instances of one patient were read, made or changed."""
    return _event(stamp, EventKind.INSTANCES_ACCESSED, action, users, study_objects(studies))


def study_deleted(
    stamp: Stamp, users: Sequence[Participant], studies: Sequence[StudyContent]
) -> AuditEvent:
    """Note that whole studies of one patient were deleted."""
    return _event(stamp, EventKind.STUDY_DELETED, Action.DELETE, users, study_objects(studies))


def data_export(
    stamp: Stamp,
    exporters: Sequence[Participant],
    media: Participant,
    *,
    receivers: Sequence[Participant] = (),
    studies: Sequence[StudyContent] = (),
) -> AuditEvent:
    """Note that data left our domain."""
    who = (
        *_as(Role.DESTINATION, receivers),
        *_as(Role.SOURCE, exporters),
        *_as(Role.DESTINATION_MEDIA, (media,)),
    )
    return _event(stamp, EventKind.EXPORT, Action.READ, who, study_objects(studies))


def data_import(
    stamp: Stamp,
    importers: Sequence[Participant],
    media: Participant,
    *,
    sources: Sequence[Participant] = (),
    studies: Sequence[StudyContent] = (),
) -> AuditEvent:
    """Note that data entered our domain other than by a DICOM transfer."""
    who = (
        *_as(Role.DESTINATION, importers),
        *_as(Role.SOURCE_MEDIA, (media,)),
        *_as(Role.SOURCE, sources),
    )
    return _event(stamp, EventKind.IMPORT, Action.CREATE, who, study_objects(studies))


def network_entry(stamp: Stamp, node: Participant, *, is_attached: bool) -> AuditEvent:
    """Note that a listener went up or down."""
    activity = Activity.ATTACH if is_attached else Activity.DETACH
    silent = replace(node, is_requestor=False)
    return _event(stamp, EventKind.NETWORK_ENTRY, Action.EXECUTE, (silent,), activity=activity)


def order_record(
    stamp: Stamp, users: Sequence[Participant], patient: PatientIdentity, *, action: Action
) -> AuditEvent:
    """Note that an order was made, read, changed or deleted."""
    return _event(stamp, EventKind.ORDER_RECORD, action, users, (patient_object(patient),))


def patient_record(
    stamp: Stamp, users: Sequence[Participant], patient: PatientIdentity, *, action: Action
) -> AuditEvent:
    """Note that what we keep about a patient, a pseudonym included, was made, read or changed."""
    return _event(stamp, EventKind.PATIENT_RECORD, action, users, (patient_object(patient),))


def procedure_record(
    stamp: Stamp,
    users: Sequence[Participant],
    studies: Sequence[StudyContent],
    *,
    action: Action,
) -> AuditEvent:
    """Note that the state of a procedure was made, read, changed or deleted."""
    return _event(stamp, EventKind.PROCEDURE_RECORD, action, users, study_objects(studies))


def query(
    stamp: Stamp, source: Participant, destination: Participant, search: Search
) -> AuditEvent:
    """Note that somebody searched; what was found is not part of it."""
    ends = _ends(source, destination)
    return _event(stamp, EventKind.QUERY, Action.EXECUTE, ends, (search_object(search),))


def security_alert(
    stamp: Stamp,
    alert: Alert,
    description: str,
    *,
    reporters: Sequence[Participant],
    performers: Sequence[Participant] = (),
    subjects: Sequence[ParticipantObject] = (),
) -> AuditEvent:
    """Note what a security officer wants to see."""
    silent = [replace(who, is_requestor=False) for who in performers]
    participants, about = (*reporters, *silent), tuple(subjects)
    event = _event(
        stamp, EventKind.SECURITY_ALERT, Action.EXECUTE, participants, about, activity=alert
    )
    return replace(event, outcome_description=description)


def user_authentication(
    stamp: Stamp, who: Participant, *, activity: Activity, node: Participant | None = None
) -> AuditEvent:
    """Note that somebody logged in or out, or failed to (`ended`)."""
    located = replace(who, address=who.address or "localhost")
    participants = (located,) if node is None else (located, node)
    return _event(
        stamp, EventKind.USER_AUTHENTICATION, Action.EXECUTE, participants, activity=activity
    )


def custody_taken(
    stamp: Stamp, source: Participant, destination: Participant, instance: Instance
) -> AuditEvent:
    """Note that an instance is ours to keep, before its sender is told. Source: our own."""
    stored = SopClass(instance.sop_class_uid, 1, (instance.sop_instance_uid,))
    objects = study_objects((StudyContent(instance.identity, (stored,)),))
    ends = _ends(source, destination)
    event = _event(stamp, EventKind.CUSTODY_TAKEN, Action.CREATE, ends, objects)
    return event.noting(TransferSyntax=instance.transfer_syntax_uid)


def verified(stamp: Stamp, source: Participant, destination: Participant) -> AuditEvent:
    """Note that a peer asked whether it can reach us (C-ECHO). Source: our own."""
    return _event(stamp, EventKind.VERIFICATION, Action.EXECUTE, _ends(source, destination))


def pipeline_decided(
    stamp: Stamp,
    decision: Decision,
    users: Sequence[Participant],
    study: StudyContent,
    *,
    rule: str,
) -> AuditEvent:
    """Note what a rule or a person decided about a study. Source: our own."""
    event = _event(
        stamp,
        EventKind.PIPELINE_DECISION,
        Action.EXECUTE,
        users,
        study_objects((study,)),
        activity=decision,
    )
    return event.noting(Rule=rule)


def _application(
    stamp: Stamp, activity: Activity, which: Participant, launchers: Sequence[Participant]
) -> AuditEvent:
    who = (*_as(Role.APPLICATION, (which,)), *_as(Role.APPLICATION_LAUNCHER, launchers))
    kind = EventKind.APPLICATION_ACTIVITY
    return _event(stamp, kind, Action.EXECUTE, who, activity=activity)


def _event(
    stamp: Stamp,
    kind: EventKind,
    action: Action,
    participants: Sequence[Participant],
    objects: tuple[ParticipantObject, ...] = (),
    *,
    activity: Coded | None = None,
) -> AuditEvent:
    return AuditEvent(
        event_id=stamp.event_id,
        kind=kind,
        action=action,
        outcome=Outcome.SUCCESS,
        time=stamp.time,
        participants=tuple(participants),
        objects=objects,
        type_code=activity.code if activity else None,
    )


def _ends(source: Participant, destination: Participant) -> tuple[Participant, ...]:
    return (*_as(Role.SOURCE, (source,)), *_as(Role.DESTINATION, (destination,)))


def _as(role: Role, participants: Sequence[Participant]) -> tuple[Participant, ...]:
    return tuple(replace(who, role=role) for who in participants)
