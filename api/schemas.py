"""The shapes on the wire: what may be asked, and what is answered. Nothing else gets out."""

from datetime import datetime
from typing import Annotated

from fastapi import Path
from pydantic import AliasPath, AwareDatetime, BaseModel, ConfigDict, Field

from api.events import EventOutcome
from core.findings import Conclusion
from core.states import DeliveryState, HoldReason, RevisionState

UID_PATTERN = r"^[0-9][0-9.]{0,63}$"
CURSOR_PATTERN = r"^[A-Za-z0-9_.~=-]{1,512}$"
MAX_PAGE = 200
NOTICE = "For research and second reading; not for diagnosis."

Pixels = tuple[float, float, float, float]
Point = tuple[float, float]


class Asked(BaseModel):
    """What a client sends; a field that is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Wire(BaseModel):
    """What a client gets, read off a view."""

    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True)


# --- asked -------------------------------------------------------------------------------------

ModelName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
Cursor = Annotated[str | None, Field(pattern=CURSOR_PATTERN)]
StudyUid = Annotated[
    str,
    Path(pattern=UID_PATTERN, description="Study Instance UID.", examples=["2.25.99999999"]),
]
PageSize = Annotated[int, Field(ge=1, le=MAX_PAGE)]


class NoParameters(Asked):
    """The query of a route that takes none, so that a key in the address is refused."""


class DetectOptions(Asked):
    """What may be said about a detection besides the picture."""

    model: ModelName | None = Field(None, description="By default the one configured for it.")
    confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = Field(
        None, description="Lowest score of a detection; by default the model's own threshold."
    )


class DetectBody(DetectOptions):
    """The body of a detection as JSON: exactly one of `image` and `dicom`, in base64."""

    image: str | None = Field(None, description="A JPEG or PNG file, base64.")
    dicom: str | None = Field(None, description="A DICOM Part 10 file, base64.")


class StudyFilter(Asked):
    """Which studies."""

    state: list[RevisionState] = Field([], max_length=len(RevisionState))
    modality: str | None = Field(None, pattern=r"^[A-Z]{1,16}$")
    received_from: AwareDatetime | None = None
    received_to: AwareDatetime | None = Field(None, description="Exclusive.")
    limit: PageSize = 50
    cursor: Cursor = Field(None, description="`next_cursor` of the page before.")


class AuditFilter(Asked):
    """Which audit records; the span of time is mandatory."""

    at_from: AwareDatetime = Field(alias="from")
    at_to: AwareDatetime = Field(alias="to", description="Exclusive.")
    event: str | None = Field(
        None, pattern=r"^([0-9]{6}|SR-[0-9]{3})$", description="Event code, e.g. 110103."
    )
    user: str | None = Field(None, min_length=1, max_length=128)
    outcome: EventOutcome | None = None
    limit: PageSize = 50
    cursor: Cursor = Field(None, description="`next_cursor` of the page before.")


# --- answered ----------------------------------------------------------------------------------


class Concept(Wire):
    """A coded concept."""

    value: str
    scheme: str
    meaning: str


class ModelReference(Wire):
    """Which model spoke."""

    name: str
    version: str
    digest: str = Field(description="SHA-256 of the model package, hex.")


class Place(Wire):
    """Where a finding is, in pixels: x right, y down, origin top left, x2 and y2 exclusive."""

    bbox: Pixels | None = Field(description="[x1, y1, x2, y2]; null if the model names no place.")
    outline: tuple[Point, ...] | None = Field(description="[x, y] points, where it is no box.")


class Detection(Place):
    """One thing that the model sees."""

    confidence: float = Field(description="The model's score, 0 to 1; not a probability.")
    label: str = Field(alias="class", description="The model's own name of it.")
    frame: int = Field(description="1 for the first.")


class Picture(Wire):
    """What was read."""

    rows: int
    columns: int
    number_of_frames: int


class DetectAnswer(Wire):
    """What the model says about the picture as it was sent."""

    detections: tuple[Detection, ...]
    processed_at: datetime
    model_version: str
    model: ModelReference
    threshold: float = Field(description="Nothing below this score is listed.")
    conclusion: Conclusion
    image: Picture
    request_id: str
    notice: str = NOTICE


class StudyItem(Wire):
    """Where one study is on its way."""

    study_instance_uid: str = Field(validation_alias=AliasPath("identity", "study_instance_uid"))
    accession_number: str = Field(validation_alias=AliasPath("identity", "accession_number"))
    patient_id: str = Field(validation_alias=AliasPath("identity", "patient", "patient_id"))
    issuer_of_patient_id: str = Field(
        validation_alias=AliasPath("identity", "patient", "issuer_of_patient_id")
    )
    study_key: str = Field(description="Our own name of it, as in logs.")
    state: RevisionState
    revision: int
    hold_reason: HoldReason | None
    modalities: tuple[str, ...]
    number_of_instances: int
    received_at: datetime
    updated_at: datetime


class StudyList(Wire):
    """One page of studies, newest first."""

    studies: tuple[StudyItem, ...]
    next_cursor: str | None


class Completeness(Wire):
    """By which rule the newest revision is, or will be, complete."""

    rule: str
    is_complete: bool
    decided_at: datetime | None
    time_left_s: float | None


class JourneyEntry(Wire):
    """One thing that happened to the study."""

    at: datetime
    revision: int
    event: str
    reason: str


class Delivery(Wire):
    """Where one result object is on its way to one destination."""

    destination: str
    kind: str
    sop_instance_uid: str
    state: DeliveryState
    attempts: int
    outcome: str
    updated_at: datetime
    next_attempt_at: datetime | None


class StudyAnswer(StudyItem):
    """Everything we know about the way of one study."""

    completeness: Completeness
    journey: tuple[JourneyEntry, ...]
    deliveries: tuple[Delivery, ...]


class Measurement(Wire):
    """One number about a finding."""

    concept: Concept
    value: float
    unit: str = Field(description="UCUM.", validation_alias=AliasPath("unit", "value"))


class Finding(Place):
    """One claim of one model about one frame of an original instance."""

    tracking_uid: str
    label: str
    concept: Concept
    score: float
    probability: float | None
    series_instance_uid: str
    sop_instance_uid: str
    frame: int
    measurements: tuple[Measurement, ...]


class ReadingAnswer(Wire):
    """What one model says."""

    model: ModelReference
    threshold: float
    labels: tuple[str, ...] = Field(description="Everything that it can find.")
    conclusion: Conclusion
    statement: str = Field(description="The conclusion as a sentence.")
    number_evaluated: int
    number_failed: int
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]


class ResultObject(Wire):
    """One DICOM object that was made."""

    kind: str
    sop_class_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    created_at: datetime


class ResultsAnswer(Wire):
    """The results of one revision, under the patient's own identity."""

    study_instance_uid: str
    accession_number: str
    patient_id: str
    issuer_of_patient_id: str
    revision: int
    newest_revision: int = Field(description="If greater, later instances are not through yet.")
    state: RevisionState = Field(description="Of the newest revision.")
    completeness_rule: str
    number_of_instances: int
    readings: tuple[ReadingAnswer, ...]
    objects: tuple[ResultObject, ...]
    notice: str = NOTICE


