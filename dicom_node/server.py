"""The listening AE in one process: door, gate and receiver together."""

import threading
from collections.abc import Sequence

from core.clock import Clock, utc_now
from dicom_node.entrance.front import Front
from dicom_node.entrance.gate import Gate
from dicom_node.ports import InstanceSink, NodeObserver
from dicom_node.processes.doorkeeper import NearDoorkeeper
from dicom_node.receiver import Receiver
from dicom_node.settings import NodeSettings, PeerSettings


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
        self._front = Front(settings, observer, clock)
        keeper = NearDoorkeeper(self._front.gate, self._front.refusals)
        self._receiver = Receiver(settings, keeper, sink, observer)
        self._stopped = threading.Event()

    @property
    def gate(self) -> Gate:
        """Who may come in."""
        return self._front.gate

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._front.port

    @property
    def tls_port(self) -> int | None:
        """The port where TLS is spoken, if there is one."""
        return self._front.tls_port

    @property
    def is_listening(self) -> bool:
        """Whether connections are taken."""
        return self._front.is_listening

    def start(self) -> None:
        """Listen.

        Raises
        ------
        ListenError
            If the address cannot be listened on.
        """
        self._front.listen()
        self._front.run()
        self._front.open((self._receiver,))

    def replace_peers(self, peers: Sequence[PeerSettings]) -> None:
        """Go by other peers from now on; those who are no peers any more end between messages."""
        self._receiver.dismiss(self.gate.replace_peers(peers))

    def serve_forever(self) -> None:
        """Listen until `stop` is called from elsewhere."""
        if not self.is_listening:
            self.start()
        self._stopped.wait()

    def stop(self) -> None:
        """Stop listening; objects that are just arriving are finished, within a bound."""
        if self._stopped.is_set():
            return
        self._front.close()
        self._receiver.stop()
        self._front.end()
        self._stopped.set()
