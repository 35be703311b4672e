"""Small honest implementations of the api's ports, and a client that needs no network."""

import asyncio
import io
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from fastapi import FastAPI
from PIL import Image
from prometheus_client import CollectorRegistry

from api.app import create_app
from api.errors import UnknownStudyError
from api.events import (
    AccessEvent,
    AuditObject,
    AuditPage,
    AuditParticipant,
    AuditQuery,
    AuditRecord,
    EventOutcome,
    Principal,
    Scope,
)
from api.ports import Ports
from api.settings import ApiSettings
from api.views import (
    Completeness,
    Delivery,
    DetectionAnswer,
    DetectionRequest,
    JourneyEntry,
    Medium,
    ModelCard,
    PartHealth,
    PeerCard,
    PeerRoll,
    RefusedCaller,
    ResultFinding,
    ResultObject,
    ResultReading,
    StudyDetail,
    StudyPage,
    StudyQuery,
    StudyResults,
    StudySummary,
)
from core.codes import POLYP, Code
from core.errors import AccessError, InputError, NotFoundError, UnavailableError
from core.findings import (
    Algorithm,
    Box,
    Conclusion,
    Evaluation,
    Finding,
    FrameReference,
    Outcome,
    Reading,
)
from core.model import InstanceKey, PatientIdentity, StudyIdentity, StudyKey
from core.states import REVISION_MOVES, DeliveryState, HoldReason, RevisionState, check_move

NOON = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
ADDRESS = "127.0.0.1"
STUDY_UID, HELD_UID, FRESH_UID = "2.25.99999999", "2.25.4", "2.25.5"
KEYS = {
    "all-scopes-0123456789": Principal("emr", "all", frozenset(Scope)),
    "no-scopes-01234567890": Principal("poor", "none", frozenset()),
}
KEY = "all-scopes-0123456789"
POOR_KEY = "no-scopes-01234567890"

ALGORITHM = Algorithm(
    name="polyp",
    version="1.0.0",
    manufacturer="Second Reader",
    digest="9f" * 32,
    parameters=(),
    threshold=0.25,
    labels=("polyp",),
    concept=POLYP,
)
BOX = Box(104.0, 88.5, 190.25, 171.0)


def identity(uid: str) -> StudyIdentity:
    return StudyIdentity(
        PatientIdentity("P-7", "HOSPITAL", "Example^Ada", "19700102", "F"),
        study_instance_uid=uid,
        accession_number="A-1001",
        study_date="20261120",
        study_time="1030",
        study_id="1",
    )


@dataclass
class FakeAuthenticator:
    keys: dict[str, Principal] = field(default_factory=lambda: dict(KEYS))

    def authenticate(self, api_key: str, *, address: str) -> Principal:
        if api_key not in self.keys:
            raise AccessError("the key is unknown or revoked")
        return self.keys[api_key]


@dataclass
class FakeSink:
    events: list[AccessEvent] = field(default_factory=list)
    is_broken: bool = False

    def record(self, event: AccessEvent) -> None:
        if self.is_broken:
            raise UnavailableError("the disk of the audit log is full")
        self.events.append(event)


def whole(request: DetectionRequest) -> DetectionAnswer:
    """Decode the picture for its size and claim one polyp in it."""
    if request.model not in {None, "polyp"}:
        raise NotFoundError("no model of that name is loaded")
    rows = columns = 32
    if request.medium is Medium.PICTURE:
        try:
            columns, rows = Image.open(io.BytesIO(request.content)).size
        except OSError:
            raise InputError("the picture cannot be decoded") from None
    threshold = ALGORITHM.threshold if request.confidence is None else request.confidence
    key = InstanceKey("one-off")
    finding = Finding(POLYP, "polyp", 0.89, None, FrameReference(key, 1), BOX)
    reading = Reading(
        replace(ALGORITHM, threshold=threshold),
        (finding,) if threshold <= 0.89 else (),
        (Evaluation(key, Outcome.EVALUATED, frames=1),),
    )
    owner = identity("2.25.77") if request.medium is Medium.DICOM else None
    return DetectionAnswer(reading, NOON, rows, columns, 1, owner)