class ModelItem(Wire):
    """One model package that is loaded."""

    name: str
    version: str
    digest: str
    task: str
    labels: tuple[str, ...]
    threshold: float
    accepts: tuple[str, ...]
    intended_use: str
    training_data: str
    performance: dict[str, float]
    is_ready: bool
    reason: str


class ModelList(Wire):
    """All models."""

    models: tuple[ModelItem, ...]


class AuditParticipant(Wire):
    """Who took part."""

    user_id: str
    user_name: str
    role: str
    is_requestor: bool
    network_access_point: str


class AuditObject(Wire):
    """What it was about."""

    id_type: str
    id: str
    name: str


class AuditItem(Wire):
    """One record of the audit log."""

    event_id: str
    position: int | None = Field(description="In the log; null while it waits to be appended.")
    at: datetime
    event: Concept
    action: str
    outcome: int
    participants: tuple[AuditParticipant, ...]
    objects: tuple[AuditObject, ...]
    type_code: Concept | None
    description: str
    details: tuple[tuple[str, str], ...]


class AuditList(Wire):
    """One page of audit records, oldest first."""

    records: tuple[AuditItem, ...]
    next_cursor: str | None


class Liveness(Wire):
    """The process answers."""

    status: str = "alive"


class PartHealth(Wire):
    """Whether one part can do its work."""

    name: str
    is_ready: bool
    reason: str
    remedy: str


class Readiness(Wire):
    """Whether every part can do its work."""

    status: str = Field(description="`ready` or `not ready`.")
    parts: tuple[PartHealth, ...]


class Problem(Wire):
    """What went wrong, and what to do about it. Source: RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    remedy: str = ""
    request_id: str
