"""One outbound association: open, use, time out, release; and C-ECHO, its simplest use."""

import itertools
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.pdu_primitives import A_ASSOCIATE, P_DATA
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation

from core.errors import ConfigurationError
from dicom_node.errors import AssociationRejectedError, NothingAcceptedError, PeerError, TlsError
from dicom_node.presentation import IMPLICIT_LITTLE, VERIFICATION
from dicom_node.secure.handshake import HandshakeError
from dicom_node.secure.secure_socket import SecureCall, SecureSocket
from dicom_node.secure.tls import calling_context
from dicom_node.secure.tls_faults import insecure
from dicom_node.settings import TlsCallSettings
from dicom_node.wire.entity import local_entity
from dicom_node.wire.prompt_socket import PromptSocket
from dicom_node.wire.upper_layer import Limits, WaitingAssociation

_ACCEPTED = 0
_MEDIUM_PRIORITY = 0
_OWN_MAX_PDU_BYTES = 16 * 1024
"""Only responses come back."""
_LONGEST_PDU_BYTES = 128 * 1024
"""What we send to a peer that names no limit."""
_LAST_BREATH_S = 0.2
"""How long the upper layer may take to end after it said that the association is over."""
_PDUS_AHEAD = 8
"""So many PDUs wait for the socket at once; more would be the whole object in memory."""


@dataclass(frozen=True)
class Destination:
    """A peer that we call, and how."""

    name: str
    """Safe to log."""
    host: str
    port: int
    called_ae_title: str
    calling_ae_title: str
    timeout_s: float = 30.0
    """How long the peer may stay silent before we give up."""
    connect_timeout_s: float = 10.0
    tls: TlsCallSettings | None = None
    """Call over TLS and not otherwise; None calls plainly."""


class OpenAssociation:
    """An established association; made by `open_association`."""

    def __init__(self, association: WaitingAssociation, destination: Destination) -> None:
        self._association = association
        self._destination = destination
        self._message_ids = itertools.cycle(range(1, 2**16))

    def context_id(self, sop_class_uid: str, transfer_syntax_uid: str) -> int | None:
        """Return the presentation context that was accepted for this encoding, if one was."""
        for context in self._association.accepted_contexts:
            if (context.abstract_syntax, context.transfer_syntax[0]) == (
                sop_class_uid,
                transfer_syntax_uid,
            ):
                return int(context.context_id)
        return None

    def echo(self) -> None:
        """Verify the peer. Source: PS3.4 Annex A.

        Raises
        ------
        PeerError
            If it does not answer, or not with success.
        """
        context_id = self.context_id(VERIFICATION, IMPLICIT_LITTLE)
        if context_id is None:
            raise PeerError(f"{self._destination.name} does not offer verification (C-ECHO)")
        request = C_ECHO()
        request.MessageID = next(self._message_ids)
        request.AffectedSOPClassUID = VERIFICATION
        self._association.dimse.send_msg(request, context_id)
        status = self._response(request.MessageID, C_ECHO).Status
        if status != 0:
            raise PeerError(f"{self._destination.name} answered C-ECHO with status {status:04X}")

    def store(
        self, context_id: int, sop_class_uid: str, sop_instance_uid: str, data_set: Iterable[bytes]
    ) -> tuple[int, str]:
        """Send one object, its bytes as they are; return the status and comment of the answer.

        Raises
        ------
        PeerError
            If the peer breaks off or stays silent; the association is then over.
        ServiceError
            What reading `data_set` raised; the association is over if it was in the middle.
        """
        request = C_STORE()
        request.MessageID = next(self._message_ids)
        request.Priority = _MEDIUM_PRIORITY
        request.AffectedSOPClassUID = sop_class_uid
        request.AffectedSOPInstanceUID = sop_instance_uid
        request.DataSet = BytesIO()  # says that one follows; we send it ourselves, piece by piece
        pieces = _pieces(data_set, self._max_pdu_bytes - 6)
        first = next(pieces)  # before the command: an object that cannot be read harms nobody
        command = C_STORE_RQ()
        command.primitive_to_message(request)
        for piece in command.encode_msg(context_id, self._max_pdu_bytes):
            self._association.dul.send_pdu(piece)
        self._send_data_set(context_id, itertools.chain([first], pieces))
        response = self._response(request.MessageID, C_STORE)
        return int(response.Status), str(response.ErrorComment or "")

    def close(self) -> None:
        """Release the association, if it is still open."""
        if self.is_open:
            self._association.acse.negotiate_release()

    def abort(self) -> None:
        """Break the association off."""
        self._association.abort()

    @property
    def is_open(self) -> bool:
        """Whether it can be used further."""
        return bool(self._association.is_established and self._association.dul.is_alive())

    def _send_data_set(self, context_id: int, pieces: Iterable[tuple[bytes, bool]]) -> None:
        try:
            for piece, is_last in pieces:
                self._wait_for_room()
                data = P_DATA()
                header = b"\x02" if is_last else b"\x00"
                data.presentation_data_value_list.append((context_id, header + piece))
                self._association.dul.send_pdu(data)
        except BaseException:
            self.abort()  # half an object is out, and there is no other way to take it back
            raise

    @property
    def _max_pdu_bytes(self) -> int:
        limit = int(self._association.acceptor.maximum_length or _LONGEST_PDU_BYTES)
        return min(max(limit, 64), _LONGEST_PDU_BYTES)

    def _wait_for_room(self) -> None:
        dul = self._association.dul
        while dul.to_provider_queue.qsize() >= _PDUS_AHEAD:
            if not dul.is_alive():
                raise self._lost()
            self._association.wait_for_bell(1.0)

    def _response(self, message_id: int, kind: type[Any]) -> Any:  # noqa: ANN401 - untyped library
        _, response = self._association.dimse.get_msg(block=True)
        if response is None:
            self._association.dul.join(_LAST_BREATH_S)
            if not self._association.dul.is_alive():
                raise self._lost()
            self.abort()
            raise PeerError(
                f"{self._destination.name} did not answer within {self._destination.timeout_s:g} s"
            )
        if (
            not isinstance(response, kind)
            or response.Status is None
            or response.MessageIDBeingRespondedTo != message_id
        ):
            self.abort()
            raise PeerError(f"{self._destination.name} answered something else than was asked")
        return response

    def _lost(self) -> PeerError:
        self._association.kill()
        fault = _tls_fault(self._association)
        if fault is not None:
            return _insecure(fault, self._destination)
        return PeerError(f"{self._destination.name} broke the association off")


