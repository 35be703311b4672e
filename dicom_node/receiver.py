"""The associations of one process: takes connections that the door let in, and ends them well."""

import logging
import socket
import threading
import time
from collections.abc import Collection

from pynetdicom.transport import AddressInformation

from dicom_node.acceptor import AcceptorAssociation, House
from dicom_node.entrance.visitor import Doorkeeper, Visitor
from dicom_node.faults import log_fault
from dicom_node.ports import InstanceSink, NodeObserver
from dicom_node.secure.tls import ListeningContext
from dicom_node.settings import NodeSettings
from dicom_node.wire.entity import local_entity

log = logging.getLogger(__name__)


class Receiver:
    """Serves peers on the connections that it is given, each on threads of its own."""

    def __init__(
        self,
        settings: NodeSettings,
        doorkeeper: Doorkeeper,
        sink: InstanceSink,
        observer: NodeObserver,
    ) -> None:
        self._settings = settings
        tls = None if settings.tls is None else ListeningContext(settings.tls)
        self._house = House(settings, doorkeeper, sink, observer, tls, on_end=self._forget)
        self._entity = local_entity(settings.ae_title)
        self._lock = threading.Lock()
        self._associations: set[AcceptorAssociation] = set()
        self._is_stopping = False

    @property
    def is_open(self) -> bool:
        """Whether it takes connections now."""
        return not self._is_stopping

    @property
    def guests(self) -> int:
        """How many connections it serves."""
        with self._lock:
            return len(self._associations)

    def take(self, connection: socket.socket, visitor: Visitor) -> None:
        """Serve a connection on threads of its own."""
        try:
            association = self._association(connection, visitor)
            with self._lock:
                self._associations.add(association)
        except Exception as error:  # noqa: BLE001 - one connection must not end the door
            log_fault("taking a connection failed", "-", error)
            self._let_go(connection, visitor)
            return
        try:
            association.start()
        except RuntimeError:
            log.error("no thread is left for a connection")  # noqa: TRY400 - no bug of ours
            self._forget(association)
            self._let_go(connection, visitor)

    def dismiss(self, tickets: Collection[int]) -> None:
        """End some associations, each after the object that is just arriving."""
        for association in self._living():
            if association.ticket in tickets:
                log.info("association %s ends: a peer no more", association.association_id)
                association.stop()

    def stop(self) -> None:
        """Take nobody any more; objects that are just arriving are finished, within a bound."""
        self._is_stopping = True
        for association in self._living():
            association.stop()
        self._wait_for_end(self._settings.stop_timeout_s)
        for association in self._living():
            log.warning("association %s is broken off", association.association_id)
            association.break_off()
        self._wait_for_end(1.0)

    def _association(self, connection: socket.socket, visitor: Visitor) -> AcceptorAssociation:
        connection.setblocking(True)
        ours = AddressInformation(visitor.our_address, visitor.our_port)
        theirs = AddressInformation(visitor.address, visitor.port)
        return AcceptorAssociation(self._entity, self._house, connection, visitor, (ours, theirs))

    def _let_go(self, connection: socket.socket, visitor: Visitor) -> None:
        connection.close()
        self._house.doorkeeper.leave(visitor)

    def _forget(self, association: AcceptorAssociation) -> None:
        with self._lock:
            self._associations.discard(association)

    def _living(self) -> list[AcceptorAssociation]:
        with self._lock:
            return list(self._associations)

    def _wait_for_end(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for association in self._living():
            association.join(max(0.0, deadline - time.monotonic()))