@dataclass
class FakeDetector:
    detector: Callable[[DetectionRequest], DetectionAnswer] = whole
    requests: list[DetectionRequest] = field(default_factory=list)

    def detect(self, request: DetectionRequest) -> DetectionAnswer:
        self.requests.append(request)
        return self.detector(request)


def detail(uid: str, state: RevisionState, hold_reason: HoldReason | None = None) -> StudyDetail:
    return StudyDetail(
        identity=identity(uid),
        study_key=StudyKey(f"st-{uid[-4:]}"),
        state=state,
        revision=1,
        hold_reason=hold_reason,
        modalities=("ES",),
        number_of_instances=3,
        received_at=NOON,
        updated_at=NOON + timedelta(seconds=20),
        completeness=Completeness(
            "quiet for 180 s (ES)",
            is_complete=state is not RevisionState.OPEN,
            decided_at=None if state is RevisionState.OPEN else NOON,
            time_left_s=12.5 if state is RevisionState.OPEN else None,
        ),
        journey=(JourneyEntry(NOON, 1, "received"),),
        deliveries=(
            Delivery(
                "pacs", "SR", "2.25.11", DeliveryState.COMPLETED, 1, "0000 from PACS", NOON, None
            ),
        ),
    )


@dataclass
class FakeStudies:
    sink: FakeSink
    studies: dict[str, StudyDetail] = field(
        default_factory=lambda: {
            STUDY_UID: detail(STUDY_UID, RevisionState.COMPLETED),
            HELD_UID: detail(HELD_UID, RevisionState.HELD, HoldReason.CONFLICT),
            FRESH_UID: detail(FRESH_UID, RevisionState.OPEN),
        }
    )

    def find(self, query: StudyQuery) -> StudyPage:
        start = 0
        if query.cursor is not None:
            if not query.cursor.isdigit():
                raise InputError("the cursor is not one of ours")
            start = int(query.cursor)
        found = [s for s in self.studies.values() if not query.states or s.state in query.states]
        page = found[start : start + query.limit]
        end = start + len(page)
        names = [field.name for field in fields(StudySummary)]
        summaries = tuple(StudySummary(**{n: getattr(s, n) for n in names}) for s in page)
        return StudyPage(summaries, str(end) if end < len(found) else None)

    def study(self, study_instance_uid: str) -> StudyDetail:
        if study_instance_uid not in self.studies:
            raise UnknownStudyError("we have no study of that UID")
        return self.studies[study_instance_uid]

    def retry(self, study_instance_uid: str, event: AccessEvent) -> StudySummary:
        study = self.study(study_instance_uid)
        state = check_move(REVISION_MOVES, study.state, RevisionState.SCHEDULED)
        self.sink.record(replace(event, studies=(study.identity,)))
        self.studies[study_instance_uid] = replace(study, state=state, hold_reason=None)
        return self.studies[study_instance_uid]


@dataclass
class FakeResults:
    studies: FakeStudies

    def results(self, study_instance_uid: str) -> StudyResults:
        study = self.studies.study(study_instance_uid)
        finding = ResultFinding("2.25.31", "polyp", POLYP, 0.89, None, "2.25.21", "2.25.22", 1, BOX)
        reading = ResultReading(ALGORITHM, Conclusion.FINDINGS, 2, 1, (finding,), ("no pixels",))
        has_result = study.state is not RevisionState.OPEN
        return StudyResults(
            identity=study.identity,
            revision=study.revision,
            newest_revision=study.revision,
            state=study.state,
            hold_reason=study.hold_reason,
            number_of_instances=study.number_of_instances,
            completeness_rule=study.completeness.rule,
            readings=(reading,) if has_result else (),
            objects=(ResultObject("SR", "1.2", "2.25.10", "2.25.11", NOON),) if has_result else (),
        )