@contextmanager
def open_association(
    destination: Destination, contexts: Sequence[tuple[str, str]]
) -> Iterator[OpenAssociation]:
    """Associate with a peer, proposing (SOP class, transfer syntax) for each context.

    Raises
    ------
    PeerError
        If the peer cannot be reached, or does not answer.
    TlsError
        If the connection should be secure and is not.
    AssociationRejectedError
        If it does not want us.
    NothingAcceptedError
        If it takes none of the contexts.
    """
    association = _prepared(destination, contexts)
    try:
        association.request()
        if not association.is_established:
            raise _refusal(association, destination)
        opened = OpenAssociation(association, destination)
        yield opened
        opened.close()
    finally:
        if association.is_established:
            association.abort()
        association.kill()


def echo(destination: Destination) -> float:
    """Verify a peer (C-ECHO); return the seconds it took from connecting to the answer.

    Raises
    ------
    PeerError
        If it cannot be reached, rejects us, or does not answer with success.
    """
    start = time.monotonic()
    with open_association(destination, [(VERIFICATION, IMPLICIT_LITTLE)]) as association:
        association.echo()
        return time.monotonic() - start


def _prepared(destination: Destination, contexts: Sequence[tuple[str, str]]) -> WaitingAssociation:
    limits = Limits(
        max_pdu_bytes=_OWN_MAX_PDU_BYTES,
        pdu_timeout_s=destination.timeout_s,
        request_timeout_s=destination.timeout_s,
        idle_timeout_s=destination.timeout_s,
        connect_timeout_s=destination.connect_timeout_s,
    )
    entity = local_entity(destination.calling_ae_title)
    entity.dimse_timeout = destination.timeout_s
    remote = _resolved(destination)
    call = _secure_call(destination)
    association = WaitingAssociation(entity, "requestor", limits, uuid.uuid4().hex[:16])
    local = AddressInformation("0.0.0.0" if remote.is_ipv4 else "::", 0)  # noqa: S104 - any port
    if call is None:
        connection = PromptSocket(association, limits.pdu_timeout_s, address=local)
    else:
        connection = SecureSocket(association, limits.pdu_timeout_s, address=local, call=call)
    association.set_socket(connection)
    association.acceptor.ae_title = destination.called_ae_title
    association.acceptor.address_info = remote
    association.requestor.ae_title = destination.calling_ae_title
    association.requestor.address_info = local
    association.requestor.maximum_length = limits.max_pdu_bytes
    association.requestor.implementation_class_uid = entity.implementation_class_uid
    association.requestor.implementation_version_name = entity.implementation_version_name
    association.requestor.requested_contexts = [
        _context(2 * number + 1, *context) for number, context in enumerate(contexts)
    ]
    return association


