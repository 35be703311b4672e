"""One connection that somebody opened to us, from the question who he is to the last word."""

import logging
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from pynetdicom.acse import ACSE
from pynetdicom.ae import ApplicationEntity
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation

from core.errors import ServiceError
from core.model import RemoteAE
from dicom_node.certificates import CertificateIdentity
from dicom_node.entrance.gate import Caller, readable
from dicom_node.entrance.visitor import Doorkeeper, Visitor
from dicom_node.errors import DoorError
from dicom_node.faults import log_fault
from dicom_node.pace import Pace
from dicom_node.ports import (
    AssociationOrigin,
    Ending,
    InstanceSink,
    NodeObserver,
    Refusal,
    RefusalReason,
)
from dicom_node.presentation import negotiable, right_needed
from dicom_node.secure.handshake import HandshakeError
from dicom_node.secure.secure_socket import SecureSocket
from dicom_node.secure.tls import ListeningContext
from dicom_node.secure.tls_faults import untrusted
from dicom_node.settings import NodeSettings, PeerSettings, Right
from dicom_node.status import PROCESSING_FAILURE, SUCCESS
from dicom_node.store_scp import StoreSession
from dicom_node.wire.prompt_socket import PromptSocket
from dicom_node.wire.upper_layer import Limits, WaitingAssociation

log = logging.getLogger(__name__)

_REJECTION: dict[RefusalReason, tuple[int, int, int]] = {
    RefusalReason.UNKNOWN_CALLED_AE_TITLE: (1, 1, 7),
    RefusalReason.UNKNOWN_CALLING_AE_TITLE: (1, 1, 3),
    RefusalReason.WRONG_ADDRESS: (1, 1, 3),
    RefusalReason.WRONG_CERTIFICATE: (1, 1, 3),
    RefusalReason.WITHOUT_TLS: (1, 1, 3),
    RefusalReason.CAPACITY: (2, 3, 2),
}
"""Result, source, diagnostic of the A-ASSOCIATE-RJ. Source: PS3.8 Table 9-21."""

_TEMPORARY_CONGESTION = (2, 3, 1)

_MAX_CONTEXTS = 128
"""Their IDs are the odd numbers of a byte. Source: PS3.8 9.3.2.2"""

_NO_REASON = (1, 1, 1)

_LOOK_S = 2.0
"""How often we look whether a peer is too slow."""

_USER_REJECTION = 0x01
"""Result of a presentation context. Source: PS3.8 Table 9-18."""


@dataclass(frozen=True)
class House:
    """What every association of the node shares."""

    settings: NodeSettings
    doorkeeper: Doorkeeper
    sink: InstanceSink
    observer: NodeObserver
    tls: ListeningContext | None
    on_end: Callable[["AcceptorAssociation"], None]

    def tell(self, association_id: str, event: Callable[[], None]) -> None:
        """Tell the observer; its failure changes nothing for the peer."""
        try:
            event()
        except Exception as error:  # noqa: BLE001 - an observer must not end an association
            log_fault("observer failed", association_id, error)


class PeerServices:
    """What one accepted peer gets of us."""

    def __init__(self, origin: AssociationOrigin, house: House) -> None:
        self._origin = origin
        self._house = house
        self.store = StoreSession(
            origin, house.sink, house.observer, max_object_bytes=house.settings.max_object_bytes
        )

    def echo(self) -> int:
        """Answer a C-ECHO: success if it could be recorded."""
        try:
            self._house.observer.echoed(self._origin)
        except ServiceError as error:
            log.warning("association %s: C-ECHO failed: %s", self._origin.association_id, error)
            return PROCESSING_FAILURE
        return SUCCESS


class _AcceptingACSE(ACSE):  # type: ignore[misc]  # pynetdicom is untyped
    def send_accept(self) -> None:
        self.assoc.before_accept()
        super().send_accept()


