"""The socket under an association: deadlines, and no waiting for delayed acknowledgements."""

import select
import socket
import ssl
import struct
import time
from contextlib import suppress

from pynetdicom.association import Association
from pynetdicom.transport import AddressInformation, AssociationSocket

_TICK = struct.pack("@ll", 1, 0)
"""The longest wait of one system call, as a `struct timeval`; deadlines are kept in between."""
_LONG_READ_BYTES = 4096
_DRAIN_BYTES = 64 * 1024


def readable_descriptors(sources: list[socket.socket], timeout_s: float) -> set[int]:
    """Return the descriptors that can be read, closed or broken ones included."""
    poll = select.poll()
    for source in sources:
        if source.fileno() >= 0:
            poll.register(source, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(timeout_s * 1000)}


class PromptSocket(AssociationSocket):  # type: ignore[misc]  # pynetdicom is untyped
    """A socket with deadlines, whose small messages and acknowledgements leave at once."""

    def __init__(
        self,
        assoc: Association,
        pdu_timeout_s: float,
        *,
        client_socket: socket.socket | None = None,
        address: AddressInformation | None = None,
    ) -> None:
        super().__init__(assoc, client_socket=client_socket, address=address)
        self._pdu_timeout_s = pdu_timeout_s
        self.received_bytes = 0
        """Grows with every read; how fast may be watched from any thread."""
        if client_socket is not None:
            self._make_prompt()

    def connect(self, primitive: object) -> None:
        """Connect as requestor."""
        super().connect(primitive)
        if self.socket is not None:
            self.assoc.was_connected = True
            self._make_prompt()

    @property
    def ready(self) -> bool:
        """Whether there is something to read; unlike `select`, for any number of descriptors."""
        if self.socket is None or not self._is_connected:
            return False
        if self.socket.fileno() < 0:
            self.event_queue.put("Evt17")
            return False
        return bool(readable_descriptors([self.socket], 0.0))

    def recv(self, nr_bytes: int) -> bytearray:
        """Read exactly so many bytes; errors as those of `fill`."""
        received = bytearray(nr_bytes)
        with memoryview(received) as target:
            self.fill(target, nr_bytes, time.monotonic() + self._pdu_timeout_s)
        return received

    def fill(self, target: memoryview, least: int, deadline: float) -> int:
        """Read at least so many bytes, and more of `target` if they are there; return how many.

        All that an association reads comes through here, and `received_bytes` counts it.

        Raises
        ------
        ConnectionError
            If the connection ends before.
        TimeoutError
            If the deadline passes before.
        """
        taken = 0
        while taken < least:
            is_long = least - taken >= _LONG_READ_BYTES
            receive = self._recv_whole if is_long and not self._is_encrypted else self._recv_into
            count = receive(target[taken:], deadline)
            if count == 0:
                raise ConnectionError("the connection ended inside of a PDU")
            taken += count
            self.received_bytes += count
            if taken < least and time.monotonic() > deadline:
                raise TimeoutError("a PDU takes too long")
        return taken

    @property
    def _is_encrypted(self) -> bool:
        return isinstance(self.socket, ssl.SSLSocket)

    def _recv_into(self, target: memoryview, deadline: float) -> int:
        """Read what there is, at least a byte; 0 at the end of the stream."""
        return self._receive(target, deadline, 0)

    def _recv_whole(self, target: memoryview, deadline: float) -> int:
        """Read until `target` is full, a tick is over or the stream ends."""
        return self._receive(target, deadline, socket.MSG_WAITALL)

    def _receive(self, target: memoryview, deadline: float, flags: int) -> int:
        if self.socket is None:
            raise ConnectionError("the socket is closed")
        while True:
            try:
                return int(self.socket.recv_into(target, 0, flags))
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError("a PDU takes too long") from None

    def drain(self) -> bool:
        """Throw away what has arrived; False at the end of the stream."""
        return bool(self.socket is not None and self.socket.recv(_DRAIN_BYTES))

    def send(self, bytestream: bytes) -> None:
        """Send all of it, or report the connection as lost."""
        rest = memoryview(bytestream)
        deadline = time.monotonic() + self._pdu_timeout_s
        try:
            while rest and self.socket is not None:
                try:
                    rest = rest[self.socket.send(rest) :]
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise
            self._acknowledge_at_once()
        except OSError:
            self.event_queue.put("Evt17")

    def cut(self) -> None:
        """End the connection from another thread: the reader sees its end and does the rest."""
        connection = self.socket
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _shutdown_socket(self) -> None:
        """Close the connection, also one whose other end has gone (pynetdicom leaks that one)."""
        connection = self.socket
        if connection is None:
            return
        self.cut()
        connection.close()

    def _make_prompt(self) -> None:
        if self.socket is None:
            return
        # A blocking descriptor with a tick of its own: Python would poll before each call.
        self.socket.settimeout(None)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TICK)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TICK)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._acknowledge_at_once()

    def _acknowledge_at_once(self) -> None:
        """Let acknowledgements not wait for an answer of ours; Linux forgets it when we send."""
        if self.socket is not None and hasattr(socket, "TCP_QUICKACK"):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
