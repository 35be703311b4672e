"""What an object that arrived is to us: new, known, a correction, or a conflict."""

import logging
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from archive.archive import Archive
from archive.arrivals import Arrival
from archive.database import Transaction
from archive.entries import Added, KnownInstance, NewInstance, Standing
from archive.journey import JourneyEntry
from archive.studies import plain_modality
from audit.vocabulary import Decision
from core.errors import CorruptionError, ForgottenError
from core.model import Instance, InstanceKey, RemoteAE, RevisionKey, StudyIdentity, StudyKey
from core.part10 import data_set_of
from core.states import HoldReason, RevisionState
from service.sameness import Sameness, compare

log = logging.getLogger(__name__)

MAX_COMPARED_BYTES = 256 * 1024 * 1024
"""Longer objects are not compared element by element, for they would have to be held whole; they
count as different unless their bytes are equal."""


class SealedEvent(Protocol):
    """An audit record for the outbox."""

    @property
    def event_id(self) -> str:
        """Its id, in the open."""

    @property
    def sealed(self) -> bytes:
        """The rest of it."""


class AuditTrail(Protocol):
    """What custody needs of the audit trail (`service.trail.Trail`)."""

    def custody_id(self, instance_key: InstanceKey, received_at: datetime) -> str:
        """Return the id of the record which says that a stored instance is ours."""

    def custody(
        self, peer: RemoteAE, instance: Instance, *, event_id: str | None = None
    ) -> SealedEvent:
        """Say that an instance is ours to keep; under an id of its own if it has no row."""

    def decided(
        self, decision: Decision, revision: RevisionKey, identity: StudyIdentity, *, rule: str
    ) -> SealedEvent:
        """Say what a rule decided about a study."""


class Verdict(StrEnum):
    """What an object is to us."""

    NEW = "new"
    DUPLICATE = "duplicate"
    """We have it: the same bytes, or the same elements in another encoding."""
    RESTORED = "restored"
    """The same bytes as what we have a row of, but can read no more: they take its place."""
    CORRECTION = "correction"
    """Only attributes of patient or order differ from what we have."""
    CONFLICT = "conflict"
    """Other content under a SOP Instance UID that we have."""


@dataclass(frozen=True)
class _Judgement:
    verdict: Verdict
    known: KnownInstance | None = None
    """What it duplicates, corrects, or is in conflict with."""


