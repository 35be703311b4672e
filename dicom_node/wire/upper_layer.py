"""pynetdicom's upper layer, made to wait on events and to bound what a peer can make us hold.

pynetdicom polls: two threads of each association sleep 1 ms at a time, and a PDU may be as long as
its sender says. Here its state machine stays (PS3.8 9.2), but its loops wait for the socket, for a
message or for a timer, and a PDU has a limit and a deadline.

This module, `prompt_socket` and `message_stream` rest on pynetdicom's internals;
`tests/dicom_node/test_library_contract.py` fails when those change.
"""

import queue
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import InvalidEventError

from dicom_node.faults import log_fault
from dicom_node.wire import quiet  # noqa: F401 - silences the library before it says anything
from dicom_node.wire.fragments import Fragments, ProtocolError
from dicom_node.wire.inflow import Inflow
from dicom_node.wire.message_stream import MessageStream
from dicom_node.wire.prompt_socket import readable_descriptors

LONGEST_WAIT_S = 5.0
_HEADER = struct.Struct(">BBL")

P_DATA_TF = 0x04
_LIMITS = {
    0x01: 1024 * 1024,  # A-ASSOCIATE-RQ: 128 contexts with 60 transfer syntaxes of 64 bytes each
    0x02: 1024 * 1024,  # A-ASSOCIATE-AC
    0x03: 1024,
    0x05: 1024,
    0x06: 1024,
    0x07: 1024,
}
"""The longest body of each PDU type but P-DATA-TF. Source: PS3.8 9.3."""


@dataclass(frozen=True)
class Limits:
    """What one peer may take of us."""

    max_pdu_bytes: int
    pdu_timeout_s: float
    request_timeout_s: float
    """How long the other side may take to ask for, accept or release an association."""
    idle_timeout_s: float
    connect_timeout_s: float = 10.0


class _RingingQueue(queue.Queue[Any]):
    """A queue that rings somebody whenever something is put into it."""

    def __init__(self, ring: Callable[[], None]) -> None:
        super().__init__()
        self._ring = ring

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self._ring()


