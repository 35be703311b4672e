"""What arrives on a connection: PDUs, and in P-DATA-TF the values that they carry.

One buffer, one thread, no queue. The data values of one object are gathered side by side, straight
from the socket, and handed on in large pieces: a system call and no copy for each PDU, and as few
calls as possible for those who digest, seal and write.

Source: PS3.8 9.3.1, 9.3.5, Annex E
"""

import struct
import time
from typing import Protocol

from dicom_node.wire.fragments import ProtocolError

ROOM_BYTES = 1024 * 1024
"""The longest piece that is handed on. Pages of the buffer that no object needed cost nothing."""

_PDU = struct.Struct(">BBL")
_VALUE = struct.Struct(">LBB")
_NEXT_HEADERS = _PDU.size + _VALUE.size
"""What surely follows a data value that is not the last one."""
_AHEAD_BYTES = 64 * 1024
"""So much is read at once where we do not know yet what it is: a small object, command and all."""


class Source(Protocol):
    """A connection."""

    def fill(self, target: memoryview, least: int, deadline: float) -> int:
        """Read into `target` at least so many bytes, and more if they are there; return how many.

        Raises OSError if the connection ends or the deadline passes before.
        """


class Values(Protocol):
    """Takes the presentation data values of one association; each may raise `ProtocolError`."""

    def take_command(self, context_id: int, data: bytes, *, is_last: bool) -> None:
        """Take a piece of a command set."""

    def expect_data(self, context_id: int, size: int) -> None:
        """Agree that a data value of so many bytes comes next."""

    def take_data(self, data: memoryview, *, is_last: bool) -> None:
        """Take the next bytes of a data set, from one or many values; they are lent, not given."""


class Inflow:
    """Everything that has arrived and is not handed on yet."""

    def __init__(self, source: Source, values: Values, *, pdu_timeout_s: float) -> None:
        self._source = source
        self._values = values
        self._pdu_timeout_s = pdu_timeout_s
        self._deadline = 0.0
        self._buffer = bytearray(ROOM_BYTES)
        self._view = memoryview(self._buffer)
        self._first = self._last = 0
        """Where the gathered data values begin and end."""
        self._start = self._end = 0
        """Where the bytes begin and end that nobody has looked at; never before `_last`."""

    @property
    def has_unread(self) -> bool:
        """Whether bytes have been read that belong to the next PDU."""
        return self._start < self._end

    def header(self) -> tuple[int, int]:
        """Return type and length of the next PDU; from its first byte on it is being timed."""
        self._deadline = time.monotonic() + self._pdu_timeout_s
        self._need(_PDU.size)
        kind, _, length = _PDU.unpack_from(self._buffer, self._start)
        self._start += _PDU.size
        return kind, length

    def body(self, length: int) -> bytearray:
        """Return all of a PDU but its header."""
        body = bytearray(length)
        there = min(length, self._end - self._start)
        body[:there] = self._view[self._start : self._start + there]
        self._start += there
        with memoryview(body) as rest:
            while there < length:
                there += self._source.fill(rest[there:], length - there, self._deadline)
        return body

    def values(self, length: int) -> None:
        """Hand on the values of a P-DATA-TF PDU.

        Raises
        ------
        ProtocolError
            If they are none, or what they say is not the protocol.
        """
        while length:
            if length < _VALUE.size:
                raise ProtocolError("a presentation data value is cut off")
            self._need(_VALUE.size)
            size, context_id, control = _VALUE.unpack_from(self._buffer, self._start)
            if size < 2 or size + 4 > length:
                raise ProtocolError("a presentation data value has a wrong length")
            self._start += _VALUE.size
            length -= size + 4
            if control & 1:
                command = bytes(self.body(size - 2))
                self._values.take_command(context_id, command, is_last=bool(control & 2))
            else:
                self._values.expect_data(context_id, size - 2)
                self._data(size - 2, is_last=bool(control & 2))

    def _data(self, size: int, *, is_last: bool) -> None:
        if self._first == self._last:
            self._first = self._last = self._start
        while True:
            size -= self._gather(size)
            if size == 0:
                break
            want = size if is_last else size + _NEXT_HEADERS
            if ROOM_BYTES - self._last < min(want, _AHEAD_BYTES):
                self._hand_on(is_last=False)
            target = self._view[self._last : self._last + want]
            taken = self._source.fill(target, min(size, len(target)), self._deadline)
            self._start, self._end = self._last, self._last + taken
        if is_last:
            self._hand_on(is_last=True)

    def _gather(self, size: int) -> int:
        """Put unread bytes of a data value beside those that were gathered; return how many."""
        taken = min(size, self._end - self._start)
        if self._last != self._start:
            self._view[self._last : self._last + taken] = self._view[
                self._start : self._start + taken
            ]
        self._start += taken
        self._last += taken
        return taken

    def _hand_on(self, *, is_last: bool) -> None:
        started = time.monotonic()
        gathered = self._view[self._first : self._last]
        self._first = self._last = 0
        self._values.take_data(gathered, is_last=is_last)
        self._deadline += time.monotonic() - started  # our own work is not the peer's delay

    def _need(self, size: int) -> None:
        missing = size - (self._end - self._start)
        if missing > 0:
            self._read(missing)

    def _read(self, least: int) -> None:
        """Read at least so few bytes more, and what else has arrived."""
        if self._last + 2 * _AHEAD_BYTES > ROOM_BYTES:
            self._hand_on(is_last=False)
        place = self._last if self._first < self._last else 0
        unread = self._end - self._start
        self._view[place : place + unread] = self._view[self._start : self._end]
        self._start, self._end = place, place + unread
        target = self._view[self._end : self._end + _AHEAD_BYTES]
        self._end += self._source.fill(target, least, self._deadline)
