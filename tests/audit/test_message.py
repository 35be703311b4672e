"""Audit messages: valid by the published schema, and read back they are the event."""

import base64
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import datetime
from xml.etree.ElementTree import Element, fromstring, tostring

import pytest
import xmlschema
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import MalformedEventError
from audit.events import AuditEvent, Detail, Participant, ParticipantObject, SopClass
from audit.message import dicom_message
from audit.requirements import faults
from audit.vocabulary import (
    Action,
    EventKind,
    IdType,
    Media,
    ObjectRole,
    ObjectType,
    Outcome,
    Role,
)
from core.codes import Code
from tests.audit.builders import EVENTS, stamp
from tests.support.data import standard_folder

PICTURE_TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
)


@pytest.fixture(scope="module")
def schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(str(standard_folder() / "audit" / "audit-message.xsd"))


# --- an independent reader ---------------------------------------------------------------------


def read(message: bytes) -> AuditEvent:
    """Read a message back, with other code than wrote it; KeyError or ValueError if it cannot."""
    root = fromstring(message)
    head = one(root, "EventIdentification")
    type_code, why = head.find("EventTypeCode"), head.find("EventOutcomeDescription")
    *objects, record = (an_object(e) for e in root.findall("ParticipantObjectIdentification"))
    source = one(root, "AuditSourceIdentification")
    if record.id_type is not IdType.RECORD or not (record.name and source.attrib["AuditSourceID"]):
        raise ValueError
    return AuditEvent(
        event_id=record.id,
        kind=EventKind(code(one(head, "EventID")).value),
        action=Action(head.attrib["EventActionCode"]),
        outcome=Outcome(int(head.attrib["EventOutcomeIndicator"])),
        time=datetime.fromisoformat(head.attrib["EventDateTime"]),
        participants=tuple(participant(e) for e in root.findall("ActiveParticipant")),
        objects=tuple(objects),
        type_code=None if type_code is None else code(type_code),
        outcome_description="" if why is None else str(why.text),
        details=record.details,
    )


def one(parent: Element, name: str) -> Element:
    found = parent.find(name)
    if found is None:
        raise KeyError(name)
    return found


def code(element: Element) -> Code:
    scheme, meaning = element.attrib["codeSystemName"], element.attrib["originalText"]
    return Code(element.attrib["csd-code"], scheme, meaning)


def participant(element: Element) -> Participant:
    role, media = element.find("RoleIDCode"), element.find("MediaType")
    return Participant(
        element.attrib["UserID"],
        is_requestor={"true": True, "false": False}[element.attrib["UserIsRequestor"]],
        role=None if role is None else Role(code(role).value),
        user_name=element.get("UserName", ""),
        alternative_user_id=element.get("AlternativeUserID", ""),
        address=element.get("NetworkAccessPointID", ""),
        media=None if media is None else Media(code(media).value),
    )


def an_object(element: Element) -> ParticipantObject:
    described = one(element, "ParticipantObjectDescription")
    return ParticipantObject(
        element.attrib["ParticipantObjectID"],
        IdType(code(one(element, "ParticipantObjectIDTypeCode")).value),
        ObjectType(int(element.attrib["ParticipantObjectTypeCode"])),
        ObjectRole(int(element.attrib["ParticipantObjectTypeCodeRole"])),
        name=element.findtext("ParticipantObjectName", ""),
        query=element.findtext("ParticipantObjectQuery", ""),
        details=tuple(
            Detail(e.attrib["type"], base64.b64decode(e.attrib["value"]).decode())
            for e in element.findall("ParticipantObjectDetail")
        ),
        accession_numbers=tuple(e.attrib["Number"] for e in described.findall("Accession")),
        sop_classes=tuple(
            SopClass(
                e.attrib["UID"],
                int(e.attrib["NumberOfInstances"]),
                tuple(i.attrib["UID"] for i in e.findall("Instance")),
            )
            for e in described.findall("SOPClass")
        ),
    )


# --- tests -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVENTS)
def test_every_message_is_valid_by_the_schema(name: str, schema: xmlschema.XMLSchema) -> None:
    schema.validate(dicom_message(EVENTS[name](stamp()), "site-a").decode())


@pytest.mark.parametrize("name", EVENTS)
def test_a_message_read_back_is_the_event(name: str) -> None:
    event = EVENTS[name](stamp()).ended(Outcome.SERIOUS_FAILURE, "the disk is full").noting(n=1)
    assert read(dicom_message(event, "site-a")) == event


