"""What an event must hold: every constructor makes it so, and every hole is found. PS3.15 A.5.3."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import triggers
from audit.errors import MalformedEventError
from audit.events import AuditEvent, Participant, ParticipantObject, SopClass
from audit.parties import (
    NOBODY,
    Search,
    StudyContent,
    application,
    count_sop_classes,
    medium,
    person,
    subject,
)
from audit.requirements import REQUIREMENTS, faults, require_whole
from audit.vocabulary import Action, Alert, Decision, EventKind, Media, Role
from core.codes import Code
from core.model import Instance, PatientIdentity, StudyIdentity
from tests.audit.builders import EVENTS, INSTANCE, OURS, PEER, SEALER, STUDY, stamp
from tests.support.builders import ct_image

T = TypeVar("T")
SEVERAL_ALLOWED = {EventKind.EXPORT, EventKind.IMPORT, EventKind.SECURITY_ALERT}
OTHER = Code("1", "X", "something else")


@pytest.mark.parametrize("name", EVENTS)
def test_every_constructor_makes_a_whole_event(name: str) -> None:
    assert faults(EVENTS[name](stamp())) == ()


def holes(event: AuditEvent) -> Iterator[tuple[str, AuditEvent]]:
    """The event with each mandatory thing missing or wrong in turn."""
    yield "event id", replace(event, event_id="")
    yield "event id", replace(event, event_id="7")
    yield "zone", replace(event, time=event.time.replace(tzinfo=None))
    yield "participants", replace(event, participants=())
    for action in set(Action) - {Action(a) for a in REQUIREMENTS[event.kind].actions}:
        yield "action", replace(event, action=action)
    if REQUIREMENTS[event.kind].types:
        yield "type", replace(event, type_code=None)
        yield "type", replace(event, type_code=OTHER)
    for i, who in enumerate(event.participants):
        for changed in participant_holes(event, who):
            yield "participant", replace(event, participants=swap(event.participants, i, changed))
    for j, thing in enumerate(event.objects):
        for broken in object_holes(thing):
            yield "object", replace(event, objects=swap(event.objects, j, broken))
    if event.kind is not EventKind.SECURITY_ALERT and event.objects:
        yield "no patient or other last object", replace(event, objects=event.objects[:-1])
    if event.objects and event.kind not in SEVERAL_ALLOWED:
        yield "one object too often", replace(event, objects=(event.objects[-1],) * 3)


def swap(items: tuple[T, ...], at: int, item: T) -> tuple[T, ...]:
    return (*items[:at], item, *items[at + 1 :])


def participant_holes(event: AuditEvent, who: Participant) -> Iterator[Participant]:
    yield replace(who, user_id="")
    needed = REQUIREMENTS[event.kind].roles.get(who.role) if who.role else None
    if needed and needed.low:
        yield replace(who, role=None)
    if who.media:
        yield replace(who, media=None)
        yield replace(who, is_requestor=True)
    if event.kind is EventKind.NETWORK_ENTRY:
        yield replace(who, is_requestor=True)
    if event.kind is EventKind.USER_AUTHENTICATION and who is event.participants[0]:
        yield replace(who, address="")


def object_holes(thing: ParticipantObject) -> Iterator[ParticipantObject]:
    yield replace(thing, id="")
    yield replace(thing, name="", query="")
    for role in set(type(thing.role)) - {thing.role}:
        if {role, thing.role} not in ({5, 13}, {3, 24}):
            yield replace(thing, role=role)
    for id_type in type(thing.id_type):
        if id_type.name not in {thing.id_type.name, "URI", "NODE_ID", "SEARCH", "SOP_CLASS_UID"}:
            yield replace(thing, id_type=id_type)
    for kind in set(type(thing.object_type)) - {thing.object_type}:
        yield replace(thing, object_type=kind)


CASES = [
    pytest.param(broken, id=f"{name}: {what} {number}")
    for name, build in EVENTS.items()
    for number, (what, broken) in enumerate(holes(build(stamp())))
]


def test_there_are_enough_holes_to_find() -> None:
    assert len(CASES) >= 120


@pytest.mark.parametrize("broken", CASES)
def test_every_hole_is_found_and_never_sealed(broken: AuditEvent) -> None:
    assert faults(broken)
    with pytest.raises(MalformedEventError):
        SEALER.seal(broken)


def test_a_fault_does_not_quote_the_event() -> None:
    broken = replace(EVENTS["accessed"](stamp()), participants=())
    with pytest.raises(MalformedEventError) as caught:
        require_whole(broken)
    assert not any(text in str(caught.value) for text in ("PID-0001", "Ada", "1.2.3.4"))


def test_an_event_of_two_patients_is_refused_where_there_may_be_one() -> None:
    other = StudyContent(
        replace(STUDY.identity, patient=replace(STUDY.identity.patient, patient_id="P2"))
    )
    assert faults(triggers.instances_accessed(stamp(), (OURS,), (STUDY, other)))
    media = medium("cd", Media.CD)
    assert not faults(triggers.data_export(stamp(), (OURS,), media, studies=(STUDY, other)))


def test_two_studies_of_one_patient_name_the_patient_once() -> None:
    other = StudyContent(replace(STUDY.identity, study_instance_uid="1.2.3.5"))
    event = triggers.instances_accessed(stamp(), (OURS,), (STUDY, other))
    assert len(event.objects) == 3
    assert not faults(event)


def test_a_custody_record_names_exactly_one_instance() -> None:
    event = EVENTS["custody"](stamp())
    [study] = [thing for thing in event.objects if thing.sop_classes]
    assert study.sop_classes[0].instances == (INSTANCE.sop_instance_uid,)
    for wrong in ((), (SopClass("1.2", 1),), (SopClass("1.2", 2, ("1", "2")),)):
        objects = tuple(
            replace(t, sop_classes=wrong) if t.sop_classes else t for t in event.objects
        )
        assert faults(replace(event, objects=objects))


def test_instances_are_counted_by_sop_class() -> None:
    other = Instance.parse(ct_image(), transfer_syntax_uid="1.2.840.10008.1.2.1")
    counted = count_sop_classes([INSTANCE, other, INSTANCE])
    assert {sop_class.uid: sop_class.number_of_instances for sop_class in counted} == {
        INSTANCE.sop_class_uid: 2,
        other.sop_class_uid: 1,
    }


text = st.text(max_size=8)
patients = st.builds(PatientIdentity, text, text, text, text, text)
contents = st.builds(StudyContent, st.builds(StudyIdentity, patients, text, text, text, text, text))


@given(study=contents, name=text, words=text, raw=st.binary(max_size=4))
def test_no_name_that_a_peer_can_send_makes_an_event_malformed(
    study: StudyContent, name: str, words: str, raw: bytes
) -> None:
    """Not even an empty one: an image must not be refused for want of a name in its record."""
    who, app = person(name, address=words), application(name, ae_titles=(words,))
    instance = dataclasses.replace(INSTANCE, identity=study.identity, sop_instance_uid=name)
    for event in (
        triggers.custody_taken(stamp(), app, OURS, instance),
        triggers.instances_transferred(stamp(), app, OURS, (study,)),
        triggers.instances_accessed(stamp(), (who,), (study,)),
        triggers.query(stamp(), app, OURS, Search(raw, name, words)),
        triggers.data_import(stamp(), (who,), medium(name, Media.URI), studies=(study,)),
        triggers.pipeline_decided(stamp(), Decision.HELD, (app,), study, rule=words),
        triggers.security_alert(
            stamp(),
            Alert.NODE_AUTHENTICATION,
            words,
            reporters=(OURS,),
            performers=(app,),
            subjects=(subject(name, words),),
        ),
    ):
        assert faults(event) == ()


def test_an_object_without_a_patient_is_filed_under_nobody() -> None:
    study = StudyContent(replace(STUDY.identity, patient=NOBODY))
    event = triggers.instances_transferred(stamp(), PEER, OURS, (study,))
    assert event.patient_ids() == {"UNKNOWN"}


def test_the_roles_of_an_export_are_set_by_its_constructor() -> None:
    roles = [who.role for who in EVENTS["export"](stamp()).participants]
    assert roles == [Role.DESTINATION, Role.SOURCE, Role.DESTINATION_MEDIA]
