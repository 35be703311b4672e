"""Events as DICOM audit messages, for an audit record repository. Source: PS3.15 A.5.1."""

import base64
import re
from collections.abc import Iterable
from ipaddress import ip_address
from xml.etree.ElementTree import Element, SubElement, tostring

from audit.events import AuditEvent, Detail, Participant, ParticipantObject, SopClass
from audit.requirements import require_whole
from audit.vocabulary import IdType, ObjectRole, ObjectType
from core.codes import Code

_APPLICATION_SERVER = "4"
_MACHINE_NAME, _IP_ADDRESS = "1", "2"
_OID = re.compile(r"[0-2]((\.0)|(\.[1-9][0-9]*))*")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def dicom_message(event: AuditEvent, source_id: str) -> bytes:
    """Return the event as an audit message in XML (UTF-8).

    One object is ours: it carries the event id and the facts that the schema has no place for.

    Parameters
    ----------
    source_id
        AuditSourceID: which installation reports.

    Raises
    ------
    MalformedEventError
        If the event lacks what its kind must have.
    """
    require_whole(event)
    message = Element("AuditMessage")
    _identification(message, event)
    for participant in event.participants:
        _participant(message, participant)
    source = _element(message, "AuditSourceIdentification", AuditSourceID=source_id)
    _element(source, "AuditSourceTypeCode", **{"csd-code": _APPLICATION_SERVER})
    for thing in (*event.objects, _record_object(event)):
        _object(message, thing)
    text: bytes = tostring(message, encoding="utf-8")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + text


def _record_object(event: AuditEvent) -> ParticipantObject:
    return ParticipantObject(
        event.event_id,
        IdType.RECORD,
        ObjectType.SYSTEM_OBJECT,
        ObjectRole.SECURITY_RESOURCE,
        name="Audit record",
        details=event.details,
    )


def _identification(message: Element, event: AuditEvent) -> None:
    identification = _element(
        message,
        "EventIdentification",
        EventActionCode=event.action.value,
        EventDateTime=event.time.isoformat(),
        EventOutcomeIndicator=str(event.outcome.value),
    )
    _code(identification, "EventID", event.kind.code)
    if event.type_code:
        _code(identification, "EventTypeCode", event.type_code)
    if event.outcome_description:
        _text(identification, "EventOutcomeDescription", event.outcome_description)


def _participant(message: Element, who: Participant) -> None:
    attributes = {"UserID": who.user_id, "UserIsRequestor": str(who.is_requestor).lower()}
    if who.alternative_user_id:
        attributes["AlternativeUserID"] = who.alternative_user_id
    if who.user_name:
        attributes["UserName"] = who.user_name
    if who.address:
        attributes["NetworkAccessPointID"] = who.address
        attributes["NetworkAccessPointTypeCode"] = _access_point_type(who.address)
    element = _element(message, "ActiveParticipant", **attributes)
    if who.role:
        _code(element, "RoleIDCode", who.role.code)
    if who.media:
        _code(element, "MediaType", who.media.code)


def _object(message: Element, thing: ParticipantObject) -> None:
    element = _element(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID=thing.id,
        ParticipantObjectTypeCode=str(thing.object_type.value),
        ParticipantObjectTypeCodeRole=str(thing.role.value),
    )
    _code(element, "ParticipantObjectIDTypeCode", thing.id_type.code)
    if thing.query:
        _text(element, "ParticipantObjectQuery", thing.query)
    else:
        _text(element, "ParticipantObjectName", thing.name)
    for detail in (*thing.details, *_uids_that_are_none(thing.sop_classes)):
        value = base64.b64encode(detail.value.encode()).decode()
        _element(element, "ParticipantObjectDetail", type=detail.name, value=value)
    description = _element(element, "ParticipantObjectDescription")
    for number in thing.accession_numbers:
        _element(description, "Accession", Number=number)
    for sop_class in filter(_is_valid, thing.sop_classes):
        _sop_class(description, sop_class)
    contains = _element(description, "ParticipantObjectContainsStudy")
    if thing.id_type is IdType.STUDY_INSTANCE_UID and _OID.fullmatch(thing.id):
        _element(contains, "StudyIDs", UID=thing.id)


def _sop_class(description: Element, sop_class: SopClass) -> None:
    number = str(sop_class.number_of_instances)
    element = _element(description, "SOPClass", UID=sop_class.uid, NumberOfInstances=number)
    for uid in sop_class.instances:
        _element(element, "Instance", UID=uid)


def _is_valid(sop_class: SopClass) -> bool:
    return all(map(_OID.fullmatch, (sop_class.uid, *sop_class.instances)))


def _uids_that_are_none(sop_classes: Iterable[SopClass]) -> list[Detail]:
    """Return the UIDs that a peer made against PS3.5 9.1, which the schema would refuse."""
    return [
        Detail("InvalidUID", uid)
        for sop_class in sop_classes
        if not _is_valid(sop_class)
        for uid in (sop_class.uid, *sop_class.instances)
    ]


def _access_point_type(address: str) -> str:
    try:
        ip_address(address)
    except ValueError:
        return _MACHINE_NAME
    return _IP_ADDRESS


def _code(parent: Element, name: str, code: Code) -> None:
    attributes = {
        "csd-code": code.value,
        "codeSystemName": code.scheme,
        "originalText": code.meaning,
    }
    _element(parent, name, **attributes)


def _text(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = _legal(text)


def _element(parent: Element, name: str, **attributes: str) -> Element:
    return SubElement(parent, name, {key: _legal(value) for key, value in attributes.items()})


def _legal(text: str) -> str:
    """Replace what XML 1.0 has no way to write."""
    return _NOT_XML.sub("\ufffd", text)
