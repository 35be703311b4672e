"""The listening AE in several processes: the door here, the receivers in processes of their own.

Nothing here touches pynetdicom, so that the process of the door stays small.
"""

from collections.abc import Sequence

from core.clock import Clock, utc_now
from dicom_node.entrance.front import Front
from dicom_node.entrance.gate import Gate
from dicom_node.entrance.refusals import RefusalObserver
from dicom_node.errors import ReceiverError
from dicom_node.processes.crew import Crew, Launcher
from dicom_node.settings import NodeSettings, PeerSettings

_READY_WITHIN_S = 60.0
_LAST_WORDS_S = 3.0
"""Beyond `stop_timeout_s`: what a receiver needs to end once its associations have."""


class SpreadNode:
    """The DICOM side of the house, where one process is not enough.

    Parameters
    ----------
    settings
        The `dicom_node:` section of config.yaml.
    observer
        Who is told of refusals; everything else the receivers' observers are told.
    launch
        Starts the process of a receiver.
    """

    def __init__(
        self,
        settings: NodeSettings,
        observer: RefusalObserver,
        launch: Launcher,
        clock: Clock = utc_now,
    ) -> None:
        self._settings = settings
        self._front = Front(settings, observer, clock)
        front = self._front
        self.crew = Crew(settings.processes, launch, front.gate, front.refusals, front.loop)
        self._is_stopped = False

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
        """Listen, once the first receiver is ready.

        Raises
        ------
        ListenError
            If the address cannot be listened on.
        ReceiverError
            If a receiver cannot be started.
        """
        self._front.listen()
        self._front.run()
        self._front.call(self.crew.start)
        if not self.crew.wait_until_ready(_READY_WITHIN_S):
            self.stop()
            raise ReceiverError("no receiver is ready; its lines in the log say why")
        self._front.open(self.crew.members)

    def replace_peers(self, peers: Sequence[PeerSettings]) -> None:
        """Go by other peers from now on; those who are no peers any more end between messages."""
        self._front.call(lambda: self.crew.dismiss(self.gate.replace_peers(peers)))

    def stop(self) -> None:
        """Stop listening; objects that are just arriving are finished, within a bound."""
        if self._is_stopped:
            return
        self._is_stopped = True
        self._front.close()
        self._front.call(self.crew.hang_up)
        self.crew.wait_for_end(self._settings.stop_timeout_s + _LAST_WORDS_S)
        self._front.end()
