"""What of a node stands before its receivers: gate, door and the telling of refusals."""

import logging
import threading
from collections.abc import Sequence

from core.clock import Clock
from dicom_node.entrance.door import Door, Entrance
from dicom_node.entrance.door_pdu import AssociateRequest, ClientHello
from dicom_node.entrance.gate import Gate
from dicom_node.entrance.loop import Action, Loop
from dicom_node.entrance.refusals import RefusalObserver, Refusals
from dicom_node.entrance.visitor import TLS_ENTRANCE, Host
from dicom_node.secure.tls import listening_context
from dicom_node.settings import NodeSettings

log = logging.getLogger(__name__)


def entrances(settings: NodeSettings) -> list[Entrance]:
    """Return where a node listens."""
    found = []
    if settings.port is not None:
        found.append(Entrance("dicom_node.port", settings.host, settings.port, AssociateRequest()))
    if settings.tls is not None:
        found.append(Entrance(TLS_ENTRANCE, settings.host, settings.tls.port, ClientHello()))
    return found


class Front:
    """Gate and door, and the one thread that both need."""

    def __init__(self, settings: NodeSettings, observer: RefusalObserver, clock: Clock) -> None:
        self._settings = settings
        self.gate = Gate(settings)
        self.refusals = Refusals(observer, clock)
        self.loop = Loop("dicom-door")
        self._door = Door(settings, entrances(settings), self.gate, self.refusals, self.loop)

    @property
    def port(self) -> int:
        """The first port that is listened on."""
        return next(iter(self._door.ports), self._settings.port or 0)

    @property
    def tls_port(self) -> int | None:
        """The port where TLS is spoken, if there is one."""
        return None if self._settings.tls is None else next(reversed(self._door.ports), None)

    @property
    def is_listening(self) -> bool:
        """Whether connections are taken."""
        return self.loop.is_running

    def listen(self) -> None:
        """Take the addresses; who connects now waits until `open`.

        Raises
        ------
        ListenError
            If an address cannot be listened on.
        TlsFileError
            If TLS should be spoken and a file for it cannot be used.
        """
        if self._settings.tls is not None:
            listening_context(self._settings.tls)
        self._door.listen()

    def run(self) -> None:
        """Start the threads."""
        self.refusals.start()
        self.loop.start()

    def open(self, hosts: Sequence[Host]) -> None:
        """Let in whoever waits, to be served by `hosts`."""
        self._door.hosts = hosts
        self.call(self._door.open)
        settings = self._settings
        ports = " and ".join(map(str, self._door.ports))
        log.info("%s listens on %s:%s", settings.ae_title, settings.host, ports)

    def close(self) -> None:
        """Let nobody in any more."""
        self.call(self._door.close)

    def end(self) -> None:
        """End the threads, and let go of everything."""
        self.loop.stop()
        self._door.close()
        self.refusals.stop()
        log.info("%s has stopped", self._settings.ae_title)

    def call(self, action: Action) -> None:
        """Do something in the loop's thread, and wait for it; nothing if that has ended."""
        done = threading.Event()

        def act() -> None:
            try:
                action()
            finally:
                done.set()

        self.loop.call_soon(act)
        while self.loop.is_running and not done.wait(0.1):
            continue
