"""What the api needs from above; `service/wiring/api.py` hands it in.

Every method blocks and is called in a worker thread, several at once. A method raises leaves of
`core.errors` and nothing else; their families become the HTTP status.
"""

from dataclasses import dataclass
from typing import Protocol

from api.events import AccessEvent, AuditPage, AuditQuery, Principal
from api.views import (
    DetectionAnswer,
    DetectionRequest,
    ModelCard,
    PartHealth,
    PeerRoll,
    RefusedCaller,
    StudyDetail,
    StudyPage,
    StudyQuery,
    StudyResults,
    StudySummary,
)


class Authenticator(Protocol):
    """Knows the API keys."""

    def authenticate(self, api_key: str, *, address: str) -> Principal:
        """Return whose key it is; AccessError if it is unknown, expired or revoked.

        A revoked key must be refused within a second. The text of the error is shown to nobody but
        the auditor, so that an unknown key and a revoked one sound alike outside.
        """


class AuditSink(Protocol):
    """Makes access records durable."""

    def record(self, event: AccessEvent) -> None:
        """Return only when `event` survives a power cut; UnavailableError if it cannot."""


class Detector(Protocol):
    """Reads one picture or instance across the identity border, and keeps nothing."""

    def detect(self, request: DetectionRequest) -> DetectionAnswer:
        """De-identify, read, answer.

        Raises
        ------
        InputError
            If the content cannot be decoded or the model is not one for it.
        NotFoundError
            If no model of that name is loaded.
        UnavailableError
            If the reader is away, busy beyond `request.timeout_s`, or failed.
        """


class StudyDirectory(Protocol):
    """Where every study is on its way."""

    def find(self, query: StudyQuery) -> StudyPage:
        """Return one page; InputError if the cursor is not one of ours."""

    def study(self, study_instance_uid: str) -> StudyDetail:
        """Return the study; NotFoundError if we have none of that UID."""

    def retry(self, study_instance_uid: str, event: AccessEvent) -> StudySummary:
        """Schedule the newest revision again, and `event` with it in the same transaction.

        `event` comes without studies, because only the directory knows whose the study is. A
        refusal is recorded by the caller.

        Raises
        ------
        NotFoundError
            If we have no study of that UID.
        IllegalMoveError
            If its newest revision is not in a state from which it can be scheduled.
        """


class ResultDirectory(Protocol):
    """What was found, under the identity of the sealed originals."""

    def results(self, study_instance_uid: str) -> StudyResults:
        """Return the results of the newest revision that has any, else no readings.

        NotFoundError if we have no study of that UID. The api itself refuses what is held.
        """


class ModelDirectory(Protocol):
    """Which models are loaded."""

    def models(self) -> tuple[ModelCard, ...]:
        """Return all of them, those that are not ready included."""


class PeerDirectory(Protocol):
    """Who may connect over DICOM, and who was refused."""

    def peers(self) -> PeerRoll:
        """Return every peer of config.yaml."""

    def refused(self) -> tuple[RefusedCaller, ...]:
        """Return everybody who was refused, newest first; at most a thousand."""


class AuditReader(Protocol):
    """Searches the audit log."""

    def search(self, query: AuditQuery) -> AuditPage:
        """Return one page; InputError if the cursor is not one of ours."""


class HealthReporter(Protocol):
    """Knows whether every part can do its work."""

    def report(self) -> tuple[PartHealth, ...]:
        """Look at every part; a part that cannot be looked at is not ready."""


@dataclass(frozen=True)
class Ports:
    """Everything the api needs from above, in one hand."""

    authenticator: Authenticator
    audit_sink: AuditSink
    detector: Detector
    studies: StudyDirectory
    results: ResultDirectory
    models: ModelDirectory
    peers: PeerDirectory
    audit: AuditReader
    health: HealthReporter
