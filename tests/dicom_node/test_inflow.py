"""PDUs in any cut and any size become the same values. Source: PS3.8 9.3.5, Annex E."""

import random
from dataclasses import dataclass, field

import pytest

from dicom_node.wire.fragments import ProtocolError
from dicom_node.wire.inflow import ROOM_BYTES, Inflow
from tests.dicom_node.raw import pdu, pdv

COMMAND, LAST_COMMAND, DATA, LAST_DATA = 1, 3, 0, 2


@dataclass
class Wire:
    """A connection that gives no more than a few bytes at once, however many are asked for."""

    content: bytes
    cuts: random.Random
    most: int
    position: int = 0

    def fill(self, target: memoryview, least: int, deadline: float) -> int:
        there = len(self.content) - self.position
        if there < least:
            raise ConnectionError("the connection ended")
        given = max(least, min(len(target), there, self.cuts.randint(1, self.most)))
        target[:given] = self.content[self.position : self.position + given]
        self.position += given
        return given


@dataclass
class Written:
    """Writes down what it is handed."""

    commands: list[tuple[int, bytes, bool]] = field(default_factory=list)
    expected: int = 0
    objects: list[bytes] = field(default_factory=list)
    pieces: list[int] = field(default_factory=list)
    arriving: bytearray = field(default_factory=bytearray)

    def take_command(self, context_id: int, data: bytes, *, is_last: bool) -> None:
        self.commands.append((context_id, data, is_last))

    def expect_data(self, context_id: int, size: int) -> None:
        self.expected += size

    def take_data(self, data: memoryview, *, is_last: bool) -> None:
        self.pieces.append(len(data))
        self.arriving += data
        if is_last:
            self.objects.append(bytes(self.arriving))
            self.arriving.clear()


def message(data: bytes, pdu_bytes: int) -> bytes:
    """Return a command and its data set, cut into values as long as a PDU may be."""
    room = pdu_bytes - 6
    pieces = [data[start : start + room] for start in range(0, len(data), room)] or [b""]
    *early, last = pieces
    wire = pdu(4, pdv(1, LAST_COMMAND, b"command"))
    return wire + b"".join(
        [*(pdu(4, pdv(1, DATA, piece)) for piece in early), pdu(4, pdv(1, LAST_DATA, last))]
    )


def read(wire: bytes, *, seed: int = 0, most: int = 2**30) -> Written:
    written = Written()
    source = Wire(wire, random.Random(seed), most)
    inflow = Inflow(source, written, pdu_timeout_s=30.0)
    while source.position < len(wire) or inflow.has_unread:
        kind, length = inflow.header()
        assert kind == 4
        inflow.values(length)
    return written


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [0, 1, 11, 4096, 70_000, 300_000])
@pytest.mark.parametrize("pdu_bytes", [64, 4096, 16_384, 131_072])
def test_objects_of_any_cut_arrive_as_they_were_sent(size: int, pdu_bytes: int, seed: int) -> None:
    objects = [random.Random(number).randbytes(size) for number in range(3)]
    wire = b"".join(message(data, pdu_bytes) for data in objects)
    written = read(wire, seed=seed, most=(7, 1000, 100_000, 2**30)[seed % 4])
    assert written.objects == objects
    assert written.commands == [(1, b"command", True)] * 3
    assert written.expected == 3 * size


@pytest.mark.parametrize("pdu_bytes", [4096, 131_072, 1024 * 1024])
def test_a_long_object_is_handed_on_in_pieces_that_are_large_and_bounded(pdu_bytes: int) -> None:
    data = random.Random(1).randbytes(5 * ROOM_BYTES + 17)
    written = read(message(data, pdu_bytes))
    assert written.objects == [data]
    assert max(written.pieces) <= ROOM_BYTES
    assert len(written.pieces) <= 8


def test_an_object_of_half_a_megabyte_is_handed_on_whole() -> None:
    assert read(message(bytes(526_000), 131_072)).pieces == [526_000]


def test_many_values_in_one_pdu_are_told_apart() -> None:
    values = pdv(1, COMMAND, b"com") + pdv(1, LAST_COMMAND, b"mand")
    values += pdv(1, DATA, b"ab") + pdv(1, DATA, b"") + pdv(1, LAST_DATA, b"c")
    written = read(pdu(4, values) * 2)
    assert written.commands == [(1, b"com", False), (1, b"mand", True)] * 2
    assert written.objects == [b"abc"] * 2


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\x00\x00\x00\x01\x01\x03", id="shorter than its own header"),
        pytest.param(pdv(1, DATA, b"abc")[:-1], id="longer than its PDU"),
        pytest.param(pdv(1, DATA, b"abc") + b"\x00\x00", id="rest that is no header"),
        pytest.param(b"\xff\xff\xff\xff\x01\x00" + bytes(100), id="4 GiB"),
    ],
)
def test_a_value_that_does_not_fit_its_pdu_is_not_the_protocol(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(pdu(4, body))


def test_the_body_of_another_pdu_may_come_in_the_middle_of_an_object() -> None:
    abort = pdu(7, b"\0\0\0\2")
    wire = pdu(4, pdv(1, DATA, b"half")) + abort
    written = Written()
    inflow = Inflow(Wire(wire, random.Random(0), 2**30), written, pdu_timeout_s=30.0)
    inflow.values(inflow.header()[1])
    assert inflow.header() == (7, 4)
    assert inflow.body(4) == abort[6:]
    assert written.objects == []