class Receptionist:
    """Enters one durable object in the archive."""

    def __init__(
        self, archive: Archive, trail: AuditTrail, new: NewInstance, custody: SealedEvent
    ) -> None:
        self._archive = archive
        self._trail = trail
        self._new = new
        self._custody = custody
        """The audit record of the row that it may be given."""
        self._study_key = archive.index.study_key(new.instance.identity.study_instance_uid)
        self._sameness: dict[InstanceKey, Sameness | None] = {}
        self._to_compare: list[KnownInstance] = []
        self._is_intact: bool | None = None
        """Whether the stored object of the same bytes can be read; None until `compare` tried."""

    def enter(self, tx: Transaction) -> Verdict | None:
        """Write all that belongs to the object, and return what it is to us.

        Returns None, and has written nothing, if `compare` must be called first.
        """
        self._archive.studies.lock(tx, self._new.instance)
        known = self._archive.studies.known(tx, self._new.instance.sop_instance_uid)
        judgement = self._judge(known)
        if judgement is None:
            return None
        if judgement.verdict in {Verdict.DUPLICATE, Verdict.RESTORED} and judgement.known:
            self._count(tx, judgement.known.study_key, stored=0)
            if judgement.verdict is Verdict.RESTORED:
                self._archive.studies.restore(tx, judgement.known.instance_key, self._new)
            # The row has the record of the arrival that made it.
            custody = self._trail.custody(self._new.peer, self._new.instance)
        else:
            self._add(tx, judgement)
            custody = self._custody
        self._archive.outbox.add(tx, custody.event_id, custody.sealed, at=self._new.received_at)
        return judgement.verdict

    def compare(self) -> None:
        """Compare the object with those that `enter` could not judge it against.

        Raises
        ------
        CorruptionError, ForgottenError
            If what we know of the same object cannot be opened: then we could not keep this one
            either.
        """
        for known in self._to_compare:
            if known.content_digest == self._new.content_digest:
                self._is_intact = self._can_be_read(known)
            else:
                self._sameness[known.instance_key] = self._compare(known)
        self._to_compare = []

    def _judge(self, known: tuple[KnownInstance, ...]) -> _Judgement | None:
        for one in known:
            if one.content_digest == self._new.content_digest:
                return self._judge_same_bytes(one)
        self._to_compare = [one for one in known if one.instance_key not in self._sameness]
        if self._to_compare:
            return None
        return self._judge_content([one for one in known if self._relation(one) is not None])

    def _judge_same_bytes(self, known: KnownInstance) -> _Judgement | None:
        if self._is_intact is None:
            self._to_compare = [known]
            return None
        return _Judgement(Verdict.DUPLICATE if self._is_intact else Verdict.RESTORED, known)

    def _judge_content(self, readable: list[KnownInstance]) -> _Judgement:
        for one in readable:
            if self._relation(one) is Sameness.EQUAL:
                return _Judgement(Verdict.DUPLICATE, one)
        for one in readable:
            if one.standing is Standing.CURRENT and self._relation(one) is Sameness.CORRECTED:
                return _Judgement(Verdict.CORRECTION, one)
        return _Judgement(Verdict.CONFLICT, readable[-1]) if readable else _Judgement(Verdict.NEW)

    def _relation(self, known: KnownInstance) -> Sameness | None:
        return self._sameness[known.instance_key]

    def _add(self, tx: Transaction, judgement: _Judgement) -> None:
        verdict, known = judgement.verdict, judgement.known
        standing = Standing.CONFLICTING if verdict is Verdict.CONFLICT else Standing.CURRENT
        added = self._archive.studies.add(tx, self._new, standing=standing)
        self._count(tx, self._study_key, stored=1)
        if added.opened_revision:
            self._note(tx, added.revision, "received", "begun", f"from {self._new.peer.name}")
        if verdict is Verdict.CORRECTION and known is not None:
            self._archive.studies.supersede(tx, known.instance_key)
            if self._archive.studies.settle_identity(tx, self._study_key, self._new):
                self._note(tx, added.revision, "identity", "corrected", "")
        for reason in self._hold_reasons(added, verdict):
            self._hold(tx, self._study_key, reason)
        if known is not None and known.study_key != self._study_key:
            self._hold(tx, known.study_key, HoldReason.CONFLICT)

    def _hold_reasons(self, added: Added, verdict: Verdict) -> list[HoldReason]:
        reasons: list[HoldReason] = []
        if verdict is Verdict.CONFLICT:
            reasons.append(HoldReason.CONFLICT)
        elif verdict is Verdict.CORRECTION:
            reasons.append(HoldReason.CORRECTION)
        elif added.differs:
            reasons.append(HoldReason.MIXED_IDENTITY)
        if not self._new.instance.identity.patient.patient_id:
            reasons.append(HoldReason.MISSING_PATIENT_ID)
        return reasons

    def _hold(self, tx: Transaction, study_key: StudyKey, reason: HoldReason) -> None:
        """Let nothing of the study leave; said once, however many instances give the reason."""
        archive, at = self._archive, self._new.received_at
        newest = archive.revisions.newest(tx, study_key)
        running = [
            record
            for record in archive.revisions.of(tx, study_key)
            if record.state in {RevisionState.SCHEDULED, RevisionState.IN_PROGRESS}
        ]
        changed = [
            key
            for key in dict.fromkeys([newest.key, *(record.key for record in running)])
            if archive.revisions.hold(tx, key, reason, at=at)
        ]
        withdrawn = archive.deliveries.withdraw(
            tx, study_key, at=at, reason=f"the study is held: {reason}"
        )
        if not changed and not withdrawn:
            return
        for key in changed or [newest.key]:
            self._note(tx, key, "received", "held", reason.value)
        identity = archive.catalogue.study(tx, study_key).identity
        decided = self._trail.decided(Decision.HELD, newest.key, identity, rule=reason.value)
        archive.outbox.add(tx, decided.event_id, decided.sealed, at=at)

    def _note(
        self, tx: Transaction, key: RevisionKey, step: str, outcome: str, reason: str
    ) -> None:
        entry = JourneyEntry(self._new.received_at, key.number, step, outcome, reason)
        self._archive.journey.note(tx, key, entry)

    def _count(self, tx: Transaction, study_key: StudyKey, *, stored: int) -> None:
        new = self._new
        brought = Arrival(
            association_id=new.association_id,
            study_key=study_key,
            modality=plain_modality(new.instance.modality),
            peer=new.peer,
            stored=stored,
            duplicates=1 - stored,
            first_at=new.received_at,
            last_at=new.received_at,
        )
        self._archive.arrivals.count(tx, brought)

    def _can_be_read(self, known: KnownInstance) -> bool:
        """Whether a stored object is whole; its sender may let go of it once we say so."""
        with self._archive.snapshot() as tx:
            self._archive.catalogue.instance(tx, known.instance_key)
        try:
            for _ in self._archive.open_object(known.study_key, known.blob_name):
                pass
        except CorruptionError as error:
            log.error("instance %s is restored: %s", known.instance_key, error)  # noqa: TRY400
            return False
        return True

    def _compare(self, known: KnownInstance) -> Sameness | None:
        """Return how the object relates to a known one; None if that was forgotten."""
        if max(known.size_bytes, self._new.size_bytes) > MAX_COMPARED_BYTES:
            return Sameness.OTHER
        try:
            old = self._archive.read_object(known.study_key, known.blob_name)
        except ForgottenError:
            return None
        except CorruptionError:
            # What just came is kept beside it: a person must look at both.
            log.exception("object %s cannot be compared", known.instance_key)
            return Sameness.OTHER
        new = self._archive.read_object(self._study_key, self._new.blob_name)
        return compare(
            bytes(data_set_of(new)),
            self._new.instance.transfer_syntax_uid,
            bytes(data_set_of(old)),
            known.transfer_syntax_uid,
        )
