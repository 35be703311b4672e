"""How the door and a receiver in another process talk: small messages, and connections in them.

A UNIX socket keeps the messages apart and carries open descriptors. Its end is a message, too: a
door that stops, or dies, ends its receivers; a receiver that ends gives back all it was counted
for. Source: unix(7), SOCK_SEQPACKET and SCM_RIGHTS
"""

import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import TypeAdapter

from dicom_node.entrance.gate import Caller
from dicom_node.entrance.visitor import Visitor
from dicom_node.ports import Refusal
from dicom_node.settings import PeerSettings

_LONGEST_MESSAGE = 128 * 1024


@dataclass(frozen=True)
class Ready:
    """To the door: connections can be taken."""


@dataclass(frozen=True)
class Closing:
    """To the door: no more connections can be taken."""


@dataclass(frozen=True)
class Ping:
    """To the receiver: say that you are there."""


@dataclass(frozen=True)
class Pong:
    """To the door: here."""


@dataclass(frozen=True)
class Handed:
    """To the receiver: serve this connection, which comes along."""

    visitor: Visitor


@dataclass(frozen=True)
class Question:
    """To the door: asks whether this visitor may have an association."""

    number: int
    ticket: int
    caller: Caller


@dataclass(frozen=True)
class Verdict:
    """To the receiver: who the visitor is, or why he is refused."""

    number: int
    peer: PeerSettings | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True)
class Left:
    """To the door: this connection has ended."""

    ticket: int


@dataclass(frozen=True)
class Refused:
    """To the door: somebody was not let do what he asked."""

    refusal: Refusal


@dataclass(frozen=True)
class Dismissed:
    """To the receiver: these associations are those of a peer no more."""

    tickets: frozenset[int]


Message = Ready | Closing | Ping | Pong | Handed | Question | Verdict | Left | Refused | Dismissed

_KINDS: dict[str, TypeAdapter[Any]] = {
    kind.__name__: TypeAdapter(kind) for kind in get_args(Message)
}


class Channel:
    """One end of the line between the door and a receiver."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end

    def send(self, message: Message, connection: socket.socket | None = None) -> None:
        """Send one message; a connection that goes along stays open on our side.

        Raises
        ------
        OSError
            If the other end is gone, or (where we must not wait) does not listen.
        """
        kind = type(message).__name__
        data = kind.encode() + b" " + _KINDS[kind].dump_json(message)
        along = [] if connection is None else [connection.fileno()]
        socket.send_fds(self.socket, [data], along, socket.MSG_NOSIGNAL)

    def receive(self) -> tuple[Message, socket.socket | None] | None:
        """Return the next message and what came along; None at the end."""
        data, descriptors, _, _ = socket.recv_fds(
            self.socket, _LONGEST_MESSAGE, 1, socket.MSG_CMSG_CLOEXEC
        )
        if not data:
            return None
        connection = socket.socket(fileno=descriptors[0]) if descriptors else None
        kind, _, values = data.partition(b" ")
        message: Message = _KINDS[kind.decode()].validate_json(values)
        return message, connection

    def end_sending(self) -> None:
        """Tell the other end that nothing more comes."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def end_receiving(self) -> None:
        """Have our own `receive` return None from now on."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


def channel_pair() -> tuple[Channel, Channel]:
    """Return both ends of a new line."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(one), Channel(other)
