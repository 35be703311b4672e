"""The door: owns the listening sockets, and lets in whoever asks for an association in time.

All of it is one thread's work and never waits for anybody: a connection that is silent, or slow
with its request, costs a descriptor here and nothing anywhere else. Only once the whole
A-ASSOCIATE-RQ has arrived is the connection handed to a receiver, unread.
"""

import errno
import fcntl
import logging
import select
import socket
import struct
import termios
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from dicom_node.entrance.door_pdu import Opening
from dicom_node.entrance.gate import Gate
from dicom_node.entrance.loop import Loop
from dicom_node.entrance.refusals import Refusals
from dicom_node.entrance.visitor import Host, Visitor
from dicom_node.errors import ListenError
from dicom_node.ports import Refusal
from dicom_node.settings import NodeSettings

log = logging.getLogger(__name__)

_BACKLOG = 128
_ACCEPTS_AT_ONCE = 32
_LOOK_AGAIN_S = 0.05
_BREATH_S = 0.5
_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True)
class Entrance:
    """One address to listen on, and what a connection there has to begin with."""

    name: str
    """The setting that it comes from, for messages."""
    host: str
    port: int
    opening: Opening


@dataclass
class _Waiting:
    """A connection that has not said all of its request yet."""

    connection: socket.socket
    visitor: Visitor
    entrance: Entrance
    wanted: int = field(default=0)
    """How many bytes the receiver shall find; 0 while we do not know."""