class WaitingDUL(DULServiceProvider):  # type: ignore[misc]  # pynetdicom is untyped
    """The upper layer's thread: waits for the socket or for something to send."""

    def __init__(self, assoc: "WaitingAssociation", limits: Limits) -> None:
        super().__init__(assoc)
        self.daemon = True
        self._limits = limits
        self._is_working = False
        self._inflow: Inflow | None = None
        self._waker, self._wakened = socket.socketpair()
        self._waker.setblocking(False)
        self.to_provider_queue = _RingingQueue(self.wake)
        self.to_user_queue = _RingingQueue(assoc.ring)
        self.is_lost = False
        """Whether the connection broke while the association was open."""
        self.is_garbled = False
        """Whether something arrived that is no PDU."""

    def wake(self) -> None:
        """Let the thread look at its queues again."""
        if threading.get_ident() == self.ident:
            return
        try:
            self._waker.send(b"\0")
        except OSError:
            return  # full, so it will wake; or closed, so it has ended

    def dispose(self) -> None:
        """Let go of what the thread would have let go of, had it ever run."""
        self._waker.close()
        self._wakened.close()

    def kill_dul(self) -> None:
        """End the thread."""
        super().kill_dul()
        self.wake()

    def stop_dul(self) -> bool:
        """End the thread if the state machine is at rest; False if it is not."""
        if self.state_machine.current_state != "Sta1":
            return False
        self.kill_dul()
        self.join(LONGEST_WAIT_S)
        return True

    def idle_timer_expired(self) -> bool:
        """Whether the peer has been silent for too long; our own work does not count."""
        return not self._is_working and bool(super().idle_timer_expired())

    def run_reactor(self) -> None:
        """Work until the association is over."""
        self._idle_timer.start()
        self.assoc._dul_ready.set()
        try:
            while not self._kill_thread:
                if not self._step():
                    self._wait()
        except InvalidEventError:
            pass  # an abort of ours, of what was over already
        except Exception as error:  # noqa: BLE001 - the boundary of this thread
            log_fault("upper layer failed", self.assoc.association_id, error)
            self.assoc.is_aborted = True
            self.assoc.is_established = False
        finally:
            self.assoc.dimse.abandon()
            self._inflow = None  # a megabyte, which would wait for the collector of cycles
            self.to_user_queue.put(None)  # whoever waits for the peer's next word waits no more
            self._waker.close()
            self._wakened.close()
            if self.socket is not None:
                self.socket._shutdown_socket()
            self.assoc.ring()

    def _step(self) -> bool:
        """Handle one event; False if there is none."""
        if self.event_queue.empty():
            self._look_around()
        try:
            event = self.event_queue.get(block=False)
        except queue.Empty:
            return False
        if event == "Evt17" and self.state_machine.current_state == "Sta6":
            self.is_lost = True
        self._is_working = True
        self.state_machine.do_action(event)
        self._idle_timer.restart()
        self._is_working = False
        if event == "Evt9":
            self.assoc.ring()  # a sender waits for room
        return True

    def _look_around(self) -> None:
        self.assoc.between_pdus()
        if self.artim_timer.expired:
            self.event_queue.put("Evt18")
        elif self.state_machine.current_state == "Sta13" or not self._process_recv_primitive():
            # In state 13 what we still wanted to say stays unsaid (PS3.8 Table 9-10).
            self._is_transport_event()

    def _wait(self) -> None:
        if self._has_unread or not self.to_provider_queue.empty():
            return
        timeout = LONGEST_WAIT_S
        if self.artim_timer._start_time is not None and self.artim_timer._end_time is None:
            timeout = min(timeout, max(0.01, self.artim_timer.remaining))
        sources: list[Any] = [self._wakened]
        if self.socket is not None and self.socket._is_connected:
            sources.append(self.socket.socket)
        if self._wakened.fileno() in readable_descriptors(sources, timeout):
            self._wakened.recv(4096)

    def _is_transport_event(self) -> bool:
        if self.state_machine.current_state != "Sta13":
            is_there = self._has_unread or (self.socket is not None and self.socket.ready)
            if is_there:
                self._read_pdu_data()
            return is_there
        # All has been said: whatever still comes is thrown away, until ARTIM expires.
        if self.socket.ready and self._drained():
            return True
        self.socket.close()
        return True

    @property
    def _has_unread(self) -> bool:
        return self._inflow is not None and self._inflow.has_unread

    def _drained(self) -> bool:
        try:
            return bool(self.socket.drain())
        except OSError:
            return False

    def _read_pdu_data(self) -> None:
        """Read what there is, PDU by PDU; called when the socket has something."""
        if self._inflow is None:
            pdu_timeout_s = self._limits.pdu_timeout_s
            self._inflow = Inflow(self.socket, self.assoc.dimse, pdu_timeout_s=pdu_timeout_s)
        try:
            while self._read_pdu(self._inflow) and self._inflow.has_unread:
                self.assoc.between_pdus()
                if not self.to_provider_queue.empty():
                    break
        except OSError:
            self.event_queue.put("Evt17")
        except ProtocolError:
            self.event_queue.put("Evt19")
        except Exception as error:  # noqa: BLE001 - the boundary of the SCP
            log_fault("message failed", self.assoc.association_id, error)
            self.event_queue.put("Evt19")
        finally:
            self._is_working = False

    def _read_pdu(self, inflow: Inflow) -> bool:
        """Read one PDU; False if the state machine must act before the next."""
        kind, length = inflow.header()
        if length > self._limit(kind):
            self._refuse_pdu()
            return False
        if kind != P_DATA_TF or not self._is_served:
            self._take_pdu(kind, length, inflow.body(length))
            return False
        # What the state machine would do in state 6 (DT-2), without a queue and a PDU object.
        self._is_working = True
        inflow.values(length)
        self._is_working = False
        self._idle_timer.restart()
        return True

    @property
    def _is_served(self) -> bool:
        """Whether a peer's messages go straight to our services."""
        return self.state_machine.current_state == "Sta6" and self.assoc.dimse.services is not None

    def _take_pdu(self, kind: int, length: int, body: bytearray) -> None:
        if kind == P_DATA_TF:
            self._recv_pdu.put(Fragments(body))
            self.event_queue.put("Evt10")
            return
        try:
            pdu, event = self._decode_pdu(bytearray(_HEADER.pack(kind, 0, length)) + body)
        except Exception:  # noqa: BLE001 - any of a dozen types, for any malformed PDU
            self._refuse_pdu()
            return
        self._recv_pdu.put(pdu)
        self.event_queue.put(event)

    def _limit(self, kind: int) -> int:
        return self._limits.max_pdu_bytes if kind == P_DATA_TF else _LIMITS.get(kind, -1)

    def _refuse_pdu(self) -> None:
        self.is_garbled = True
        self.event_queue.put("Evt19")


class WaitingAssociation(Association):  # type: ignore[misc]  # pynetdicom is untyped
    """An association whose own thread sleeps until something happens."""

    def __init__(
        self, ae: ApplicationEntity, mode: str, limits: Limits, association_id: str
    ) -> None:
        self._bell = threading.Event()
        super().__init__(ae, mode)
        self.association_id = association_id
        self.was_connected = False
        """Whether a connection that we asked for came about."""
        self.limits = limits
        self.dul = WaitingDUL(self, limits)
        self.dimse = MessageStream(self)
        self.dimse.msg_queue = _RingingQueue(self.ring)
        self.acse_timeout = limits.request_timeout_s
        self.network_timeout = limits.idle_timeout_s
        self.connection_timeout = limits.connect_timeout_s
        self.name = f"association-{association_id}"
        self.dul.name = f"upper-layer-{association_id}"

    def ring(self) -> None:
        """Let the association's own thread look around."""
        self._bell.set()

    def wait_for_bell(self, timeout_s: float) -> None:
        """Sleep until something happens or the time is over."""
        self._bell.wait(timeout_s)
        self._bell.clear()

    def between_pdus(self) -> None:
        """Do what must not happen in the middle of a PDU; called in the upper layer's thread."""
