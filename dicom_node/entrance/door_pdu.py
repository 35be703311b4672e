"""What the door knows of PDUs: how a request begins, and the two short answers it gives itself."""

import struct
from dataclasses import dataclass
from typing import Protocol

from dicom_node.ports import RefusalReason

LONGEST_REQUEST = 1024 * 1024
"""128 presentation contexts with 60 transfer syntaxes of 64 bytes each need less."""

_SEEN_AT_THE_DOOR = 64 * 1024
"""Of a longer request the rest is read by its receiver, under the same deadline."""

_HEADER = struct.Struct(">BBL")
_ASSOCIATE_RQ = 0x01

NOT_NOW = bytes((0x03, 0, 0, 0, 0, 4, 0, 2, 3, 2))
"""A-ASSOCIATE-RJ: transient, by the presentation layer, local limit exceeded.

Source: PS3.8 Table 9-21
"""

ABORT = bytes((0x07, 0, 0, 0, 0, 4, 0, 0, 0, 0))
"""A-ABORT by the service user, as PS3.8 Table 9-10 has it for what is no PDU (AA-1).

Source: PS3.8 Table 9-26
"""


_RECORD = struct.Struct(">BBBH")
_HANDSHAKE, _MAJOR_VERSION = 0x16, 0x03


class Opening(Protocol):
    """What the first bytes of a connection have to be."""

    @property
    def stranger(self) -> RefusalReason:
        """What somebody is who begins otherwise."""

    @property
    def abort(self) -> bytes:
        """What he is told."""

    @property
    def not_now(self) -> bytes:
        """What somebody is told for whom there is no room."""

    @property
    def head_bytes(self) -> int:
        """How many bytes decide."""

    def may_begin_with(self, head: bytes) -> bool:
        """Whether bytes, of which there may be fewer than decide, can be the beginning."""

    def wanted_bytes(self, head: bytes) -> int:
        """Return how many bytes, head included, shall be there before a thread is spent."""


@dataclass(frozen=True)
class AssociateRequest:
    """On a port without TLS a connection begins with an A-ASSOCIATE-RQ. Source: PS3.8 9.3.2."""

    head_bytes: int = _HEADER.size
    stranger: RefusalReason = RefusalReason.NOT_DICOM
    abort: bytes = ABORT
    not_now: bytes = NOT_NOW

    def may_begin_with(self, head: bytes) -> bool:
        """Whether this can be the header of a request of a sane length."""
        if head[:1] != bytes((_ASSOCIATE_RQ,)):
            return False
        return len(head) < _HEADER.size or self._length(head) <= LONGEST_REQUEST

    def wanted_bytes(self, head: bytes) -> int:
        """Return the length of the whole PDU, as far as the door waits for it."""
        return min(_HEADER.size + self._length(head), _SEEN_AT_THE_DOOR)

    @staticmethod
    def _length(head: bytes) -> int:
        return int(_HEADER.unpack(head[: _HEADER.size])[2])


@dataclass(frozen=True)
class ClientHello:
    """On a TLS port a connection begins with a handshake record. Source: RFC 8446 5.1, 4.1.2."""

    head_bytes: int = _RECORD.size
    stranger: RefusalReason = RefusalReason.NOT_TLS
    abort: bytes = b""
    """Without TLS there is nothing to say here."""
    not_now: bytes = b""

    def may_begin_with(self, head: bytes) -> bool:
        """Whether this can be the header of the first record."""
        return head[:2] == bytes((_HANDSHAKE, _MAJOR_VERSION))[: len(head)]

    def wanted_bytes(self, head: bytes) -> int:
        """Return the length of the whole record."""
        return _RECORD.size + int(_RECORD.unpack(head[: _RECORD.size])[3])
