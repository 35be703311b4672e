"""What crosses the ports: plain values, before they get their shape on the wire.

A view may hold identity (it is on its way to somebody who may see it); none is ever logged.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from core.codes import Code
from core.findings import Algorithm, Conclusion, Measurement, Reading, Region
from core.model import StudyIdentity, StudyKey
from core.states import DeliveryState, HoldReason, RevisionState

# --- detect ------------------------------------------------------------------------------------


class Medium(StrEnum):
    """What a detection was asked for."""

    DICOM = "dicom"
    """A whole Part 10 file."""
    PICTURE = "image"
    """JPEG, PNG or what else the reader decodes."""


@dataclass(frozen=True)
class DetectionRequest:
    """One read that leaves nothing behind."""

    medium: Medium
    content: bytes = field(repr=False)
    model: str | None
    """None takes the model that the configuration selects for it."""
    confidence: float | None
    """None takes the threshold that is in force for the model."""
    timeout_s: float
    """What is left of the time within which the client is answered."""


@dataclass(frozen=True)
class DetectionAnswer:
    """What the model said about one picture or instance."""

    reading: Reading
    """Boxes in pixels of the picture as it was sent; one evaluation, that of the picture."""
    processed_at: datetime
    rows: int
    columns: int
    number_of_frames: int
    identity: StudyIdentity | None
    """For the audit record alone; None for a picture, which names nobody."""


# --- studies -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class StudyQuery:
    """Which studies; newest first."""

    states: frozenset[RevisionState] = frozenset()
    """Empty for any."""
    modality: str | None = None
    received_from: datetime | None = None
    received_to: datetime | None = None
    """Exclusive."""
    limit: int = 50
    cursor: str | None = None
    """What the page before gave; opaque, and without identity."""


@dataclass(frozen=True)
class StudySummary:
    """Where one study is on its way."""

    identity: StudyIdentity
    study_key: StudyKey
    state: RevisionState
    """Of its newest revision."""
    revision: int
    hold_reason: HoldReason | None
    modalities: tuple[str, ...]
    number_of_instances: int
    received_at: datetime
    """When its first instance came."""
    updated_at: datetime


@dataclass(frozen=True)
class StudyPage:
    """One page of a search."""

    studies: tuple[StudySummary, ...]
    next_cursor: str | None


@dataclass(frozen=True)
class Completeness:
    """By which rule a revision is, or will be, complete."""

    rule: str
    is_complete: bool
    decided_at: datetime | None
    time_left_s: float | None
    """Until the rule closes the revision if nothing more arrives; None once it did."""


@dataclass(frozen=True)
class JourneyEntry:
    """One thing that happened to a study."""

    at: datetime
    revision: int
    event: str
    reason: str = ""


@dataclass(frozen=True)
class Delivery:
    """Where one result object is on its way to one destination."""

    destination: str
    """Its name in config.yaml."""
    kind: str
    sop_instance_uid: str
    state: DeliveryState
    attempts: int
    outcome: str
    """What the destination or the wire said last, in one sentence."""
    updated_at: datetime
    next_attempt_at: datetime | None


@dataclass(frozen=True)
class StudyDetail(StudySummary):
    """Everything we know about the way of one study."""

    completeness: Completeness
    journey: tuple[JourneyEntry, ...]
    deliveries: tuple[Delivery, ...]


# --- results -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ResultFinding:
    """A finding, referring to the original instance by its own UID."""

    tracking_uid: str
    label: str
    concept: Code
    score: float
    probability: float | None
    series_instance_uid: str
    sop_instance_uid: str
    frame: int
    region: Region | None
    measurements: tuple[Measurement, ...] = ()


@dataclass(frozen=True)
class ResultReading:
    """What one model says about one revision of a study."""

    algorithm: Algorithm
    conclusion: Conclusion
    number_evaluated: int
    number_failed: int
    findings: tuple[ResultFinding, ...]
    reasons: tuple[str, ...] = ()
    """Why instances were not evaluated or could not be processed, each once."""


@dataclass(frozen=True)
class ResultObject:
    """One object that was made and passed the last check."""

    kind: str
    sop_class_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    created_at: datetime


@dataclass(frozen=True)
class StudyResults:
    """The results of one revision, under the patient's own identity."""

    identity: StudyIdentity
    revision: int
    """Whose results these are."""
    newest_revision: int
    """More than `revision` where instances came later and are not through yet."""
    state: RevisionState
    """Of the newest revision; nothing is given away while it is held."""
    hold_reason: HoldReason | None
    number_of_instances: int
    """How many were received; a reading says how many of them it evaluated."""
    completeness_rule: str
    readings: tuple[ResultReading, ...]
    objects: tuple[ResultObject, ...]


# --- models ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelCard:
    """One model package that is loaded here."""

    name: str
    version: str
    digest: str
    """SHA-256 of the package, hex."""
    task: str
    labels: tuple[str, ...]
    threshold: float
    accepts: tuple[str, ...]
    """What it wants to see, one condition each, in words."""
    intended_use: str
    training_data: str
    performance: tuple[tuple[str, float], ...]
    """Name of a measure and its value, as the card states it."""
    is_ready: bool
    reason: str = ""
    """Why it is not ready."""


# --- peers -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PeerCard:
    """One peer that may connect over DICOM."""

    name: str
    ae_title: str
    called_ae_title: str
    """The AE title that it must call us by."""
    addresses: tuple[str, ...]
    certificates: tuple[str, ...]
    issuer_of_patient_id: str
    allow: tuple[str, ...]
    priority: str
    last_seen_at: datetime | None
    """When it was last let in."""
    last_seen_address: str | None


@dataclass(frozen=True)
class PeerRoll:
    """All peers of config.yaml."""

    peers: tuple[PeerCard, ...]
    is_current: bool
    """False if config.yaml is wrong: then these are those of before it was."""


@dataclass(frozen=True)
class RefusedCaller:
    """Somebody who was refused over DICOM; titles and subject are what it said of itself."""

    id: str
    address: str
    calling_ae_title: str
    """Empty if it was refused before it could say."""
    called_ae_title: str
    certificate_sha256: str | None
    certificate_subject: str | None
    first_at: datetime
    last_at: datetime
    count: int
    reason: str
    """Of the last refusal."""
    what_allows: str
    """A command, or what else lets it in."""


# --- health ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PartHealth:
    """Whether one part can do its work."""

    name: str
    is_ready: bool
    reason: str
    """Why not, or in what shape it is; one sentence without patient data."""
    remedy: str = ""
