"""What door and receivers tell each other of a connection."""

import socket
import time
from dataclasses import dataclass
from typing import Protocol

from dicom_node.entrance.gate import Caller
from dicom_node.ports import Refusal
from dicom_node.settings import PeerSettings

TLS_ENTRANCE = "dicom_node.tls.port"
"""The entrance behind which a connection begins with a TLS handshake."""


@dataclass(frozen=True)
class Visitor:
    """One connection that somebody opened to us."""

    ticket: int
    """What the gate counts it by."""
    entrance: str
    """Which of our listening sockets it came through."""
    address: str
    port: int
    our_address: str
    our_port: int
    deadline: float
    """When it must have asked for an association, by the machine's monotonic clock."""

    @property
    def is_secure(self) -> bool:
        """Whether it came to the port where TLS is spoken, and only that."""
        return self.entrance == TLS_ENTRANCE

    @property
    def patience_s(self) -> float:
        """How much of the time to ask is left."""
        return max(0.01, self.deadline - time.monotonic())


class Host(Protocol):
    """Takes the connections that the door lets in; called in the door's thread."""

    @property
    def is_open(self) -> bool:
        """Whether it takes connections now."""

    @property
    def guests(self) -> int:
        """How many it has."""

    def take(self, connection: socket.socket, visitor: Visitor) -> None:
        """Serve a connection, or close it and count it out."""


class Doorkeeper(Protocol):
    """Whom a receiver asks; called in the threads of the associations."""

    def admit(self, visitor: Visitor, caller: Caller) -> PeerSettings | Refusal:
        """Return the peer that a visitor is, or why he is refused, which is recorded already."""

    def leave(self, visitor: Visitor) -> None:
        """Note that the connection has ended."""

    def refused(self, refusal: Refusal) -> None:
        """Record that somebody was not let do what he asked."""
