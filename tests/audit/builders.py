"""Events, keys and logs for the tests of this package; nothing in them is of a real person."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import triggers
from audit.checkpoint import Checkpoint, Signer, load_checkpoints
from audit.events import AuditEvent, SopClass, Stamp
from audit.keeper import AuditKeeper
from audit.parties import Search, StudyContent, application, medium, person, remote_ae, subject
from audit.records import RecordSealer, SealedRecord
from audit.settings import AuditSettings
from audit.vocabulary import Action, Activity, Alert, Decision, Media
from core.model import Instance, PatientIdentity, RemoteAE, StudyIdentity
from tests.support.builders import endoscopic_image

NOON = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
SIGNING_KEY = b"s" * 32
SEALER = RecordSealer(b"k" * 32)
PUBLIC_KEY = Ed25519PrivateKey.from_private_bytes(SIGNING_KEY).public_key()
OTHER_KEY = b"o" * 32

PEER = remote_ae(RemoteAE("mod1", "MOD1", "SECOND", "10.0.0.1"))
OURS = application("second-reader", ae_titles=("SECOND",))
ADA = person("ada@hospital", name="Ada Auditor", address="10.0.0.9")
PATIENT = PatientIdentity("PID-0001", "HOSPITAL-A", "Example^Ada", "19700102", "F")
STUDY = StudyContent(
    StudyIdentity(PATIENT, "1.2.3.4", "ACC-1", "20260301", "101500", "S1"),
    (SopClass("1.2.840.10008.5.1.4.1.1.77.1.1", 3),),
)
INSTANCE = Instance.parse(endoscopic_image(), transfer_syntax_uid="1.2.840.10008.1.2.1")


def event_id(number: int) -> str:
    return str(uuid.UUID(int=number))


def stamp(number: int = 1, at: datetime = NOON) -> Stamp:
    return Stamp(event_id(number), at)


EVENTS: dict[str, Callable[[Stamp], AuditEvent]] = {
    "application start": lambda s: triggers.application_started(s, OURS, launchers=(ADA,)),
    "application stop": lambda s: triggers.application_stopped(s, OURS),
    "log used": lambda s: triggers.log_used(s, (ADA, OURS), log_uri="file:audit"),
    "begin": lambda s: triggers.transfer_began(s, OURS, PEER, (STUDY,)),
    "accessed": lambda s: triggers.instances_accessed(s, (ADA,), (STUDY,)),
    "transferred": lambda s: triggers.instances_transferred(s, PEER, OURS, (STUDY,)),
    "deleted": lambda s: triggers.study_deleted(s, (ADA,), (STUDY,)),
    "export": lambda s: triggers.data_export(
        s, (ADA,), medium("results.zip", Media.URI), receivers=(PEER,), studies=(STUDY,)
    ),
    "import": lambda s: triggers.data_import(
        s, (ADA,), medium("upload", Media.URI), studies=(STUDY,)
    ),
    "import of nobody": lambda s: triggers.data_import(s, (ADA,), medium("upload", Media.URI)),
    "attach": lambda s: triggers.network_entry(s, OURS, is_attached=True),
    "detach": lambda s: triggers.network_entry(s, OURS, is_attached=False),
    "order": lambda s: triggers.order_record(s, (ADA,), PATIENT, action=Action.READ),
    "patient": lambda s: triggers.patient_record(s, (ADA,), PATIENT, action=Action.CREATE),
    "procedure": lambda s: triggers.procedure_record(s, (ADA,), (STUDY,), action=Action.UPDATE),
    "query": lambda s: triggers.query(
        s, PEER, OURS, Search(b"\x08\0\x52\0", "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.1.2")
    ),
    "search": lambda s: triggers.query(s, ADA, OURS, Search(b"?limit=1", "GET /v1/studies")),
    "alert": lambda s: triggers.security_alert(
        s,
        Alert.NODE_AUTHENTICATION,
        "unknown AE title",
        reporters=(OURS,),
        performers=(PEER,),
        subjects=(subject("10.0.0.1", "called from an unknown address", is_node=True),),
    ),
    "login": lambda s: triggers.user_authentication(s, ADA, activity=Activity.LOGIN, node=OURS),
    "logout": lambda s: triggers.user_authentication(s, ADA, activity=Activity.LOGOUT),
    "verification": lambda s: triggers.verified(s, PEER, OURS),
    "custody": lambda s: triggers.custody_taken(s, PEER, OURS, INSTANCE),
    "decision": lambda s: triggers.pipeline_decided(
        s, Decision.COMPLETENESS_CLOSED, (OURS,), STUDY, rule="quiet time"
    ),
}
"""One of each, by name."""


def records(numbers: Sequence[int] | range) -> list[SealedRecord]:
    """Return one sealed record for each number; the number is in its event id."""
    return [SEALER.seal(EVENTS["accessed"](stamp(number + 1))) for number in numbers]


@dataclass
class FakeClock:
    """Goes on by a second with every look at it."""

    now: datetime = NOON
    step: timedelta = timedelta(seconds=1)

    def __call__(self) -> datetime:
        self.now += self.step
        return self.now


@dataclass
class Installation:
    """A log in a folder, and a checkpoint file outside it."""

    root: Path
    entries_per_segment: int = 16
    checkpoint_every_events: int = 8
    clock: FakeClock = field(default_factory=FakeClock)

    @property
    def folder(self) -> Path:
        return self.root / "audit"

    @property
    def outside(self) -> Path:
        return self.root / "elsewhere" / "checkpoints"

    def keeper(self, key: bytes = SIGNING_KEY) -> AuditKeeper:
        self.outside.parent.mkdir(exist_ok=True)
        settings = AuditSettings(
            source_id="site-a",
            entries_per_segment=self.entries_per_segment,
            checkpoint_every_events=self.checkpoint_every_events,
            checkpoint_files=(self.outside,),
        )
        return AuditKeeper(self.folder, settings, signing_key=key, clock=self.clock)

    def fill(self, size: int) -> "Installation":
        """Append until the log has so many records, in batches of four."""
        with self.keeper() as keeper:
            for start in range(keeper.size, size, 4):
                keeper.append(records(range(start, min(start + 4, size))))
        return self

    def kept_outside(self) -> list[Checkpoint]:
        return load_checkpoints(self.outside, PUBLIC_KEY)

    def segments(self) -> Iterator[Path]:
        return iter(sorted(self.folder.glob("*.log")))


def signer(key: bytes = SIGNING_KEY) -> Signer:
    return Signer.of("site-a", key)
