"""Who takes part in an event, and what an event is about: the nouns of `triggers`."""

import base64
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from audit.events import Detail, Participant, ParticipantObject, SopClass
from audit.requirements import ALERT_DESCRIPTION, LOG_NAME, TRANSFER_SYNTAX
from audit.vocabulary import IdType, Media, ObjectRole, ObjectType
from core.model import Instance, PatientIdentity, RemoteAE, StudyIdentity

UNKNOWN = "UNKNOWN"
"""Stands for a mandatory name that nobody gave, such as an empty patient ID."""

NOBODY = PatientIdentity("", "", "", "", "")
"""The patient of an object that names none."""


def person(login: str, *, name: str = "", address: str = "") -> Participant:
    """Return a person who asked for something."""
    return Participant(login or UNKNOWN, is_requestor=True, user_name=name, address=address)


def application(
    name: str, *, ae_titles: Sequence[str] = (), address: str = "", is_requestor: bool = False
) -> Participant:
    """Return a process of ours or of another system."""
    return Participant(
        name or UNKNOWN,
        is_requestor=is_requestor,
        alternative_user_id=f"AETITLES={';'.join(ae_titles)}" if ae_titles else "",
        address=address,
    )


def remote_ae(peer: RemoteAE, *, is_requestor: bool = True) -> Participant:
    """Return a DICOM peer."""
    return application(
        peer.ae_title, ae_titles=(peer.ae_title,), address=peer.address, is_requestor=is_requestor
    )


def medium(identifier: str, media: Media) -> Participant:
    """Return what carried data in or out: a file, a request, a disk."""
    return Participant(identifier or UNKNOWN, is_requestor=False, media=media)


@dataclass(frozen=True)
class StudyContent:
    """A study, and what of it the event was about."""

    identity: StudyIdentity
    sop_classes: tuple[SopClass, ...] = ()


@dataclass(frozen=True)
class Search:
    """What was asked for."""

    query: bytes
    """The identifier's data set, or the text of the request."""
    name: str
    """What was searched: the SOP class UID, or the route."""
    transfer_syntax_uid: str = ""
    """How a data set is encoded; empty for a text."""


def count_sop_classes(instances: Iterable[Instance]) -> tuple[SopClass, ...]:
    """Return how many instances of each SOP class there are."""
    counts = Counter(instance.sop_class_uid for instance in instances)
    return tuple(SopClass(uid, number) for uid, number in sorted(counts.items()))


def subject(uri: str, description: str, *, is_node: bool = False) -> ParticipantObject:
    """Return what an alert is about: a resource, or a network node."""
    return ParticipantObject(
        uri or UNKNOWN,
        IdType.NODE_ID if is_node else IdType.URI,
        ObjectType.SYSTEM_OBJECT,
        ObjectRole.SECURITY_RESOURCE,
        name=uri or UNKNOWN,
        details=(Detail(ALERT_DESCRIPTION, description or UNKNOWN),),
    )


def study_object(study: StudyContent) -> ParticipantObject:
    """Return a study as an object."""
    accession = study.identity.accession_number
    return ParticipantObject(
        study.identity.study_instance_uid or UNKNOWN,
        IdType.STUDY_INSTANCE_UID,
        ObjectType.SYSTEM_OBJECT,
        ObjectRole.REPORT,
        name=study.identity.study_id or "Study",
        accession_numbers=(accession,) if accession else (),
        sop_classes=study.sop_classes,
    )


def patient_object(patient: PatientIdentity) -> ParticipantObject:
    """Return a patient as an object."""
    issuer = patient.issuer_of_patient_id
    return ParticipantObject(
        patient.patient_id or UNKNOWN,
        IdType.PATIENT_NUMBER,
        ObjectType.PERSON,
        ObjectRole.PATIENT,
        name=patient.patient_name or UNKNOWN,
        details=(Detail("IssuerOfPatientID", issuer),) if issuer else (),
    )


def study_objects(studies: Sequence[StudyContent]) -> tuple[ParticipantObject, ...]:
    """Return the studies and, once each, their patients."""
    patients = dict.fromkeys(study.identity.patient for study in studies) or {NOBODY: None}
    return (*map(study_object, studies), *map(patient_object, patients))


def log_object(log_uri: str) -> ParticipantObject:
    """Return the audit log itself."""
    return ParticipantObject(
        log_uri,
        IdType.URI,
        ObjectType.SYSTEM_OBJECT,
        ObjectRole.SECURITY_RESOURCE,
        name=LOG_NAME,
    )


def search_object(search: Search) -> ParticipantObject:
    """Return what was asked for."""
    syntax = search.transfer_syntax_uid
    return ParticipantObject(
        search.name or UNKNOWN,
        IdType.SOP_CLASS_UID if syntax else IdType.SEARCH,
        ObjectType.SYSTEM_OBJECT,
        ObjectRole.REPORT if syntax else ObjectRole.QUERY,
        query=base64.b64encode(search.query or b" ").decode(),
        details=(Detail(TRANSFER_SYNTAX, syntax),) if syntax else (),
    )
