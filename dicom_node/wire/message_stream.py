"""DIMSE messages as they arrive: the data set of a C-STORE goes on fragment by fragment.

pynetdicom gathers a whole data set in memory, or in a plain temporary file, before it calls
anybody. Here it goes to the `StoreSession` in pieces while it arrives, in the thread that reads
the socket, so that memory stays the same for any object and a slow disk slows the peer. C-STORE
is read and answered here from end to end; all other commands are pynetdicom's.

Like `upper_layer` and `prompt_socket`, this rests on pynetdicom's internals.

Source: PS3.7 6.3, 9.1; PS3.8 Annex E
"""

from typing import Any, Protocol

from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import C_ECHO
from pynetdicom.pdu_primitives import P_DATA

from dicom_node.faults import log_fault
from dicom_node.ports import IncomingObject
from dicom_node.presentation import VERIFICATION
from dicom_node.store_scp import StoreSession
from dicom_node.wire.command_set import (
    StoreRequest,
    command_pdus,
    store_request,
    store_response,
    text_of,
)
from dicom_node.wire.fragments import Fragments, ProtocolError

MAX_COMMAND_BYTES = 16 * 1024
"""No command set comes near; one that never ends must not fill the memory."""

_LAST_COMMAND_FRAGMENT = b"\x03"


class Services(Protocol):
    """What we provide on an association that a peer opened."""

    @property
    def store(self) -> StoreSession:
        """C-STORE."""

    def echo(self) -> int:
        """Answer a C-ECHO with a status."""


class MessageStream(DIMSEServiceProvider):  # type: ignore[misc]  # pynetdicom is untyped
    """The messages of one association, in both roles.

    As requestor (`services` is None) it takes responses and hands them to whoever waits for one.
    """

    def __init__(self, assoc: Any) -> None:  # noqa: ANN401 - a WaitingAssociation, one floor up
        super().__init__(assoc)
        self.services: Services | None = None
        self._command = bytearray()
        self._storing: tuple[StoreRequest, int] | None = None
        """The request whose data set is arriving, and its presentation context."""

    @property
    def is_between_messages(self) -> bool:
        """Whether nothing has begun that is not finished."""
        return self._storing is None and not self._command

    def receive_primitive(self, primitive: Fragments) -> None:
        """Take the fragments of one P-DATA-TF PDU."""
        try:
            for fragment in primitive:
                if fragment.is_command:
                    command = bytes(fragment.data)
                    self.take_command(fragment.context_id, command, is_last=fragment.is_last)
                else:
                    self.expect_data(fragment.context_id, len(fragment.data))
                    self.take_data(fragment.data, is_last=fragment.is_last)
        except ProtocolError:
            self.dul.event_queue.put("Evt19")
        except Exception as error:  # noqa: BLE001 - the boundary of the SCP
            log_fault("message failed", self.assoc.association_id, error)
            self.dul.event_queue.put("Evt19")

    def abandon(self) -> None:
        """Forget the object that was arriving: the association has ended."""
        self._storing = None
        if self.services is not None:
            self.services.store.abandon()

    def take_command(self, context_id: int, data: bytes, *, is_last: bool) -> None:
        """Take a piece of a command set."""
        if self._storing is not None:
            raise ProtocolError("a command in the middle of a data set")
        self._command += data
        if len(self._command) > MAX_COMMAND_BYTES:
            raise ProtocolError("a command set that is too long")
        if not is_last:
            return
        encoded = bytes(self._command)
        self._command.clear()
        if self.services is None:
            message, _ = self._decode(context_id, encoded)
            self._take_response(message, context_id)
        elif request := store_request(encoded):
            self._take_store_request(request, context_id)
        else:
            message, has_data_set = self._decode(context_id, encoded)
            self._take_request(message, context_id, has_data_set=has_data_set)

    def expect_data(self, context_id: int, size: int) -> None:
        """Agree that a data value of so many bytes comes next."""
        if self._storing is None or context_id != self._storing[1]:
            raise ProtocolError("a data set that no command announced")
        if not self._store.expect(size):
            raise ProtocolError("a data set that does not end")

    def take_data(self, data: memoryview, *, is_last: bool) -> None:
        """Take the next bytes of the data set that is arriving."""
        self._store.write(data)
        if is_last:
            self._finish_store()

    def _decode(self, context_id: int, encoded: bytes) -> tuple[Any, bool]:
        message = DIMSEMessage()
        carrier = P_DATA()
        carrier.presentation_data_value_list.append((context_id, _LAST_COMMAND_FRAGMENT + encoded))
        try:
            is_whole = message.decode_msg(carrier, self.assoc)
            return message.message_to_primitive(), not is_whole
        except Exception as error:  # any type, for any malformed command
            raise ProtocolError("a command set that cannot be read") from error

    def _take_response(self, message: Any, context_id: int) -> None:  # noqa: ANN401
        if message.MessageIDBeingRespondedTo is None:
            raise ProtocolError("a request from one that we asked")
        self.msg_queue.put((context_id, message))

    def _take_request(self, request: Any, context_id: int, *, has_data_set: bool) -> None:  # noqa: ANN401
        context = self._context(context_id)
        if request.MessageID is None:
            raise ProtocolError("a request without an ID")
        if not isinstance(request, C_ECHO) or has_data_set:
            raise ProtocolError("a request that its presentation context does not have")
        self._answer_echo(request, context)

    def _take_store_request(self, request: StoreRequest, context_id: int) -> None:
        context = self._context(context_id)
        if context.abstract_syntax == VERIFICATION:
            raise ProtocolError("a request that its presentation context does not have")
        self._storing = (request, context_id)
        incoming = IncomingObject(
            sop_class_uid=text_of(request.sop_class_uid),
            sop_instance_uid=text_of(request.sop_instance_uid),
            transfer_syntax_uid=str(context.transfer_syntax[0]),
        )
        self._store.begin(incoming, abstract_syntax_uid=str(context.abstract_syntax))
        if not request.has_data_set:
            self._finish_store()

    def _context(self, context_id: int) -> Any:  # noqa: ANN401
        context = self.assoc._accepted_cx.get(context_id)
        if context is None:
            raise ProtocolError("a request outside of the accepted contexts")
        return context

    def _finish_store(self) -> None:
        if self._storing is None:
            return
        request, context_id = self._storing
        answer = self._store.finish()
        self._storing = None
        response = store_response(request, answer.status, answer.comment)
        # In the thread that reads and writes, between two PDUs: nobody else is writing.
        self.dul.socket.send(command_pdus(context_id, response, self.maximum_pdu_size))

    def _answer_echo(self, request: C_ECHO, context: Any) -> None:  # noqa: ANN401
        response = C_ECHO()
        response.MessageIDBeingRespondedTo = request.MessageID
        response.AffectedSOPClassUID = VERIFICATION
        response.Status = self.services.echo() if self.services is not None else 0
        self.send_msg(response, context.context_id)

    @property
    def _store(self) -> StoreSession:
        if self.services is None:
            raise ProtocolError("a request from one that we asked")
        return self.services.store
