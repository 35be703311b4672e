"""A sender that costs next to nothing, so that what is measured is the receiver.

    python -I -S sender.py JSON

It knows no DICOM library. The messages lie ready as bytes before the clock starts; for each object
only its UIDs are written over. Small segments leave at once (`TCP_NODELAY`), and so do the
acknowledgements of what was read (`TCP_QUICKACK`). Each sender is a process and an association of
its own. Prints, as JSON, how long it took from the first connection to the last answer.
"""

import json
import os
import resource
import socket
import struct
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

# Each 40 characters long, so that no length changes with the UID that takes its place.
STUDY = b"2.25.10000000000000000000000000000000001"
SERIES = b"2.25.10000000000000000000000000000000002"
INSTANCE = b"2.25.10000000000000000000000000000000003"

CT = b"1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LITTLE_ENDIAN = b"1.2.840.10008.1.2.1"
_APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
_CONTEXT_ID = 1
_LONGEST_PDU = 128 * 1024
_RELEASE_REQUEST = struct.pack(">BBL4x", 0x05, 0, 4)
_STATUS = b"\x00\x00\x00\x09\x02\x00\x00\x00"
_PIECE = 1024 * 1024


class Association:
    """One association that offers CT in Explicit VR Little Endian. Source: PS3.8 9.3."""

    def __init__(self, port: int, called: str, calling: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(_associate_request(called, calling))
        kind, body = self._pdu()
        if kind != 0x02:
            raise SystemExit(f"the association was refused by port {port}: PDU type {kind}")
        self.pdu_bytes = min(_maximum_length(body) or _LONGEST_PDU, _LONGEST_PDU)

    def expect_success(self) -> None:
        """Read the next response; end the process if it is not 0x0000."""
        kind, body = self._pdu()
        at = body.find(_STATUS)
        if kind != 0x04 or at < 0:
            raise SystemExit(f"a PDU of type {kind} came instead of a response")
        status = int.from_bytes(body[at + 8 : at + 10], "little")
        if status != 0:
            raise SystemExit(f"an object was answered with {status:04X}")

    def release(self) -> None:
        """End it."""
        self.socket.sendall(_RELEASE_REQUEST)
        self._pdu()
        self.socket.close()

    def _pdu(self) -> tuple[int, bytes]:
        data = self._more(b"", 6)
        kind, _, length = struct.unpack_from(">BBL", data)
        return kind, self._more(data, 6 + length)[6:]

    def _more(self, data: bytes, size: int) -> bytes:
        while len(data) < size:
            piece = self.socket.recv(65536)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            if not piece:
                raise SystemExit("the receiver ended the association")
            data += piece
        return data


class Message:
    """One C-STORE request as it lies on the wire, and where its UIDs are."""

    def __init__(self, data_set: bytes, pdu_bytes: int, *, is_whole: bool = True) -> None:
        self.wire = bytearray(_p_data(0x03, _store_request()))
        room = pdu_bytes - 6
        for start in range(0, len(data_set), room):
            is_last = is_whole and start + room >= len(data_set)
            self.wire += _p_data(0x02 if is_last else 0x00, data_set[start : start + room])
        self._places = {uid: _places(self.wire, uid) for uid in (STUDY, SERIES, INSTANCE)}

    def name(self, study: int, instance: int) -> None:
        """Make it another object, of the series of a study that have the same number."""
        for uid, number in ((STUDY, study), (SERIES, study + 1), (INSTANCE, instance)):
            for at in self._places[uid]:
                self.wire[at : at + len(uid)] = b"2.25.%035d" % number


def run(job: dict[str, int | str]) -> dict[str, float]:
    """Send, each process its share, and return what it took."""
    data_set = Path(str(job["data_set"])).read_bytes()
    target = (int(job["port"]), str(job["called"]), str(job["calling"]))
    probe = Association(*target)
    probe.release()
    go, starts = os.pipe()
    results, report = os.pipe()
    children = []
    for number in range(int(job["senders"])):
        child = os.fork()
        if child == 0:
            message = Message(data_set, probe.pdu_bytes)
            os.write(report, b"ready\n")
            os.read(go, 1)
            os.write(report, json.dumps(_send(target, message, job, number)).encode() + b"\n")
            os._exit(0)
        children.append(child)
    os.close(report)
    lines = _lines(results)
    if len(list(islice(lines, len(children)))) < len(children):
        raise SystemExit("a sender could not begin")
    os.write(starts, b"g" * len(children))
    spent: list[list[float]] = [json.loads(line) for line in lines]
    for child in children:
        os.waitpid(child, 0)
    if len(spent) != len(children):
        raise SystemExit("a sender failed")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": max(end for _, end in spent) - min(start for start, _ in spent),
        "processor_seconds": used.ru_utime + used.ru_stime,
    }