class AcceptorAssociation(WaitingAssociation):
    """An association that a peer asked for."""

    def __init__(
        self,
        ae: ApplicationEntity,
        house: House,
        connection: socket.socket,
        visitor: Visitor,
        addresses: tuple[AddressInformation, AddressInformation],
    ) -> None:
        settings = house.settings
        limits = Limits(
            max_pdu_bytes=settings.max_pdu_bytes,
            pdu_timeout_s=settings.pdu_timeout_s,
            request_timeout_s=settings.request_timeout_s,
            idle_timeout_s=settings.idle_timeout_s,
        )
        super().__init__(ae, "acceptor", limits, uuid.uuid4().hex[:16])
        self._house = house
        self._visitor = visitor
        self._origin: AssociationOrigin | None = None
        self._services: PeerServices | None = None
        self._denied: dict[str, Right] = {}
        self.acse = _AcceptingACSE(self)
        self._is_stopping = False
        self._is_abort_sent = False
        self._certificate: CertificateIdentity | None = None
        kind = SecureSocket if visitor.is_secure else PromptSocket
        self.set_socket(kind(self, settings.pdu_timeout_s, client_socket=connection))
        self.acceptor.maximum_length = settings.max_pdu_bytes
        self.acceptor.ae_title = settings.ae_title
        self.acceptor.implementation_class_uid = ae.implementation_class_uid
        self.acceptor.implementation_version_name = ae.implementation_version_name
        self.acceptor.address_info, self.requestor.address_info = addresses

    @property
    def ticket(self) -> int:
        """What the gate counts it by."""
        return self._visitor.ticket

    def stop(self) -> None:
        """End after the object that is just arriving; at once if there is none."""
        self._is_stopping = True
        if self._origin is None:
            self.break_off()
        self.dul.wake()

    def break_off(self) -> None:
        """End now."""
        self.dul.socket.cut()
        self.dul.wake()

    def between_pdus(self) -> None:
        """Abort a stopping association where no message is cut in two."""
        if not self._is_stopping or self._is_abort_sent or not self.is_established:
            return
        if self.dimse.is_between_messages:
            self._is_abort_sent = True
            self.acse.send_abort(0x00)

    def run_reactor(self) -> None:
        """Live; the body of the association's thread."""
        try:
            if self._is_safe():
                self.dul.start()
                self._started_dul = True
                self._converse()
            else:
                self.dul.dispose()
        except Exception as error:  # noqa: BLE001 - the boundary of this thread
            log_fault("association failed", self.association_id, error)
            self.break_off()
        finally:
            self.kill()
            self.dul.socket._shutdown_socket()
            self._report_end()
            self._house.doorkeeper.leave(self._visitor)
            self._house.on_end(self)

    def _is_safe(self) -> bool:
        """Whether the connection may go on: where TLS is spoken, only once it is secured."""
        tls = self._house.tls
        if not self._visitor.is_secure or tls is None:
            return not self._visitor.is_secure
        try:
            self._certificate = self.dul.socket.accept(tls.get(), self._visitor.deadline)
        except HandshakeError as error:
            if not self._is_stopping:
                self._house.doorkeeper.refused(untrusted(error, self._visitor.address))
            return False
        return True

    def _converse(self) -> None:
        is_fresh = self._certificate is not None  # the handshake had the time of the door
        patience_s = self.limits.request_timeout_s if is_fresh else self._visitor.patience_s
        request = self.dul.receive_pdu(wait=True, timeout=patience_s)
        if not isinstance(request, A_ASSOCIATE):
            self._turn_away_silently()
            return
        self.requestor.primitive = request
        if len(request.presentation_context_definition_list) > _MAX_CONTEXTS:
            self._refuse_contexts()
            self.acse.send_reject(*_NO_REASON)
            return
        rejection = self._admit(request)
        if rejection is not None:
            self.acse.send_reject(*rejection)
            return
        self.acse.negotiate_association()
        if self.is_established:
            self._serve()

    def _turn_away_silently(self) -> None:
        if self.dul.is_garbled:
            refusal = Refusal(
                reason=RefusalReason.NOT_DICOM,
                address=self._visitor.address,
                calling_ae_title="",
                called_ae_title="",
                remedy=f"Keep other protocols off {self._visitor.entrance}",
            )
            self._house.doorkeeper.refused(refusal)
        self.break_off()

    def _refuse_contexts(self) -> None:
        refusal = Refusal(
            reason=RefusalReason.NOT_DICOM,
            address=self._visitor.address,
            calling_ae_title=readable(str(self.requestor.primitive.calling_ae_title)),
            called_ae_title=readable(str(self.requestor.primitive.called_ae_title)),
            remedy=f"Let the sender offer at most {_MAX_CONTEXTS} presentation contexts",
        )
        self._house.doorkeeper.refused(refusal)

    def _admit(self, request: A_ASSOCIATE) -> tuple[int, int, int] | None:
        """Let the peer in, or return how the rejection reads."""
        caller = Caller(
            address=self._visitor.address,
            calling_ae_title=str(request.calling_ae_title).strip(" "),
            called_ae_title=str(request.called_ae_title).strip(" "),
            certificate=self._certificate,
        )
        try:
            peer = self._house.doorkeeper.admit(self._visitor, caller)
        except DoorError as error:
            log.warning("association %s: rejected for now: %s", self.association_id, error)
            return _TEMPORARY_CONGESTION
        if isinstance(peer, Refusal):
            return _REJECTION[peer.reason]
        issuer = peer.issuer_of_patient_id
        origin = AssociationOrigin(self.association_id, _remote(peer, caller), issuer)
        try:
            self._house.observer.opened(origin)
        except ServiceError as error:
            log.warning("association %s: rejected for now: %s", self.association_id, error)
            return _TEMPORARY_CONGESTION
        self._origin = origin
        self._services = self.dimse.services = PeerServices(origin, self._house)
        self._offer(request, peer)
        log.info(
            "association %s from %s at %s opened", self.association_id, peer.name, caller.address
        )
        return None

    def _offer(self, request: A_ASSOCIATE, peer: PeerSettings) -> None:
        offered = negotiable(
            (context.abstract_syntax, context.transfer_syntax)
            for context in request.presentation_context_definition_list
        )
        contexts = []
        for sop_class_uid, transfer_syntaxes in offered.items():
            right = right_needed(sop_class_uid)
            if right in peer.allow:
                context = PresentationContext()
                context.abstract_syntax = sop_class_uid
                context.transfer_syntax = list(transfer_syntaxes)
                contexts.append(context)
            elif right is not None:
                self._denied[sop_class_uid] = right
        self.acceptor.supported_contexts = contexts
        for right in sorted(set(self._denied.values())):
            self._refuse_right(right, peer)

    def before_accept(self) -> None:
        """Say of what we offer, but not to this peer, that it is our decision."""
        for context in self.rejected_contexts:
            if context.abstract_syntax in self._denied:
                context.result = _USER_REJECTION

    def _refuse_right(self, right: Right, peer: PeerSettings) -> None:
        refusal = Refusal(
            reason=RefusalReason.NOT_ALLOWED,
            address=self._visitor.address,
            calling_ae_title=readable(peer.ae_title),
            called_ae_title=self._house.settings.called_ae_title_of(peer),
            remedy=f"Add `{right}` to `allow` of the peer {peer.name} in dicom_node.peers",
        )
        self._house.doorkeeper.refused(refusal)

    def _serve(self) -> None:
        """Wait for the end, and say now and then that we live; messages are the other thread's."""
        settings = self._house.settings
        pace = Pace(settings.min_bytes_per_s)
        next_beat = time.monotonic() + settings.heartbeat_s
        last_moment = time.monotonic() + settings.association_timeout_s
        while self.dul.is_alive() and not self.acse.is_aborted():
            if self.acse.is_release_requested():
                self.acse.send_release(is_response=True)
                self.is_released = True
                return
            if self.dul.idle_timer_expired():
                log.warning("association %s: the peer fell silent", self.association_id)
                self.acse.send_abort(0x00)
                return
            now = time.monotonic()
            if now >= next_beat:
                self._beat()
                next_beat = time.monotonic() + settings.heartbeat_s
            self._limit(pace, now, last_moment)
            patience_s = min(next_beat - now, self._silence_left(), _LOOK_S)
            if not self._is_stopping:
                patience_s = min(patience_s, last_moment - now)
            self.wait_for_bell(max(0.01, patience_s))

    def _limit(self, pace: Pace, now: float, last_moment: float) -> None:
        """End what is too old after the object that is arriving, and what is too slow at once."""
        services = self._services
        if now >= last_moment and not self._is_stopping:
            log.warning("association %s: it has lasted long enough", self.association_id)
            self.stop()
        if services is None:
            return
        store = services.store
        message = store.stored + store.failed if store.is_open else None
        if pace.is_too_slow(
            now - store.own_work.until(now), self.dul.socket.received_bytes, message
        ):
            log.warning("association %s: the peer is too slow", self.association_id)
            self.break_off()

    def _silence_left(self) -> float:
        return max(0.1, float(self.dul._idle_timer.remaining))

    def _beat(self) -> None:
        origin = self._origin
        if origin is not None:
            self._house.tell(self.association_id, lambda: self._house.observer.alive(origin))

    def _report_end(self) -> None:
        origin, services = self._origin, self._services
        if origin is None or services is None:
            return
        how = Ending.ABORTED
        if self.is_released:
            how = Ending.RELEASED
        elif self.dul.is_lost:
            how = Ending.LOST
        stored, failed = services.store.stored, services.store.failed
        log.info(
            "association %s from %s %s: %d stored, %d failed",
            self.association_id,
            origin.peer.name,
            how,
            stored,
            failed,
        )
        self._house.tell(
            self.association_id, lambda: self._house.observer.closed(origin, how, stored, failed)
        )


def _remote(peer: PeerSettings, caller: Caller) -> RemoteAE:
    return RemoteAE(
        name=peer.name,
        ae_title=caller.calling_ae_title,
        called_ae_title=caller.called_ae_title,
        address=caller.address,
    )
