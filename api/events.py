"""Who asks, and what the audit log keeps of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum, StrEnum

from core.codes import Code
from core.model import StudyIdentity


class Scope(StrEnum):
    """What an API key may be allowed to do."""

    DETECT = "detect"
    STUDIES_READ = "studies:read"
    STUDIES_RETRY = "studies:retry"
    RESULTS_READ = "results:read"
    MODELS_READ = "models:read"
    PEERS_READ = "peers:read"
    AUDIT_READ = "audit:read"


@dataclass(frozen=True)
class Principal:
    """Whose key it is."""

    name: str
    """As given when the key was made; names an integration or a person, so it is not logged."""
    key_prefix: str
    """The public part of the key, by which logs and `apikey list` name it."""
    scopes: frozenset[Scope]


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
    user_name: str = ""


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
