"""The audit trail of this process: events by their triggers, sealed for the outbox.

Everything in the service that touches patient data says so here, in one line; the outbox record goes
into the transaction of what it records.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from audit import triggers
from audit.events import AuditEvent, Participant, Stamp, Stamper, repeatable_id
from audit.parties import StudyContent, application, count_sop_classes, person, remote_ae
from audit.records import RecordSealer, SealedRecord
from audit.vocabulary import Action, Decision, Outcome
from core.clock import Clock
from core.model import Instance, RemoteAE, RevisionKey, StudyIdentity


@dataclass(frozen=True)
class Trail:
    """Seals what one role of this installation does."""

    role: str
    """`dicom`, `api`, `worker`, or `cli` for an operator at the keyboard."""
    source_id: str
    ae_title: str
    clock: Clock
    sealer: RecordSealer
    key: bytes = field(repr=False)
    """Makes the ids of events that may happen twice."""

    @property
    def ours(self) -> Participant:
        """This process as a participant."""
        return application(f"{self.source_id}/{self.role}", ae_titles=(self.ae_title,))

    def seal(self, event: AuditEvent) -> SealedRecord:
        """Seal an event for the outbox."""
        return self.sealer.seal(event)

    def stamp(self, *parts: str) -> Stamp:
        """Return a stamp; with `parts`, that of an action that may run twice."""
        if not parts:
            return Stamper(self.clock)()
        return Stamp(repeatable_id(self.key, *parts), self.clock())

    def custody(self, peer: RemoteAE, instance: Instance) -> SealedRecord:
        """Say that an instance is ours to keep."""
        return self.seal(triggers.custody_taken(self.stamp(), remote_ae(peer), self.ours, instance))

    def received(
        self,
        peer: RemoteAE,
        association_id: str,
        identity: StudyIdentity,
        instances: Sequence[Instance],
        *,
        ending: str,
        is_whole: bool,
    ) -> SealedRecord:
        """Say what one association brought of one study (110104), once for each."""
        content = StudyContent(identity, count_sop_classes(instances))
        event = triggers.instances_transferred(
            self.stamp("transferred", association_id, identity.study_instance_uid),
            remote_ae(peer),
            self.ours,
            (content,),
        ).noting(Ending=ending, NumberOfInstances=str(len(instances)))
        if not is_whole:
            event = event.ended(Outcome.MINOR_FAILURE, f"the association ended {ending}")
        return self.seal(event)

    def accessed(
        self,
        what: str,
        revision: RevisionKey,
        identity: StudyIdentity,
        instances: Iterable[Instance],
        *,
        made: bool = False,
    ) -> SealedRecord:
        """Say that a step read, or made, instances of a study (110103)."""
        content = StudyContent(identity, count_sop_classes(instances))
        event = triggers.instances_accessed(
            self.stamp(what, str(revision), str(self.clock().timestamp())),
            (self.ours,),
            (content,),
            action=Action.CREATE if made else Action.READ,
        )
        return self.seal(event.noting(Purpose=what, Revision=str(revision.number)))

    def decided(
        self,
        decision: Decision,
        revision: RevisionKey,
        identity: StudyIdentity,
        *,
        rule: str,
        user: str | None = None,
    ) -> SealedRecord:
        """Say what a rule or a person decided about a study."""
        who = (self.ours,) if user is None else (person(user),)
        event = triggers.pipeline_decided(
            self.stamp(), decision, who, StudyContent(identity), rule=rule
        )
        return self.seal(event.noting(Revision=str(revision.number)))

    def sending(
        self,
        destination: RemoteAE,
        attempt: str,
        identity: StudyIdentity,
        instances: Sequence[Instance],
    ) -> SealedRecord:
        """Say that results are about to be sent (110102)."""
        content = StudyContent(identity, count_sop_classes(instances))
        return self.seal(
            triggers.transfer_began(
                self.stamp("sending", attempt),
                self.ours,
                remote_ae(destination, is_requestor=False),
                (content,),
            )
        )

    def sent(
        self,
        destination: RemoteAE,
        attempt: str,
        identity: StudyIdentity,
        instances: Sequence[Instance],
        *,
        failed: int,
    ) -> SealedRecord:
        """Say what became of a transfer out (110104)."""
        content = StudyContent(identity, count_sop_classes(instances))
        event = triggers.instances_transferred(
            self.stamp("sent", attempt),
            self.ours,
            remote_ae(destination, is_requestor=False),
            (content,),
        ).noting(NumberOfInstances=str(len(instances)), Failed=str(failed))
        if failed:
            event = event.ended(Outcome.MINOR_FAILURE, f"{failed} objects were not stored")
        return self.seal(event)

    def process(self, *, started: bool) -> SealedRecord:
        """Say that this process started or stopped (110100)."""
        make = triggers.application_started if started else triggers.application_stopped
        return self.seal(make(self.stamp(), self.ours))
