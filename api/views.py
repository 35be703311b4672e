"""What crosses the ports: plain values, before they get their shape on the wire.

A view may hold identity (it is on its way to somebody who may see it); none is ever logged.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum, StrEnum

from core.codes import Code
from core.findings import Algorithm, Conclusion, Measurement, Reading, Region
from core.model import StudyIdentity, StudyKey
from core.states import DeliveryState, HoldReason, RevisionState


class Scope(StrEnum):
    """What an API key may be allowed to do."""

    DETECT = "detect"
    STUDIES_READ = "studies:read"
    STUDIES_RETRY = "studies:retry"
    RESULTS_READ = "results:read"
    MODELS_READ = "models:read"
    AUDIT_READ = "audit:read"


@dataclass(frozen=True)
class Principal:
    """Whose key it is."""

    name: str
    """As given when the key was made; names an integration or a person, so it is not logged."""
    key_prefix: str
    """The public part of the key, by which logs and `apikey list` name it."""
    scopes: frozenset[Scope]


# --- audit -------------------------------------------------------------------------------------


class EventKind(Enum):
    """The audit events of this package: event code and action. Source: PS3.15 A.5.3."""

    AUDIT_LOG_USED = ("110101", "R")
    INSTANCES_ACCESSED = ("110103", "R")
    IMPORT = ("110107", "C")
    PROCEDURE_RECORD = ("110111", "U")
    QUERY = ("110112", "E")
    SECURITY_ALERT = ("110113", "E")
    USER_AUTHENTICATION = ("110114", "E")

    @property
    def code(self) -> str:
        """The event's code in DCM."""
        return self.value[0]

    @property
    def action(self) -> str:
        """C, R, U, D or E."""
        return self.value[1]


class EventOutcome(IntEnum):
    """How it ended. Source: PS3.15 A.5.1, EventOutcomeIndicator."""

    SUCCESS = 0
    MINOR_FAILURE = 4
    """Refused or not found; nothing to mend here."""
    SERIOUS_FAILURE = 8
    """Something that should work did not."""
    MAJOR_FAILURE = 12
    """We are no longer available."""


@dataclass(frozen=True)
class RequestOrigin:
    """Which request it was and where it came from."""

    request_id: str
    """Ours; also in the answer and in the log."""
    client_request_id: str
    """What the client sent as X-Request-Id, cut to 64 characters; only for the sealed record."""
    method: str
    route: str
    """The template of the path, never the path: a UID is identity."""
    address: str


@dataclass(frozen=True)
class AccessEvent:
    """One access or refusal, to be made durable before it is answered."""

    kind: EventKind
    outcome: EventOutcome
    origin: RequestOrigin
    principal: Principal | None
    """None where nobody was recognised."""
    studies: tuple[StudyIdentity, ...] = ()
    """Whose data went out or came in."""
    query: str = ""
    """What was asked for, as a query string; empty where nothing was searched or looked up."""
    reason: str = ""
    """Why it was refused or failed, in one sentence without patient data."""


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
    """None takes the model's own threshold."""
    timeout_s: float


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


# --- audit search ------------------------------------------------------------------------------


@dataclass(frozen=True)
class AuditQuery:
    """Which records; oldest first, from `at_from` to before `at_to`."""

    at_from: datetime
    at_to: datetime
    event: str | None = None
    """An event's code, e.g. 110103."""
    user: str | None = None
    """The user of a record, exactly."""
    outcome: EventOutcome | None = None
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True)
class AuditParticipant:
    """Who took part. Source: PS3.15 A.5.1, ActiveParticipant."""

    user_id: str
    role: str
    is_requestor: bool
    network_access_point: str = ""


@dataclass(frozen=True)
class AuditObject:
    """What it was about. Source: PS3.15 A.5.1, ParticipantObjectIdentification."""

    id_type: str
    id: str
    name: str = ""


@dataclass(frozen=True)
class AuditRecord:
    """One record of the audit log."""

    event_id: str
    position: int | None
    """In the log; None while it waits in the outbox."""
    at: datetime
    event: Code
    action: str
    outcome: int
    participants: tuple[AuditParticipant, ...]
    objects: tuple[AuditObject, ...]
    type_code: Code | None = None
    """Which of its kind, for events that have kinds. Source: PS3.16 CID 401, 403."""
    description: str = ""
    """How it ended, in words."""
    details: tuple[tuple[str, str], ...] = ()
    """More facts, each by name."""


@dataclass(frozen=True)
class AuditPage:
    """One page of a search."""

    records: tuple[AuditRecord, ...]
    next_cursor: str | None


# --- health ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PartHealth:
    """Whether one part can do its work."""

    name: str
    is_ready: bool
    reason: str
    """Why not, or in what shape it is; one sentence without patient data."""
    remedy: str = ""
