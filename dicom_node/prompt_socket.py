"""The socket under an association: deadlines, and no waiting for delayed acknowledgements."""

import select
import socket
import time
from contextlib import suppress

from pynetdicom.association import Association
from pynetdicom.transport import AddressInformation, AssociationSocket

_READ_TICK_S = 1.0
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
        """Read exactly so many bytes, or fewer if the connection ends; TimeoutError if too slow."""
        received = bytearray(nr_bytes)
        rest = memoryview(received)
        deadline = time.monotonic() + self._pdu_timeout_s
        while rest:
            taken = self._recv_into(rest, deadline)
            if taken == 0:
                missing = len(rest)
                rest.release()
                return received[: nr_bytes - missing]
            rest = rest[taken:]
        return received

    def _recv_into(self, target: memoryview, deadline: float) -> int:
        if self.socket is None:
            raise ConnectionError("the socket is closed")
        while True:
            try:
                taken: int = self.socket.recv_into(target)
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise
                continue
            # Linux falls back to delayed acknowledgements by itself, so arm it after each read.
            self._acknowledge_at_once()
            return taken

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
                except TimeoutError:
                    if time.monotonic() > deadline:
                        raise
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
        if self.socket is not None:
            self.socket.settimeout(_READ_TICK_S)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._acknowledge_at_once()

    def _acknowledge_at_once(self) -> None:
        if self.socket is not None and hasattr(socket, "TCP_QUICKACK"):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
