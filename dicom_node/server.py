"""The listening AE in one process: door, gate and receiver together."""

import logging
import threading

from core.clock import Clock, utc_now
from dicom_node.door import Door, Entrance
from dicom_node.door_pdu import AssociateRequest
from dicom_node.gate import Caller, Gate
from dicom_node.loop import Loop
from dicom_node.ports import InstanceSink, NodeObserver, Refusal
from dicom_node.receiver import Receiver
from dicom_node.refusals import Refusals
from dicom_node.settings import NodeSettings, PeerSettings
from dicom_node.visitor import Visitor

log = logging.getLogger(__name__)


def entrances(settings: NodeSettings) -> list[Entrance]:
    """Return where a node listens."""
    if settings.port is None:
        return []
    return [Entrance("dicom_node.port", settings.host, settings.port, AssociateRequest())]


class GateKeeper:
    """A doorkeeper that stands beside the gate, in its process."""

    def __init__(self, gate: Gate, refusals: Refusals) -> None:
        self._gate = gate
        self._refusals = refusals

    def admit(self, visitor: Visitor, caller: Caller) -> PeerSettings | Refusal:
        """Return the peer that a visitor is, or why he is refused, which is recorded already."""
        answer = self._gate.admit(visitor.ticket, caller)
        if isinstance(answer, Refusal):
            self._refusals.note(answer)
        return answer

    def leave(self, visitor: Visitor) -> None:
        """Count the connection out."""
        self._gate.leave(visitor.ticket)

    def refused(self, refusal: Refusal) -> None:
        """Record that somebody was not let do what he asked."""
        self._refusals.note(refusal)


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

    def __init__(
        self,
        settings: NodeSettings,
        sink: InstanceSink,
        observer: NodeObserver,
        clock: Clock = utc_now,
    ) -> None:
        self._settings = settings
        self.gate = Gate(settings)
        self._refusals = Refusals(observer, clock)
        self._loop = Loop("dicom-door")
        self._door = Door(settings, entrances(settings), self.gate, self._refusals, self._loop)
        keeper = GateKeeper(self.gate, self._refusals)
        self._receiver = Receiver(settings, keeper, sink, observer)
        self._door.hosts = (self._receiver,)
        self._stopped = threading.Event()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return next(iter(self._door.ports), self._settings.port or 0)

    @property
    def is_listening(self) -> bool:
        """Whether connections are taken."""
        return self._loop.is_running

    def start(self) -> None:
        """Listen.

        Raises
        ------
        ListenError
            If the address cannot be listened on.
        """
        settings = self._settings
        self._door.listen()
        self._refusals.start()
        self._loop.start()
        log.info("%s listens on %s:%d", settings.ae_title, settings.host, self.port)

    def serve_forever(self) -> None:
        """Listen until `stop` is called from elsewhere."""
        if not self.is_listening:
            self.start()
        self._stopped.wait()

    def stop(self) -> None:
        """Stop listening; objects that are just arriving are finished, within a bound."""
        if self._stopped.is_set():
            return
        closed = threading.Event()

        def close() -> None:
            self._door.close()
            closed.set()

        self._loop.call_soon(close)
        while self._loop.is_running and not closed.wait(0.1):
            continue
        self._receiver.stop()
        self._loop.stop()
        self._door.close()
        self._refusals.stop()
        self._stopped.set()
        log.info("%s has stopped", self._settings.ae_title)
