"""What associations brought, for the audit log: told at their end, or after a crash."""

import logging
from dataclasses import dataclass
from datetime import datetime

from archive.accounting import Accounting, NotStored
from archive.archive import Archive
from archive.callers import CallerName, Refusals, Sighting
from archive.database import Transaction
from audit.vocabulary import Alert
from core.clock import Clock
from core.errors import AccessError, CorruptionError, ForgottenError, InputError, ServiceError
from core.model import RemoteAE
from dicom_node.entrance.gate import parse_address
from dicom_node.ports import AssociationOrigin, Ending, IncomingObject, Refusal
from service.completeness import OpenAssociations
from service.peers import NOT_LISTED
from service.trail import Trail, Transfer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Transfers:
    """Derives "instances transferred" (110104) from the custody of each instance."""

    archive: Archive
    trail: Trail
    clock: Clock

    def report(self, tx: Transaction, association_id: str, how: str) -> None:
        """Record what an association brought of each study; to repeat it changes nothing."""
        archive, now = self.archive, self.clock()
        arrivals = archive.arrivals.of_association(tx, association_id)
        stored = archive.catalogue.brought(tx, association_id)
        for study_key in dict.fromkeys(arrival.study_key for arrival in arrivals):
            brought = [arrival for arrival in arrivals if arrival.study_key == study_key]
            transfer = Transfer(how, sum(arrival.duplicates for arrival in brought))
            record = self.trail.received(
                brought[0].peer,
                association_id,
                archive.catalogue.study(tx, study_key).identity,
                stored.get(study_key, {}),
                transfer,
            )
            archive.outbox.add(tx, record.event_id, record.sealed, at=now)
        archive.arrivals.mark_reported(tx, association_id, at=now)

    def report_lost(self, associations: OpenAssociations) -> int:
        """Record the transfers of associations whose process died; return how many."""
        with self.archive.snapshot() as tx:
            lost = associations.lost(tx, self.clock())
        for association_id in lost:
            try:
                with self.archive.transaction() as tx:
                    self.report(tx, association_id, Ending.LOST.value)
            except (CorruptionError, ForgottenError) as error:
                self._give_up(association_id, error)
        return len(lost)

    def _give_up(self, association_id: str, error: ServiceError) -> None:
        """Say in the audit log, once, that the transfer of an association cannot be told."""
        text = f"the transfer of association {association_id} cannot be told: {error.message}"
        log.error("%s", text)
        record = self.trail.alert(Alert.SECURITY_CONFIGURATION, text)
        with self.archive.transaction() as tx:
            self.archive.outbox.add(tx, record.event_id, record.sealed, at=self.clock())
            self.archive.arrivals.mark_reported(tx, association_id, at=self.clock())


@dataclass(frozen=True)
class NodeWatch:
    """The node's observer: leases for completeness, records for the auditor."""

    archive: Archive
    trail: Trail
    associations: OpenAssociations
    transfers: Transfers
    clock: Clock

    def opened(self, origin: AssociationOrigin) -> None:
        """Note that an association is open; completeness waits for it."""
        with self.archive.transaction() as tx:
            self.associations.opened(tx, origin.association_id, self.clock())
            self.archive.callers.seen(tx, [sighting(origin.peer, self.clock())])

    def alive(self, origin: AssociationOrigin) -> None:
        """Note that an association still lives."""
        self.opened(origin)

    def closed(self, origin: AssociationOrigin, how: Ending, stored: int, failed: int) -> None:  # noqa: ARG002 - failures have records of their own
        """Note that an association ended, and record what it brought."""
        with self.archive.transaction() as tx:
            self.associations.closed(tx, origin.association_id)
            self.transfers.report(tx, origin.association_id, how.value)

    def refused(self, refusal: Refusal) -> None:
        """Record that somebody was not let in, and list him for an administrator to allow."""
        record = self.trail.refused(
            refusal.calling_ae_title,
            refusal.called_ae_title,
            refusal.address or "several addresses",
            f"{refusal.reason.value}{refusal.how_often}. {refusal.remedy}",
        )
        now = self.clock()
        with self.archive.transaction() as tx:
            self.archive.outbox.add(tx, record.event_id, record.sealed, at=now)
            if refusal.address and refusal.reason not in NOT_LISTED:
                self.archive.callers.refused(tx, [refusals(refusal, now)])

    def echoed(self, origin: AssociationOrigin) -> None:
        """Record a verification."""
        record = self.trail.verified(origin.peer)
        with self.archive.transaction() as tx:
            self.archive.outbox.add(tx, record.event_id, record.sealed, at=self.clock())

    def failed_store(
        self, origin: AssociationOrigin, incoming: IncomingObject, error: ServiceError
    ) -> None:
        """Record that an object was not stored."""
        record = self.trail.not_received(origin.peer, incoming.sop_class_uid, error.message)
        is_refused = isinstance(error, InputError | AccessError)
        with self.archive.transaction() as tx:
            Accounting().not_stored(tx, NotStored.REFUSED if is_refused else NotStored.FAILED)
            self.archive.outbox.add(tx, record.event_id, record.sealed, at=self.clock())


def sighting(peer: RemoteAE, at: datetime) -> Sighting:
    """Return that a peer was let in."""
    return Sighting(
        peer.name, at, CallerName(_address(peer.address), peer.ae_title, peer.called_ae_title)
    )


def refusals(refusal: Refusal, now: datetime) -> Refusals:
    """Return what the list of callers keeps of a refusal, or of several of one caller."""
    caller = CallerName(
        _address(refusal.address),
        refusal.calling_ae_title,
        refusal.called_ae_title,
        refusal.certificate_fingerprint,
    )
    at, names = refusal.last_at or now, refusal.certificate_names
    return Refusals(caller, names, refusal.reason.value, refusal.remedy, at, at, refusal.times)


def _address(address: str) -> str:
    """Return an address as an entry of a peer names it."""
    return str(parse_address(address))