@given(st.lists(PICTURE_TEXT.filter(bool), min_size=3, max_size=3), st.sampled_from(Outcome))
def test_a_message_keeps_every_text(texts: list[str], outcome: Outcome) -> None:
    user, why, fact = texts
    event = EVENTS["accessed"](stamp()).ended(outcome, why).noting(fact=fact)
    event = replace(event, participants=(replace(event.participants[0], user_id=user),))
    assert read(dicom_message(event, "site-a")) == event


def test_what_xml_cannot_write_is_replaced() -> None:
    event = EVENTS["accessed"](stamp()).ended(Outcome.SUCCESS, "a\0b\ud800c")
    assert read(dicom_message(event, "s")).outcome_description == "a\ufffdb\ufffdc"


def test_a_uid_against_the_rules_is_told_as_a_detail(schema: xmlschema.XMLSchema) -> None:
    """PS3.5 9.1 forbids leading zeros; peers send them all the same."""
    event = EVENTS["transferred"](stamp())
    study = replace(event.objects[0], id="1.02.3", sop_classes=(SopClass("1.02", 1),))
    message = dicom_message(replace(event, objects=(study, event.objects[1])), "s")
    schema.validate(message.decode())
    assert Detail("InvalidUID", "1.02") in read(message).objects[0].details


def test_an_address_is_told_as_what_it_is() -> None:
    by_ip = dicom_message(EVENTS["accessed"](stamp()), "s").decode()
    assert 'NetworkAccessPointID="10.0.0.9" NetworkAccessPointTypeCode="2"' in by_ip
    event = EVENTS["accessed"](stamp())
    named = replace(event, participants=(replace(event.participants[0], address="ws-7.local"),))
    assert 'NetworkAccessPointTypeCode="1"' in dicom_message(named, "s").decode()


def test_a_malformed_event_is_no_message() -> None:
    with pytest.raises(MalformedEventError):
        dicom_message(replace(EVENTS["accessed"](stamp()), participants=()), "s")


OPTIONAL = {
    "AlternativeUserID", "UserName", "NetworkAccessPointID", "NetworkAccessPointTypeCode",
    "EventOutcomeDescription", "Accession", "SOPClass", "Instance", "StudyIDs",
    "ParticipantObjectDetail", "AuditSourceTypeCode", "NumberOfInstances",
    "codeSystemName", "originalText",
    "ParticipantObjectDescription", "ParticipantObjectContainsStudy",
}  # fmt: skip
"""What a message may lack (RoleIDCode and the like: see `is_free`)."""


def cuts(message: bytes) -> Iterator[tuple[str, bytes]]:
    """The message with each of its mandatory elements and attributes removed in turn."""
    root = fromstring(message)
    for number, element in enumerate(root.iter()):
        for attribute in element.attrib:
            if attribute not in OPTIONAL and element.tag not in OPTIONAL - {"SOPClass"}:
                cut = deepcopy(root)
                del list(cut.iter())[number].attrib[attribute]
                yield f"{element.tag}@{attribute}", tostring(cut)
        for at, child in enumerate(element):
            if child.tag not in OPTIONAL and not is_free(root, child):
                cut = deepcopy(root)
                del list(cut.iter())[number][at]
                yield f"{element.tag}/{child.tag}", tostring(cut)


def is_free(root: Element, child: Element) -> bool:
    """Whether the tables of this event do not ask for the child."""
    event = read(tostring(root))
    if child.tag == "ParticipantObjectIdentification":
        is_alert = event.kind is EventKind.SECURITY_ALERT
        return is_alert or (child.attrib["ParticipantObjectTypeCode"] == "2" and event.kind in {
            EventKind.EXPORT, EventKind.IMPORT, EventKind.PROCEDURE_RECORD
        })  # fmt: skip
    if child.tag == "RoleIDCode":
        return code(child).value == Role.APPLICATION_LAUNCHER.value or (
            event.kind is EventKind.EXPORT and code(child).value == Role.DESTINATION.value
        )
    if child.tag == "ActiveParticipant":
        role = child.find("RoleIDCode")
        several = role is None and len(event.participants) > 1
        return several or (role is not None and is_free(root, role))
    return False


CUTS = [
    pytest.param(message, id=f"{name}: {what} {number}")
    for name, build in EVENTS.items()
    for number, (what, message) in enumerate(cuts(dicom_message(build(stamp()), "site-a")))
]


def test_there_are_enough_cuts() -> None:
    assert len(CUTS) >= 120


@pytest.mark.parametrize("message", CUTS)
def test_a_message_without_a_mandatory_part_is_refused(message: bytes) -> None:
    """By the tables of PS3.15 A.5.3, as `requirements` has them."""
    try:
        found = faults(read(message))
    except (KeyError, ValueError):
        return
    assert found