@dataclass
class FakeModels:
    def models(self) -> tuple[ModelCard, ...]:
        return (
            ModelCard(
                name="polyp",
                version="1.0.0",
                digest="9f" * 32,
                task="detection",
                labels=("polyp",),
                threshold=0.25,
                accepts=("modality ES",),
                intended_use="Research; not for diagnosis.",
                training_data="800 colonoscopy frames",
                performance=(("mAP50", 0.8),),
                is_ready=True,
            ),
        )


@dataclass
class FakePeers:
    def peers(self) -> PeerRoll:
        return PeerRoll(
            (
                PeerCard(
                    name="ct1",
                    ae_title="CT1",
                    called_ae_title="SECOND_READER",
                    addresses=("192.0.2.7/32",),
                    certificates=(),
                    issuer_of_patient_id="",
                    allow=("echo", "store"),
                    priority="routine",
                    last_seen_at=None,
                    last_seen_address=None,
                ),
            ),
            is_current=True,
        )

    def refused(self) -> tuple[RefusedCaller, ...]:
        return (
            RefusedCaller(
                id="k3v7q2ab",
                address="192.0.2.9",
                calling_ae_title="CT2",
                called_ae_title="SECOND_READER",
                certificate_sha256=None,
                certificate_subject=None,
                first_at=NOON,
                last_at=NOON,
                count=3,
                reason="unknown calling AE title",
                what_allows="second-reader peer allow k3v7q2ab --name NAME",
            ),
        )


@dataclass
class FakeAudit:
    queries: list[AuditQuery] = field(default_factory=list)

    def search(self, query: AuditQuery) -> AuditPage:
        self.queries.append(query)
        record = AuditRecord(
            event_id="7d44",
            position=12,
            at=NOON,
            event=Code("110103", "DCM", "DICOM Instances Accessed"),
            action="R",
            outcome=EventOutcome.SUCCESS,
            participants=(AuditParticipant("emr", "requestor", is_requestor=True),),
            objects=(AuditObject("110180", STUDY_UID, "Study"),),
        )
        return AuditPage((record,), None)


@dataclass
class FakeHealth:
    parts: tuple[PartHealth, ...] = (PartHealth("reader", True, "1 model loaded"),)
    looks: int = 0

    def report(self) -> tuple[PartHealth, ...]:
        self.looks += 1
        return self.parts


class House:
    """An application over fakes, which a test may bend."""

    def __init__(self, **settings: Any) -> None:
        self.authenticator = FakeAuthenticator()
        self.sink = FakeSink()
        self.detector = FakeDetector()
        self.studies = FakeStudies(self.sink)
        self.results = FakeResults(self.studies)
        self.models = FakeModels()
        self.peers = FakePeers()
        self.audit = FakeAudit()
        self.health = FakeHealth()
        self.registry = CollectorRegistry()
        self.settings = ApiSettings(**settings)
        self.app: FastAPI = create_app(self.ports(), self.settings, self.registry)

    def ports(self) -> Ports:
        return Ports(
            authenticator=self.authenticator,
            audit_sink=self.sink,
            detector=self.detector,
            studies=self.studies,
            results=self.results,
            models=self.models,
            peers=self.peers,
            audit=self.audit,
            health=self.health,
        )

    def call(self, method: str, path: str, *, key: str | None = KEY, **rest: Any) -> httpx.Response:
        """Send one request and return its answer; `key=None` sends none."""
        headers = dict(rest.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=(ADDRESS, 5000))
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                return await client.request(method, path, headers=headers, **rest)

        return asyncio.run(send())

    def detect(self, **rest: Any) -> httpx.Response:
        """Send one detection."""
        return self.call("POST", "/v1/detect", **rest)


class Gate:
    """Holds a detector until the test lets it go."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.is_open = threading.Event()

    def __call__(self, request: DetectionRequest) -> DetectionAnswer:
        self.entered.release()
        self.is_open.wait(10)
        return whole(request)


def jpeg(size: int = 352) -> bytes:
    """Return a grey JPEG."""
    out = io.BytesIO()
    Image.new("RGB", (size, size), (90, 60, 50)).save(out, "JPEG")
    return out.getvalue()
