"""What the index of studies, series and instances holds, as plain records."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from archive.revisions import RevisionRecord
from core.model import (
    Instance,
    InstanceKey,
    PatientKey,
    RemoteAE,
    RevisionKey,
    SeriesKey,
    StudyIdentity,
    StudyKey,
)
from core.states import RevisionState


class Standing(StrEnum):
    """Which of several instances of one SOP Instance UID counts."""

    CURRENT = "current"
    SUPERSEDED = "superseded"
    """A correction of its patient or order attributes came."""
    CONFLICTING = "conflicting"
    """Other content under a UID that we had; kept, and not used."""


@dataclass(frozen=True)
class NewInstance:
    """An instance whose sealed bytes are durable and which gets its row now."""

    instance: Instance
    issuer: str
    """Of the patient ID: the object's own, or else the one configured for the peer."""
    content_digest: bytes
    blob_name: str
    size_bytes: int
    received_at: datetime
    peer: RemoteAE
    association_id: str
    key_version: int
    """Recorded with the patient if this is the first we see of them."""


@dataclass(frozen=True)
class Added:
    """What became of a new instance."""

    revision: RevisionKey
    opened_revision: bool
    """Whether it is the first instance of its revision."""
    differs: bool
    """Whether it says something else of whose study it is than the study's row."""


@dataclass(frozen=True)
class KnownInstance:
    """What we have under one SOP Instance UID."""

    instance_key: InstanceKey
    study_key: StudyKey
    standing: Standing
    content_digest: bytes
    transfer_syntax_uid: str
    blob_name: str
    size_bytes: int


@dataclass(frozen=True)
class InstanceRecord:
    """One stored instance."""

    instance_key: InstanceKey
    series_key: SeriesKey
    revision: RevisionKey
    """The revision in which it arrived."""
    standing: Standing
    instance: Instance
    blob_name: str
    size_bytes: int
    peer_name: str
    received_at: datetime


@dataclass(frozen=True)
class SealedStudy:
    """What the index says of whose study it is; the proof against which results are checked."""

    identity: StudyIdentity
    issuer: str
    """The issuer that counts: the object's own, or else the one configured for the peer."""


@dataclass(frozen=True)
class SealedSeries:
    """What the index says of a series."""

    series_instance_uid: str
    series_number: int | None
    series_description: str
    body_part_examined: str


@dataclass(frozen=True)
class StudyRecord:
    """One study, and where its newest revision is on its way."""

    study_key: StudyKey
    patient_key: PatientKey
    key_version: int
    """Under which the patient's pseudonyms, UIDs and dates are made."""
    identity: StudyIdentity
    issuer: str
    identity_version: int
    """Grows whenever a correction changes whose study it is."""
    peer_name: str
    """Who sent its first instance."""
    received_at: datetime
    modalities: tuple[str, ...]
    number_of_instances: int
    """Those that count, over all revisions."""
    newest: RevisionRecord


@dataclass(frozen=True)
class StudyFilter:
    """Which studies; what is left out does not matter."""

    states: frozenset[RevisionState] = frozenset()
    """Of the newest revision."""
    modality: str | None = None
    received_from: datetime | None = None
    received_to: datetime | None = None
    """Exclusive."""
    older_than: tuple[datetime, StudyKey] | None = None
    """Only what comes after this study in a list that begins with the newest."""