def _send(
    target: tuple[int, str, str], message: Message, job: dict[str, int | str], number: int
) -> tuple[float, float]:
    objects, senders = int(job["objects"]), int(job["senders"])
    share = objects // senders + (number < objects % senders)
    base = int.from_bytes(os.urandom(8), "big") * 10**13 + 10**34
    study = base + 10**12
    started = time.monotonic()
    association = Association(*target)
    for count in range(share):
        if count % int(job["study_of"]) == 0:
            study += 2
        message.name(study, base + count)
        association.socket.sendall(message.wire)
        association.expect_success()
    ended = time.monotonic()
    association.release()
    return started, ended


def run_long(job: dict[str, int | str]) -> dict[str, float]:
    """Send one object of noise that is never held whole; `data_set` is all before its pixels."""
    rest = int(job["pixel_bytes"])
    head = Path(str(job["data_set"])).read_bytes()
    head += struct.pack("<HH2s2xL", 0x7FE0, 0x0010, b"OW", rest)
    association = Association(int(job["port"]), str(job["called"]), str(job["calling"]))
    beginning = Message(head, association.pdu_bytes, is_whole=False)
    number = int.from_bytes(os.urandom(8), "big") * 10**13 + 10**34
    beginning.name(number, number + 2)
    noise = os.urandom(association.pdu_bytes - 6)
    pdu = _p_data(0x00, noise)
    started = time.monotonic()
    association.socket.sendall(beginning.wire)
    while rest > len(noise):
        association.socket.sendall(pdu)
        rest -= len(noise)
    association.socket.sendall(_p_data(0x02, noise[:rest]))
    association.expect_success()
    ended = time.monotonic()
    association.release()
    return {"seconds": ended - started}


def _associate_request(called: str, calling: str) -> bytes:
    syntaxes = _item(0x30, CT) + _item(0x40, EXPLICIT_LITTLE_ENDIAN)
    user = _item(0x51, struct.pack(">L", _LONGEST_PDU)) + _item(0x52, b"1.2.3.4")
    body = struct.pack(">HH16s16s32x", 1, 0, called.ljust(16).encode(), calling.ljust(16).encode())
    body += _item(0x10, _APPLICATION_CONTEXT)
    body += _item(0x20, struct.pack(">B3x", _CONTEXT_ID) + syntaxes) + _item(0x50, user)
    return struct.pack(">BBL", 0x01, 0, len(body)) + body


def _maximum_length(accept: bytes) -> int:
    """Return what an A-ASSOCIATE-AC says of its sender's longest PDU."""
    for kind, body in _items(accept[68:]):
        if kind == 0x50:
            for inner, value in _items(body):
                if inner == 0x51:
                    return int(struct.unpack(">L", value)[0])
    return 0


def _store_request() -> bytes:
    """Return a command set. Source: PS3.7 9.3.1.1."""
    elements = b"".join(
        struct.pack("<HHL", 0x0000, element, len(value)) + value
        for element, value in (
            (0x0002, CT + b"\0"),
            (0x0100, b"\x01\x00"),
            (0x0110, b"\x01\x00"),
            (0x0700, b"\x00\x00"),
            (0x0800, b"\x01\x00"),
            (0x1000, INSTANCE),
        )
    )
    return struct.pack("<HHLL", 0, 0, 4, len(elements)) + elements


def _p_data(control: int, data: bytes) -> bytes:
    size = len(data)
    return struct.pack(">BBLLBB", 0x04, 0, size + 6, size + 2, _CONTEXT_ID, control) + data


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def _items(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    while len(encoded) >= 4:
        kind, _, size = struct.unpack_from(">BBH", encoded)
        yield kind, encoded[4 : 4 + size]
        encoded = encoded[4 + size :]


def _places(wire: bytearray, uid: bytes) -> list[int]:
    places, at = [], wire.find(uid, 0, _PIECE)
    while at >= 0:
        places.append(at)
        at = wire.find(uid, at + 1, _PIECE)
    if not places:
        raise SystemExit("a UID to replace is not in the message")
    return places


def _lines(descriptor: int) -> Iterator[bytes]:
    with os.fdopen(descriptor, "rb") as stream:
        yield from stream


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(run_long(asked) if "pixel_bytes" in asked else run(asked)))