class Door:
    """Listens, and hands those who may come in to the host with the fewest guests.

    Source: PS3.8 9.1.4, 9.2
    """

    def __init__(
        self,
        settings: NodeSettings,
        entrances: Sequence[Entrance],
        gate: Gate,
        refusals: Refusals,
        loop: Loop,
    ) -> None:
        self._settings = settings
        self._entrances = entrances
        self._gate = gate
        self._refusals = refusals
        self._loop = loop
        self.hosts: Sequence[Host] = ()
        """Who takes the guests; those that are not open are passed by."""
        self._listening: list[tuple[Entrance, socket.socket]] = []
        self._waiting: dict[int, _Waiting] = {}

    @property
    def ports(self) -> list[int]:
        """The ports that are listened on, in the order of the entrances."""
        return [listener.getsockname()[1] for _, listener in self._listening]

    def listen(self) -> None:
        """Take the addresses; connections wait in the kernel until `open`.

        Raises
        ------
        ListenError
            If one cannot be listened on; then none is.
        """
        try:
            for entrance in self._entrances:
                self._listening.append((entrance, _listener(entrance)))
        except ListenError:
            self._stop_listening()
            raise

    def open(self) -> None:
        """Accept connections; in the loop's thread."""
        for entrance, listener in self._listening:
            self._loop.watch(listener, partial(self._accept, entrance, listener))

    def close(self) -> None:
        """Listen no more, and turn away those who have not come in; in the loop's thread."""
        self._stop_listening()
        for waiting in list(self._waiting.values()):
            self._turn_away(waiting)

    def _stop_listening(self) -> None:
        for _, listener in self._listening:
            self._loop.forget(listener)
            listener.close()
        self._listening.clear()

    def _accept(self, entrance: Entrance, listener: socket.socket) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                connection, address = listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:
                if error.errno not in _OUT_OF_DESCRIPTORS:
                    raise
                self._take_breath(entrance, listener)
                return
            self._greet(entrance, connection, address)

    def _take_breath(self, entrance: Entrance, listener: socket.socket) -> None:
        """Free a descriptor and accept again in a while: the loop must not spin."""
        log.error("no descriptor is left for a connection; raise the limit of open files")
        self._make_room()
        self._loop.forget(listener)

        def resume() -> None:
            if listener.fileno() >= 0:
                self._loop.watch(listener, partial(self._accept, entrance, listener))

        self._loop.call_later(_BREATH_S, resume)

    def _greet(
        self, entrance: Entrance, connection: socket.socket, address: tuple[str, int]
    ) -> None:
        ticket = self._gate.enter(address[0])
        if isinstance(ticket, Refusal):
            self._refusals.note(ticket)
            connection.close()
            return
        if len(self._waiting) >= self._settings.max_waiting_connections:
            self._make_room()
        visitor = Visitor(
            ticket=ticket,
            entrance=entrance.name,
            address=address[0],
            port=address[1],
            our_address=connection.getsockname()[0],
            our_port=connection.getsockname()[1],
            deadline=time.monotonic() + self._settings.request_timeout_s,
        )
        waiting = _Waiting(connection, visitor, entrance)
        connection.setblocking(False)
        self._waiting[ticket] = waiting
        self._wait_for(waiting, entrance.opening.head_bytes)
        self._loop.watch(connection, partial(self._look, waiting))
        self._loop.call_later(self._settings.request_timeout_s, partial(self._expire, waiting))

    def _make_room(self) -> None:
        """Turn away who has waited longest, of the address that has most connections waiting."""
        if not self._waiting:
            return
        crowd = Counter(one.visitor.address for one in self._waiting.values())
        (address, _), *_ = crowd.most_common(1)
        self._turn_away(
            next(one for one in self._waiting.values() if one.visitor.address == address)
        )

    def _look(self, waiting: _Waiting) -> None:
        """See whether enough has arrived, without taking it."""
        opening = waiting.entrance.opening
        try:
            head = waiting.connection.recv(opening.head_bytes, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            head = b""
        if not head or not opening.may_begin_with(head):
            self._dismiss(waiting, head)
            return
        there = _bytes_there(waiting.connection)
        if len(head) == opening.head_bytes:
            wanted = opening.wanted_bytes(head)
            if there >= wanted:
                self._hand_over(waiting)
                return
            if waiting.wanted != wanted:
                waiting.wanted = wanted
                self._wait_for(waiting, wanted)
                return
        if _has_hung_up(waiting.connection):
            self._turn_away(waiting)
        else:  # the kernel wakes us too early when it is short of memory: do not spin
            self._look_later(waiting)

    def _look_later(self, waiting: _Waiting) -> None:
        self._loop.forget(waiting.connection)

        def look() -> None:
            if waiting.visitor.ticket in self._waiting:
                self._loop.watch(waiting.connection, partial(self._look, waiting))

        self._loop.call_later(_LOOK_AGAIN_S, look)

    def _hand_over(self, waiting: _Waiting) -> None:
        host = min((h for h in self.hosts if h.is_open), key=lambda h: h.guests, default=None)
        if host is None:
            self._look_later(waiting)  # they start again; the deadline stays
            return
        refusal = self._gate.seat(waiting.visitor.ticket)
        if refusal is not None:
            self._refusals.note(refusal)
            self._say(waiting, waiting.entrance.opening.not_now)
            self._turn_away(waiting)
            return
        self._release(waiting)
        self._wait_for(waiting, 1)
        host.take(waiting.connection, waiting.visitor)

    def _expire(self, waiting: _Waiting) -> None:
        if waiting.visitor.ticket not in self._waiting:
            return
        try:
            head = waiting.connection.recv(
                waiting.entrance.opening.head_bytes, socket.MSG_PEEK | socket.MSG_DONTWAIT
            )
        except OSError:
            head = b""
        self._dismiss(waiting, head)

    def _dismiss(self, waiting: _Waiting, head: bytes) -> None:
        """Turn away, and record who began with something else than DICOM."""
        if head and not waiting.entrance.opening.may_begin_with(head):
            self._refusals.note(
                Refusal(
                    reason=waiting.entrance.opening.stranger,
                    address=waiting.visitor.address,
                    calling_ae_title="",
                    called_ae_title="",
                    remedy=f"Keep other protocols off {waiting.entrance.name}",
                )
            )
            self._say(waiting, waiting.entrance.opening.abort)
        self._turn_away(waiting)

    def _say(self, waiting: _Waiting, pdu: bytes) -> None:
        """Send a last word; what is unread is taken first, or the kernel would reset."""
        with suppress(OSError):
            waiting.connection.recv(_bytes_there(waiting.connection) or 1)
            waiting.connection.send(pdu)
            waiting.connection.shutdown(socket.SHUT_WR)

    def _turn_away(self, waiting: _Waiting) -> None:
        self._release(waiting)
        waiting.connection.close()
        self._gate.leave(waiting.visitor.ticket)

    def _release(self, waiting: _Waiting) -> None:
        self._loop.forget(waiting.connection)
        self._waiting.pop(waiting.visitor.ticket, None)

    @staticmethod
    def _wait_for(waiting: _Waiting, count: int) -> None:
        """Have the kernel wake us only once so much has arrived. Source: socket(7)."""
        with suppress(OSError):
            waiting.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)


def _listener(entrance: Entrance) -> socket.socket:
    family = socket.AF_INET6 if ":" in entrance.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((entrance.host, entrance.port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ListenError(
            f"{entrance.host}:{entrance.port} cannot be listened on ({error.strerror})",
            remedy=f"Change {entrance.name} or dicom_node.host, or stop what holds the port",
        ) from None
    return listener


def _bytes_there(connection: socket.socket) -> int:
    answer = fcntl.ioctl(connection.fileno(), termios.FIONREAD, b"\0" * 4)
    return int(struct.unpack("i", answer)[0])


def _has_hung_up(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return bool(poll.poll(0))
