"""Bring result objects to their destinations: the same bytes at every attempt, until it worked."""

import logging
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from archive.archive import Archive
from archive.database import Transaction
from archive.deliveries import AttemptOutcome, DeliveryRecord
from archive.entries import StudyRecord
from archive.journey import JourneyEntry
from archive.results import ResultObject
from audit.records import SealedRecord
from audit.vocabulary import Alert
from core.clock import Clock
from core.errors import InputError
from core.model import Instance, RemoteAE, RevisionKey
from core.states import DeliveryState
from dicom_node.association import Destination
from dicom_node.errors import TlsError
from dicom_node.part10 import OutgoingObject, from_part10
from dicom_node.store_scu import SendOutcome, SendState, send
from service.settings import DeliverySettings, DestinationSettings
from service.trail import Trail, as_instance, identity_of

log = logging.getLogger(__name__)

_JITTER = 0.2
"""So much of a wait is drawn at random, so that many studies do not come back at once."""


_DUPLICATE_SOP_INSTANCE = 0x0111
"""The destination has it: of our own UIDs that is what an attempt left whose end was never noted.

Source: PS3.7 C.4.2.
"""


class WithdrawnError(InputError):
    """An object must not leave any more."""


@dataclass(frozen=True)
class _Parcel:
    """One delivery with the object it is about."""

    record: DeliveryRecord
    made: ResultObject