def _secure_call(destination: Destination) -> SecureCall | None:
    tls = destination.tls
    if tls is None:
        return None
    try:
        context = calling_context(tls)
    except ConfigurationError as error:  # it may be mended while we run, so it is worth a retry
        raise TlsError(
            f"{destination.name} cannot be called over TLS: {error.message}", remedy=error.remedy
        ) from None
    return SecureCall(context, destination.host, tls.certificates, destination.connect_timeout_s)


def _resolved(destination: Destination) -> AddressInformation:
    try:
        return AddressInformation.from_addr_port(destination.host, destination.port)
    except OSError:
        raise PeerError(
            f"{destination.name}: no address is known for {destination.host}",
            remedy="Correct the host name, or the name server",
        ) from None


def _context(context_id: int, sop_class_uid: str, transfer_syntax_uid: str) -> PresentationContext:
    context = PresentationContext()
    context.context_id = context_id
    context.abstract_syntax = sop_class_uid
    context.transfer_syntax = [transfer_syntax_uid]
    return context


_REJECTIONS: dict[tuple[int, int], tuple[str, str]] = {
    (1, 3): ("it does not know the AE title {calling}", "Tell the peer about {calling}"),
    (1, 7): ("it is not called {called}", "Correct the called AE title"),
    (3, 1): ("it is congested", "Try again later"),
    (3, 2): ("it has too many associations", "Try again later"),
}
"""By source and diagnostic. Source: PS3.8 Table 9-21."""


def _refusal(association: WaitingAssociation, destination: Destination) -> PeerError:
    name = destination.name
    where = f"{destination.host}:{destination.port}"
    # A peer that answers and hangs up at once looks to pynetdicom as if it could not be reached;
    # its answer then still waits.
    waiting = association.dul.receive_pdu(wait=False)
    answer = waiting if isinstance(waiting, A_ASSOCIATE) else association.acceptor.primitive
    if isinstance(answer, A_ASSOCIATE) and answer.result == _ACCEPTED:
        return NothingAcceptedError(f"{name} at {where} takes nothing of what we offer")
    if isinstance(answer, A_ASSOCIATE):
        return _rejection(answer, destination)
    fault = _tls_fault(association)
    if fault is not None:
        return _insecure(fault, destination)
    if not association.was_connected:
        return PeerError(
            f"{name} at {where} cannot be reached",
            remedy="Check the address, the port and the firewall, and that the peer runs",
        )
    return PeerError(
        f"{name} at {where} did not answer the request for an association",
        remedy="See that the peer accepts our certificate: it may hang up without a word"
        if destination.tls is not None
        else "",
    )


def _tls_fault(association: WaitingAssociation) -> HandshakeError | None:
    connection = association.dul.socket
    return connection.fault if isinstance(connection, SecureSocket) else None


def _insecure(fault: HandshakeError, destination: Destination) -> TlsError:
    return insecure(fault, f"{destination.name} at {destination.host}:{destination.port}")


def _rejection(answer: A_ASSOCIATE, destination: Destination) -> AssociationRejectedError:
    reason, remedy = _REJECTIONS.get(
        (answer.result_source, answer.diagnostic), ("it gave no reason that we know", "")
    )
    titles = {"calling": destination.calling_ae_title, "called": destination.called_ae_title}
    return AssociationRejectedError(
        f"{destination.name} at {destination.host}:{destination.port} rejected the association: "
        f"{reason.format(**titles)}",
        remedy=remedy.format(**titles),
    )


def _pieces(data_set: Iterable[bytes], size: int) -> Iterator[tuple[bytes, bool]]:
    """Cut a data set into pieces for one PDU each, and mark the last."""
    pending = bytearray()
    for chunk in data_set:
        pending += chunk
        whole = (len(pending) - 1) // size  # keep something back, so that the last is known
        for start in range(0, whole * size, size):
            yield bytes(pending[start : start + size]), False
        if whole > 0:
            del pending[: whole * size]
    yield bytes(pending), True
