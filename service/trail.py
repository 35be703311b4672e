"""The audit trail of this process: events by their triggers, sealed for the outbox.

Whatever touches patient data says so here, in one line; the outbox record goes
into the transaction of what it records.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import starmap

from archive.archive import Archive
from archive.database import Transaction
from archive.index import ResultKey
from archive.results import ResultObject
from audit import triggers
from audit.events import AuditEvent, Participant, SopClass, Stamp, Stamper, repeatable_id
from audit.parties import (
    NOBODY,
    StudyContent,
    application,
    count_sop_classes,
    person,
    remote_ae,
    subject,
)
from audit.records import RecordSealer, SealedRecord
from audit.vocabulary import Action, Alert, Decision, Outcome
from core.clock import Clock
from core.errors import CorruptionError, ForgottenError
from core.model import Instance, InstanceKey, RemoteAE, RevisionKey, StudyIdentity, StudyKey
from service.custody_records import CustodyRecords

log = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

UNKNOWN_STUDY = StudyIdentity(NOBODY, "", "", "", "", "")
"""The study of an object that could not be read."""


@dataclass(frozen=True)
class Transfer:
    """How an association ended, as far as one study is concerned."""

    how: str
    """`released`, `aborted` or `lost`."""
    duplicates: int

    @property
    def is_whole(self) -> bool:
        """Whether the peer said that it was done."""
        return self.how == "released"


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
        """Our process as a participant."""
        return application(f"{self.source_id}/{self.role}", ae_titles=(self.ae_title,))

    def seal(self, event: AuditEvent) -> SealedRecord:
        """Seal an event for the outbox."""
        return self.sealer.seal(event)

    def stamp(self, *parts: str) -> Stamp:
        """Return a stamp; with `parts`, that of an action that may run twice."""
        if not parts:
            return Stamper(self.clock)()
        return Stamp(repeatable_id(self.key, *parts), self.clock())

    def custody_id(self, instance_key: InstanceKey, received_at: datetime) -> str:
        """Return the id of the record which says that a stored instance is ours.

        It is `repeatable_id(key, "custody", instance key, microseconds)`: the instance's row has
        its `instance_key`, and `received_at` as whole microseconds since 1970, which neither a
        correction nor a restored file changes. So a verifier can ask for every row whether its
        record is in the outbox or in the log. The moment keeps apart two rows of one key, should
        an instance be deleted and come again.

        An arrival that brought what we had (a duplicate, or the bytes that restore a damaged file)
        has no row of its own; its record has a random id.
        """
        return self._id_of("custody", instance_key, received_at)

    def made_id(self, result_key: ResultKey, created_at: datetime) -> str:
        """Return the id of the record which says that a result object was made; as `custody_id`."""
        return self._id_of("made", result_key, created_at)

    def sent_id(self, revision: RevisionKey, destination: str, at: datetime) -> str:
        """Return the id of the record of an attempt to deliver that ended at a moment.

        The row of each object that arrived has that moment as its last change.
        """
        return self._id_of("sent", f"{revision} {destination}", at)

    def beginning_id(self, at: datetime) -> str:
        """Return the id of the record of an operator's decision to let the log begin anew.

        Without our key nobody can give a record of another kind, or moment, for that.
        """
        return self._id_of("begun anew", "", at)

    def _id_of(self, what: str, name: str, at: datetime) -> str:
        microseconds = (at - _EPOCH) // timedelta(microseconds=1)
        return repeatable_id(self.key, what, name, str(microseconds))

    def custody(
        self, peer: RemoteAE, instance: Instance, *, event_id: str | None = None
    ) -> SealedRecord:
        """Say that an instance is ours to keep; `event_id` is its `custody_id` if it is new."""
        stamp = self.stamp() if event_id is None else Stamp(event_id, self.clock())
        return self._custody_records.seal(peer, instance, stamp)

    @cached_property
    def _custody_records(self) -> CustodyRecords:
        return CustodyRecords(self.sealer, self.ours)

    def received(
        self,
        peer: RemoteAE,
        association_id: str,
        identity: StudyIdentity,
        number_of: Mapping[str, int],
        ending: Transfer,
    ) -> SealedRecord:
        """Say what one association brought of one study (110104), once for each number of objects.

        `number_of` counts instances by SOP class. An association that was taken for lost may go on,
        and bring more.
        """
        instances = sum(number_of.values())
        brought = f"{instances} {ending.duplicates}"
        content = StudyContent(identity, tuple(starmap(SopClass, sorted(number_of.items()))))
        event = triggers.instances_transferred(
            self.stamp("transferred", association_id, identity.study_instance_uid, brought),
            remote_ae(peer),
            self.ours,
            (content,),
        ).noting(Ending=ending.how, NumberOfInstances=instances, Duplicates=ending.duplicates)
        if not ending.is_whole:
            event = event.ended(Outcome.MINOR_FAILURE, f"the association was {ending.how}")
        return self.seal(event)

    def not_received(self, peer: RemoteAE, sop_class_uid: str, reason: str) -> SealedRecord:
        """Say that an object was not stored, and why."""
        content = StudyContent(UNKNOWN_STUDY)
        event = triggers.instances_transferred(self.stamp(), remote_ae(peer), self.ours, (content,))
        failed = event.ended(Outcome.SERIOUS_FAILURE, reason)
        return self.seal(failed.noting(SOPClassUID=sop_class_uid))

    def verified(self, peer: RemoteAE) -> SealedRecord:
        """Say that a peer asked whether we are here (C-ECHO)."""
        return self.seal(triggers.verified(self.stamp(), remote_ae(peer), self.ours))

    def refused(self, calling: str, called: str, address: str, reason: str) -> SealedRecord:
        """Say that somebody was not let in (110113, node authentication)."""
        node = application(calling, ae_titles=(calling,) if calling else (), address=address)
        event = triggers.security_alert(
            self.stamp(),
            Alert.NODE_AUTHENTICATION,
            reason,
            reporters=(self.ours,),
            performers=(node,),
            subjects=(subject(address, reason, is_node=True),),
        )
        refusal = event.ended(Outcome.MINOR_FAILURE, reason)
        return self.seal(refusal.noting(CalledAETitle=called))

    def alert(self, alert: Alert, text: str) -> SealedRecord:
        """Say what a security officer wants to see (110113)."""
        return self.seal(
            triggers.security_alert(
                self.stamp(),
                alert,
                text,
                reporters=(self.ours,),
                subjects=(subject(self.source_id, text, is_node=True),),
            )
        )

    def listening(self, *, is_attached: bool) -> SealedRecord:
        """Say that the listener went up or down (110108)."""
        return self.seal(triggers.network_entry(self.stamp(), self.ours, is_attached=is_attached))

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
        return self.seal(event.noting(Purpose=what, Revision=revision.number))

    def made(self, event_id: str, made: Instance) -> SealedRecord:
        """Say that a result object was made, and is kept (110103)."""
        content = StudyContent(made.identity, count_sop_classes([made]))
        event = triggers.instances_accessed(
            Stamp(event_id, self.clock()), (self.ours,), (content,), action=Action.CREATE
        )
        return self.seal(event.noting(Purpose="encode"))

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
        return self.seal(event.noting(Revision=revision.number))

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
        event_id: str,
        identity: StudyIdentity,
        instances: Sequence[Instance],
        *,
        failed: int,
    ) -> SealedRecord:
        """Say what became of a transfer out (110104)."""
        content = StudyContent(identity, count_sop_classes(instances))
        event = triggers.instances_transferred(
            Stamp(event_id, self.clock()),
            self.ours,
            remote_ae(destination, is_requestor=False),
            (content,),
        ).noting(NumberOfInstances=len(instances), Failed=failed)
        if failed:
            event = event.ended(Outcome.MINOR_FAILURE, f"{failed} objects were not stored")
        return self.seal(event)

    def broke_off(
        self, destination: RemoteAE, event_id: str, identity: StudyIdentity, *, objects: int
    ) -> SealedRecord:
        """Say that a transfer out ended, and that nobody knows what of it arrived (110104)."""
        event = triggers.instances_transferred(
            Stamp(event_id, self.clock()),
            self.ours,
            remote_ae(destination, is_requestor=False),
            (StudyContent(identity),),
        ).noting(NumberOfInstances=0, Unknown=objects)
        return self.seal(event.ended(Outcome.SERIOUS_FAILURE, "the attempt broke off"))

    def process(self, *, started: bool) -> SealedRecord:
        """Say that this process started or stopped (110100)."""
        make = triggers.application_started if started else triggers.application_stopped
        return self.seal(make(self.stamp(), self.ours))


def as_instance(made: ResultObject, like: Instance) -> Instance:
    """Return a result object as audit records name it: in the study of `like`."""
    return replace(
        like,
        sop_class_uid=made.sop_class_uid,
        sop_instance_uid=made.sop_instance_uid,
        series_instance_uid=made.series_instance_uid,
        transfer_syntax_uid=made.transfer_syntax_uid,
    )


def identity_of(archive: Archive, tx: Transaction, study_key: StudyKey) -> StudyIdentity:
    """Return whose study it is; nobody's if that cannot be opened any more.

    A study whose key is lost must still be able to end, and must hold up no other.
    """
    try:
        return archive.catalogue.study(tx, study_key).identity
    except (CorruptionError, ForgottenError) as error:
        log.error("study %s: its identity cannot be opened: %s", study_key, error)  # noqa: TRY400
        return UNKNOWN_STUDY
