"""Presentation data values: the pieces in which messages travel. Source: PS3.8 9.3.5, Annex E."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_PDV_HEADER = struct.Struct(">LB")


@dataclass(frozen=True)
class Fragment:
    """One presentation data value."""

    context_id: int
    is_command: bool
    is_last: bool
    data: memoryview


class ProtocolError(ValueError):
    """What the peer sends is not the protocol; the association is aborted."""


class Fragments:
    """The body of a P-DATA-TF PDU; stands in for pynetdicom's PDU and its primitive."""

    def __init__(self, body: bytearray) -> None:
        self._body = memoryview(body)

    def to_primitive(self) -> "Fragments":
        """Return itself; the state machine asks for it."""
        return self

    def __iter__(self) -> Iterator[Fragment]:
        position, size = 0, len(self._body)
        while position < size:
            if size - position < 6:
                raise ProtocolError("a presentation data value is cut off")
            length, context_id = _PDV_HEADER.unpack_from(self._body, position)
            end = position + 4 + length
            if length < 2 or end > size:
                raise ProtocolError("a presentation data value has a wrong length")
            control = self._body[position + 5]
            yield Fragment(
                context_id, bool(control & 1), bool(control & 2), self._body[position + 6 : end]
            )
            position = end
