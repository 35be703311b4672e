"""The listening AE: start, serve, stop."""

import logging
import socket
import sys
import threading
import time
from socketserver import TCPServer
from typing import Any

from pynetdicom.transport import AddressInformation, AssociationServer

from dicom_node.acceptor import AcceptorAssociation, House
from dicom_node.entity import local_entity
from dicom_node.errors import ListenError
from dicom_node.faults import log_fault
from dicom_node.gate import Gate
from dicom_node.ports import InstanceSink, NodeObserver
from dicom_node.settings import NodeSettings

log = logging.getLogger(__name__)

_ACCEPT_TICK_S = 0.25


class _Listener(AssociationServer):  # type: ignore[misc]  # pynetdicom is untyped
    """Accepts connections; the gate decides before a thread is spent on one."""

    request_queue_size = 128

    def __init__(self, house: House) -> None:
        self._house = house
        self._lock = threading.Lock()
        self._associations: set[AcceptorAssociation] = set()
        settings = house.settings
        address = AddressInformation(settings.host, settings.port)
        super().__init__(
            local_entity(settings.ae_title), address.as_tuple, settings.ae_title, contexts=[]
        )

    @property
    def associations(self) -> list[AcceptorAssociation]:
        """Those whose threads still live."""
        with self._lock:
            self._associations = {a for a in self._associations if a.is_alive()}
            return list(self._associations)

    def verify_request(self, request: socket.socket, client_address: Any) -> bool:  # noqa: ANN401, ARG002
        """Let a connection in or not; called by the accept loop."""
        refusal = self._house.gate.enter(client_address[0])
        if refusal is not None:
            self._house.refuse("-", refusal)
        return refusal is None

    def finish_request(self, request: socket.socket, client_address: Any) -> None:  # noqa: ANN401
        """Give the connection an association of its own."""
        try:
            request.setblocking(True)
            addresses = (
                AddressInformation.from_tuple(self.server_address),
                AddressInformation.from_tuple(client_address),
            )
            association = AcceptorAssociation(self.ae, self._house, request, addresses)
            association.start()
        except BaseException:
            self._house.gate.leave(client_address[0])
            raise
        with self._lock:
            self._associations.add(association)

    def close(self) -> None:
        """Accept nobody any more."""
        TCPServer.shutdown(self)  # pynetdicom's own asks for a server that its AE started
        self.server_close()

    def service_actions(self) -> None:
        """Forget associations that have ended."""
        super().service_actions()
        _ = self.associations

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002
        """Log what went wrong with a connection; the loop goes on."""
        error = sys.exception()
        if isinstance(error, Exception):
            log_fault("accepting failed", "-", error)


class DicomNode:
    """The DICOM side of the house: C-ECHO and C-STORE for known peers.

    Parameters
    ----------
    settings
        The `dicom_node:` section of config.yaml.
    sink
        Where received instances go; success is answered only after its `commit`.
    observer
        Who is told what happens.
    """

    def __init__(self, settings: NodeSettings, sink: InstanceSink, observer: NodeObserver) -> None:
        self._settings = settings
        self._house = House(settings, Gate(settings), sink, observer)
        self._listener: _Listener | None = None
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._settings.port if self._listener is None else self._listener.server_address[1]

    @property
    def is_listening(self) -> bool:
        """Whether connections are taken."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Listen.

        Raises
        ------
        ListenError
            If the address cannot be listened on.
        """
        settings = self._settings
        try:
            self._listener = _Listener(self._house)
        except OSError as error:
            raise ListenError(
                f"{settings.host}:{settings.port} cannot be listened on ({error.strerror})",
                remedy="Change dicom_node.port or dicom_node.host, or stop what holds the port",
            ) from None
        self._stopped.clear()
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(_ACCEPT_TICK_S,), name="dicom-listener"
        )
        self._thread.daemon = True
        self._thread.start()
        log.info("%s listens on %s:%d", settings.ae_title, settings.host, self.port)

    def serve_forever(self) -> None:
        """Listen until `stop` is called from elsewhere."""
        if self._listener is None:
            self.start()
        self._stopped.wait()

    def stop(self) -> None:
        """Stop listening; objects that are just arriving are finished, within a bound."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        listener.close()
        for association in listener.associations:
            association.stop()
        self._wait_for_end(listener, self._settings.stop_timeout_s)
        for association in listener.associations:
            log.warning("association %s is broken off", association.association_id)
            association.break_off()
        self._wait_for_end(listener, 1.0)
        self._stopped.set()
        log.info("%s has stopped", self._settings.ae_title)

    @staticmethod
    def _wait_for_end(listener: _Listener, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for association in listener.associations:
            association.join(max(0.0, deadline - time.monotonic()))