@dataclass(frozen=True)
class Delivery:
    """Makes attempts. What became of each object is in its row before the next is planned."""

    archive: Archive
    settings: DeliverySettings
    ae_title: str
    trail: Trail
    clock: Clock

    def attempt(self, revision: RevisionKey, destination: str) -> datetime | None:
        """Send what is due to one destination; return when the next attempt is, if there is one."""
        study, parcels, instances = self._due(revision, destination)
        if not parcels:
            return None
        settings = self._destination(destination)
        if settings is None:
            self._cancel(parcels, "the destination is no longer configured")
            return None
        if study.newest.hold_reason is not None:  # every destination finds that out by itself
            self._cancel(parcels, f"the study is held: {study.newest.hold_reason}")
            return None
        like = instances[0]
        about = [as_instance(parcel.made, like) for parcel in parcels]
        # Every attempt is a transfer of its own; their count starts anew for a revived dead letter.
        attempt = f"{revision} {destination} {self.clock().isoformat()}"
        peer = RemoteAE(destination, settings.called_ae_title, self.ae_title, settings.host)
        self._begin(parcels, self.trail.sending(peer, attempt, study.identity, about))
        outcomes = send([self._outgoing(parcel) for parcel in parcels], self._peer(settings))
        return self._settle(parcels, outcomes, peer, study, about)

    def broke_off(self, revision: RevisionKey, destination: str) -> datetime | None:
        """Plan the next attempt after one that ended without a word of what became of it."""
        archive, now = self.archive, self.clock()
        with archive.transaction() as tx:
            records = archive.deliveries.due(tx, revision, destination)
            if not records:
                return None
            self._tell_end(tx, records, now)
            attempts = max(record.attempts for record in records)
            again = now + timedelta(seconds=self._wait_s(attempts + 1))
            ended = [self._after_break(record, again) for record in records]
            for record, one in zip(records, ended, strict=True):
                archive.deliveries.put_off(tx, record, one, at=now)
            archive.journey.note(tx, revision, _entry(now, revision, destination, ended))
        log.error("an attempt to deliver %s to %s broke off", revision, destination)
        return again if any(one.next_attempt_at is not None for one in ended) else None

    def _tell_end(self, tx: Transaction, records: Sequence[DeliveryRecord], now: datetime) -> None:
        """Record the end of a transfer whose beginning was recorded."""
        begun = [record for record in records if record.state is DeliveryState.IN_PROGRESS]
        if not begun:
            return
        revision, destination = begun[0].revision, begun[0].destination
        settings = self._destination(destination)
        title, host = (settings.called_ae_title, settings.host) if settings else ("", "")
        event = self.trail.broke_off(
            RemoteAE(destination, title, self.ae_title, host),
            self.trail.sent_id(revision, destination, now),
            identity_of(self.archive, tx, revision.study_key),
            objects=len(begun),
        )
        self.archive.outbox.add(tx, event.event_id, event.sealed, at=now)

    def _after_break(self, record: DeliveryRecord, again: datetime) -> AttemptOutcome:
        text = "the attempt broke off; the log of the worker says why"
        begun = record.attempts + (record.state is DeliveryState.SCHEDULED)
        if begun < self.settings.attempts:
            return AttemptOutcome(DeliveryState.SCHEDULED, text, next_attempt_at=again)
        return AttemptOutcome(DeliveryState.FAILED, text)

    def _due(
        self, revision: RevisionKey, destination: str
    ) -> tuple[StudyRecord, list[_Parcel], list[Instance]]:
        archive = self.archive
        with archive.snapshot() as tx:
            study = archive.catalogue.study(tx, revision.study_key)
            instances = [one.instance for one in archive.catalogue.instances(tx, revision)]
            parcels = [
                _Parcel(record, archive.results.object(tx, record.result_key))
                for record in archive.deliveries.due(tx, revision, destination)
            ]
        # The report first: a workstation that shows only the first series shows that.
        parcels.sort(key=lambda parcel: (parcel.made.kind != "SR", parcel.made.ordinal))
        return study, parcels, instances

    def _begin(self, parcels: Sequence[_Parcel], event: SealedRecord) -> None:
        archive, now = self.archive, self.clock()
        with archive.transaction() as tx:
            for parcel in parcels:
                archive.deliveries.begin(
                    tx, parcel.record.result_key, parcel.record.destination, at=now
                )
            archive.outbox.add(tx, event.event_id, event.sealed, at=now)

    def _settle(
        self,
        parcels: Sequence[_Parcel],
        outcomes: Sequence[SendOutcome],
        peer: RemoteAE,
        study: StudyRecord,
        about: Sequence[Instance],
    ) -> datetime | None:
        archive, now = self.archive, self.clock()
        again = now + timedelta(seconds=self._wait_s(parcels[0].record.attempts + 1))
        ended = [
            self._ended(parcel.record, outcome, again)
            for parcel, outcome in zip(parcels, outcomes, strict=True)
        ]
        arrived = [
            instance
            for instance, one in zip(about, ended, strict=True)
            if one.state is DeliveryState.COMPLETED
        ]
        failed = len(ended) - len(arrived)
        revision = parcels[0].record.revision
        event_id = self.trail.sent_id(revision, parcels[0].record.destination, now)
        event = self.trail.sent(peer, event_id, study.identity, arrived, failed=failed)
        said = [event, *self._alerts(outcomes)]
        with archive.transaction() as tx:
            for parcel, one in zip(parcels, ended, strict=True):
                record = parcel.record
                archive.deliveries.settle(tx, record.result_key, record.destination, one, at=now)
            for sealed in said:
                archive.outbox.add(tx, sealed.event_id, sealed.sealed, at=now)
            archive.journey.note(tx, revision, _entry(now, revision, peer.name, ended))
        is_due = any(one.state is DeliveryState.SCHEDULED for one in ended)
        return again if is_due else None

    def _alerts(self, outcomes: Sequence[SendOutcome]) -> list[SealedRecord]:
        """Say (110126) that the destination did not prove who it is, or would not take us."""
        texts = {one.text: None for one in outcomes if isinstance(one.error, TlsError)}
        return [self.trail.alert(Alert.NODE_AUTHENTICATION, text) for text in texts]

    def _ended(
        self, record: DeliveryRecord, outcome: SendOutcome, again: datetime
    ) -> AttemptOutcome:
        if outcome.state is not SendState.FAILED or outcome.status == _DUPLICATE_SOP_INSTANCE:
            receipt = f"C-STORE 0x{outcome.status or 0:04X}"
            return AttemptOutcome(DeliveryState.COMPLETED, outcome.text, receipt)
        if outcome.is_worth_retrying and record.attempts + 1 < self.settings.attempts:
            return AttemptOutcome(DeliveryState.SCHEDULED, outcome.text, next_attempt_at=again)
        return AttemptOutcome(DeliveryState.FAILED, outcome.text)

    def _cancel(self, parcels: Sequence[_Parcel], reason: str) -> None:
        archive, now = self.archive, self.clock()
        revision = parcels[0].record.revision
        with archive.transaction() as tx:
            destination = parcels[0].record.destination
            archive.deliveries.withdraw_from(tx, revision, destination, at=now, reason=reason)
            archive.journey.note(
                tx, revision, JourneyEntry(now, revision.number, "deliver", "canceled", reason)
            )

    def _outgoing(self, parcel: _Parcel) -> OutgoingObject:
        made = parcel.made
        return OutgoingObject(
            made.sop_class_uid,
            made.sop_instance_uid,
            made.transfer_syntax_uid,
            lambda: self._opened(parcel),
        )

    def _opened(self, parcel: _Parcel) -> Iterable[bytes]:
        """Open an object, at the last moment, unless it was withdrawn since the attempt began."""
        archive, record, made = self.archive, parcel.record, parcel.made
        with archive.snapshot() as tx:
            now = archive.deliveries.get(tx, record.result_key, record.destination)
        if now.state is not DeliveryState.IN_PROGRESS:
            raise WithdrawnError("it was withdrawn before it left")
        study_key = record.revision.study_key
        return from_part10(lambda: archive.open_object(study_key, made.blob_name)).read()

    def _destination(self, name: str) -> DestinationSettings | None:
        return next((one for one in self.settings.destinations if one.name == name), None)

    def _peer(self, settings: DestinationSettings) -> Destination:
        return Destination(
            settings.name,
            settings.host,
            settings.port,
            settings.called_ae_title,
            settings.calling_ae_title or self.ae_title,
            timeout_s=self.settings.timeout_s,
            tls=settings.tls,
        )

    def _wait_s(self, attempt: int) -> float:
        settings = self.settings
        grown = settings.first_delay_s * settings.growth ** min(attempt - 1, 64)
        spread = 1 + _JITTER * (random.random() - 0.5)  # noqa: S311 - no secret
        return min(grown, settings.longest_delay_s) * spread


def _entry(
    now: datetime, revision: RevisionKey, destination: str, ended: Sequence[AttemptOutcome]
) -> JourneyEntry:
    done = sum(one.state is DeliveryState.COMPLETED for one in ended)
    outcome = "done" if done == len(ended) else "failed"
    texts = {one.outcome: None for one in ended if one.state is not DeliveryState.COMPLETED}
    reason = f"{done} of {len(ended)} objects to {destination}"
    if texts:
        reason += f": {'; '.join(texts)}"
    return JourneyEntry(now, revision.number, "deliver", outcome, reason)
