"""Messages over a socket: a small JSON header and a payload of any size, each with its length.

Both sides are ours and on one machine; still every length is bounded, and every wait ends.
"""

import json
import select
import socket
import struct
import time
from collections.abc import Iterable
from typing import Any

Header = dict[str, Any]
Buffer = bytes | bytearray | memoryview

_LENGTHS = struct.Struct(">IQ")
MAX_HEADER_BYTES = 64 * 1024 * 1024
CHUNK_BYTES = 256 * 1024


class ChannelClosedError(Exception):
    """The other side is gone."""


class ChannelTimeoutError(Exception):
    """The other side did not answer in time."""


class Channel:
    """One end of a connection.

    A receiver takes the header first and then exactly its payload, so that a payload need not be
    held where it is only passed on.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._pending = 0

    def fileno(self) -> int:
        """Return the descriptor, for `select`."""
        return self._connection.fileno()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def check_open(self) -> None:
        """Raise ChannelClosedError if the other side is gone; takes nothing of what it sent."""
        readiness = select.poll()
        readiness.register(self._connection, select.POLLIN)
        try:
            if readiness.poll(0) and not self._connection.recv(1, socket.MSG_PEEK):
                raise ChannelClosedError
        except OSError:
            raise ChannelClosedError from None

    def send(
        self, header: Header, payload: Buffer = b"", *, timeout_s: float | None = None
    ) -> None:
        """Send one message."""
        self.send_pieces(header, (payload,), memoryview(payload).nbytes, timeout_s=timeout_s)

    def send_pieces(
        self,
        header: Header,
        pieces: Iterable[Buffer],
        size: int,
        *,
        timeout_s: float | None = None,
    ) -> None:
        """Send one message whose payload of `size` bytes comes in pieces."""
        encoded = json.dumps(header, separators=(",", ":")).encode()
        self._write(_LENGTHS.pack(len(encoded), size) + encoded, timeout_s)
        left = size
        for piece in pieces:
            with memoryview(piece).cast("B") as view:
                left -= len(view)
                if left < 0:
                    raise ValueError("a payload is longer than announced")
                for start in range(0, len(view), CHUNK_BYTES):
                    self._write(view[start : start + CHUNK_BYTES], timeout_s)
        if left:
            raise ValueError("a payload is shorter than announced")

    def receive(self, *, timeout_s: float | None = None) -> tuple[Header, int]:
        """Return the next header and the size of its payload, which must be taken next."""
        if self._pending:
            raise ValueError("the payload of the last message was not taken")
        deadline = _deadline(timeout_s)
        lengths = self._read(_LENGTHS.size, deadline)
        header_bytes, self._pending = _LENGTHS.unpack(lengths)
        if header_bytes > MAX_HEADER_BYTES:
            raise ChannelClosedError
        try:
            header = json.loads(bytes(self._read(header_bytes, deadline)))
        except (ValueError, RecursionError):
            raise ChannelClosedError from None
        if not isinstance(header, dict):
            raise ChannelClosedError
        return header, self._pending

    def payload(self, *, limit: int, timeout_s: float | None = None) -> bytearray:
        """Return the payload of the message that was just received, if it is within `limit`."""
        size, self._pending = self._pending, 0
        if size > limit:
            raise ChannelClosedError
        return self._read(size, _deadline(timeout_s))

    def payload_pieces(self, *, timeout_s: float | None = None) -> Iterable[bytes]:
        """Yield that payload as it comes; `timeout_s` is for each piece."""
        while self._pending:
            self._arm(_deadline(timeout_s))
            piece = self._receive_some(min(self._pending, CHUNK_BYTES))
            self._pending -= len(piece)
            yield piece

    def drain(self, *, timeout_s: float | None = None) -> None:
        """Throw away what is left of that payload."""
        for _ in self.payload_pieces(timeout_s=timeout_s):
            pass

    def _write(self, data: Buffer, timeout_s: float | None) -> None:
        self._arm(_deadline(timeout_s))
        try:
            self._connection.sendall(data)
        except TimeoutError:
            raise ChannelTimeoutError from None
        except OSError:
            raise ChannelClosedError from None

    def _read(self, size: int, deadline: float | None) -> bytearray:
        data = bytearray(size)
        with memoryview(data) as view:
            filled = 0
            while filled < size:
                self._arm(deadline)
                filled += self._receive_into(view[filled:])
        return data

    def _receive_into(self, view: memoryview) -> int:
        try:
            count = self._connection.recv_into(view)
        except TimeoutError:
            raise ChannelTimeoutError from None
        except OSError:
            raise ChannelClosedError from None
        if count == 0:
            raise ChannelClosedError
        return count

    def _receive_some(self, size: int) -> bytes:
        try:
            piece = self._connection.recv(size)
        except TimeoutError:
            raise ChannelTimeoutError from None
        except OSError:
            raise ChannelClosedError from None
        if not piece:
            raise ChannelClosedError
        return piece

    def _arm(self, deadline: float | None) -> None:
        if deadline is None:
            self._connection.settimeout(None)
            return
        left = deadline - time.monotonic()
        if left <= 0:
            raise ChannelTimeoutError
        self._connection.settimeout(left)


def _deadline(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s
