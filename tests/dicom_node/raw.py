"""A sender that does what no library would: raw PDUs on a socket. Source: PS3.8 9.3."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom import Dataset
from pynetdicom.dsutils import encode

APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBL", kind, 0, len(body)) + body


def pdv(context_id: int, control: int, data: bytes) -> bytes:
    return struct.pack(">LBB", len(data) + 2, context_id, control) + data


def associate_rq(
    contexts: list[tuple[int, str, str]], *, called: str = "READER", calling: str = "SCANNER"
) -> bytes:
    """PS3.8 Table 9-11."""
    body = struct.pack(">HH16s16s32x", 1, 0, called.ljust(16).encode(), calling.ljust(16).encode())
    body += item(0x10, APPLICATION_CONTEXT)
    for context_id, abstract, transfer in contexts:
        sub_items = item(0x30, abstract.encode()) + item(0x40, transfer.encode())
        body += item(0x20, struct.pack(">B3x", context_id) + sub_items)
    maximum = item(0x51, struct.pack(">L", 16384))
    body += item(0x50, maximum + item(0x52, b"1.2.3"))
    return pdu(0x01, body)


def store_rq(sop_class: str, instance: str, *, has_data_set: bool = True) -> bytes:
    """PS3.7 9.3.1.1."""
    command = Dataset()
    command.AffectedSOPClassUID = sop_class
    command.CommandField = 0x0001
    command.MessageID = 7
    command.Priority = 0
    command.CommandDataSetType = 0x0001 if has_data_set else 0x0101
    command.AffectedSOPInstanceUID = instance
    encoded = encode(command, True, True)
    assert encoded is not None
    length = struct.pack("<HHLL", 0, 0, 4, len(encoded))
    return length + bytes(encoded)


class RawPeer:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> tuple[int, bytes]:
        """Return type and body of the next PDU; type 0 at the end of the stream."""
        header = self._exactly(6)
        if len(header) < 6:
            return 0, b""
        kind, _, length = struct.unpack(">BBL", header)
        return kind, self._exactly(length)

    def status(self) -> int:
        """Return the status of the next response."""
        kind, body = self.receive()
        assert kind == 0x04, f"PDU type {kind}"
        position = body.index(b"\x00\x00\x00\x09\x02\x00\x00\x00")
        return int.from_bytes(body[position + 8 : position + 10], "little")

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                piece = self.socket.recv(size - len(data))
            except ConnectionResetError:
                return data
            if not piece:
                return data
            data += piece
        return data


@contextmanager
def raw_peer(port: int) -> Iterator[RawPeer]:
    peer = RawPeer(port)
    try:
        yield peer
    finally:
        peer.socket.close()


@contextmanager
def raw_association(port: int, *contexts: tuple[int, str, str]) -> Iterator[RawPeer]:
    with raw_peer(port) as peer:
        peer.send(associate_rq(list(contexts)))
        kind, _ = peer.receive()
        assert kind == 0x02
        yield peer
