"""A receiver in a process of its own, at the end of a channel from the door."""

import logging
import socket

from dicom_node.entrance.visitor import Visitor
from dicom_node.ports import InstanceSink, NodeObserver
from dicom_node.processes.channel import (
    Channel,
    Closing,
    Dismissed,
    Handed,
    Message,
    Ping,
    Pong,
    Ready,
    Verdict,
)
from dicom_node.processes.doorkeeper import FarDoorkeeper
from dicom_node.receiver import Receiver
from dicom_node.settings import NodeSettings

log = logging.getLogger(__name__)


class Branch:
    """Serves what comes through the channel until the door closes, or somebody calls `stop`."""

    def __init__(
        self,
        settings: NodeSettings,
        channel: Channel,
        sink: InstanceSink,
        observer: NodeObserver,
    ) -> None:
        self._channel = channel
        self._doorkeeper = FarDoorkeeper(channel)
        self._receiver = Receiver(settings, self._doorkeeper, sink, observer)

    def serve(self) -> None:
        """Serve; at the end objects that are just arriving are finished, within a bound."""
        self._say(Ready())
        while True:
            heard = self._next()
            if heard is None:
                break
            self._heed(*heard)
        self._doorkeeper.gone()
        self._receiver.stop()
        self._channel.close()

    def stop(self) -> None:
        """Have `serve` end; safe to call from a signal handler."""
        self._say(Closing())
        self._channel.end_receiving()

    def _next(self) -> tuple[Message, socket.socket | None] | None:
        try:
            return self._channel.receive()
        except OSError:
            return None

    def _heed(self, message: Message, connection: socket.socket | None) -> None:
        if isinstance(message, Handed):
            self._take(message.visitor, connection)
        elif isinstance(message, Verdict):
            self._doorkeeper.hear(message)
        elif isinstance(message, Ping):
            self._say(Pong())
        elif isinstance(message, Dismissed):
            self._receiver.dismiss(message.tickets)

    def _take(self, visitor: Visitor, connection: socket.socket | None) -> None:
        if connection is not None:
            self._receiver.take(connection, visitor)
            return
        # The kernel drops a descriptor that we have no room for, and closes it.
        log.error("no descriptor is left for a connection; raise the limit of open files")
        self._doorkeeper.leave(visitor)

    def _say(self, message: Message) -> None:
        try:
            self._channel.send(message)
        except OSError:
            log.warning("the door is gone")
