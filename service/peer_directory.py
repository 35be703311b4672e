"""Who may connect and who was refused, for REST and for the command line alike."""

import logging
from dataclasses import dataclass, field
from threading import Lock

from api.views import PeerCard, PeerRoll, RefusedCaller
from archive.archive import Archive
from archive.callers import RefusedCaller as StoredCaller
from archive.callers import Sighting
from core.errors import ServiceError
from dicom_node.settings import NodeSettings, PeerSettings
from service.peers import what_allows
from service.settings import Installation, load_settings

log = logging.getLogger(__name__)


@dataclass
class Peers:
    """Reads config.yaml anew for each answer; the api's `PeerDirectory`."""

    archive: Archive
    installation: Installation
    """The last one that was right."""
    _lock: Lock = field(default_factory=Lock, repr=False)

    def peers(self) -> PeerRoll:
        """Return every peer; those of the last config.yaml that was right."""
        is_current = self._is_read()
        with self.archive.snapshot() as tx:
            seen = self.archive.callers.sightings(tx)
        node = self.installation.settings.dicom_node
        cards = tuple(card(peer, node, seen.get(peer.name)) for peer in node.peers)
        return PeerRoll(cards, is_current)

    def refused(self) -> tuple[RefusedCaller, ...]:
        """Return everybody who was refused, newest first."""
        with self.archive.snapshot() as tx:
            return tuple(caller(one) for one in self.archive.callers.all_refused(tx))

    def _is_read(self) -> bool:
        with self._lock:
            try:
                self.installation = load_settings(self.installation.config_file)
            except ServiceError as error:
                log.warning("config.yaml is wrong, so the peers of before are told: %s", error)
                return False
            return True


def card(peer: PeerSettings, node: NodeSettings, seen: Sighting | None) -> PeerCard:
    """Return what is told of a peer."""
    return PeerCard(
        name=peer.name,
        ae_title=peer.ae_title,
        called_ae_title=node.called_ae_title_of(peer),
        addresses=tuple(map(str, peer.addresses)),
        certificates=tuple(peer.certificates),
        issuer_of_patient_id=peer.issuer_of_patient_id,
        allow=tuple(sorted(right.value for right in peer.allow)),
        priority=peer.priority.value,
        last_seen_at=seen.at if seen else None,
        last_seen_address=seen.caller.address if seen else None,
    )


def caller(one: StoredCaller) -> RefusedCaller:
    """Return what is told of somebody who was refused."""
    return RefusedCaller(
        id=one.caller_id,
        address=one.caller.address,
        calling_ae_title=one.caller.calling_ae_title,
        called_ae_title=one.caller.called_ae_title,
        certificate_sha256=one.caller.certificate_sha256 or None,
        certificate_subject=one.certificate_subject or None,
        first_at=one.first_at,
        last_at=one.last_at,
        count=one.count,
        reason=one.reason,
        what_allows=what_allows(one),
    )
