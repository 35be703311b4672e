"""Seeded mutations of encoded objects: the same seed makes the same bytes, on every machine."""

import random
import struct
from collections.abc import Sequence

_LENGTHS = (0, 1, 2, 7, 8, 0x7FFF, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
_TAGS = (
    (0x0002, 0x0010),
    (0x0008, 0x0005),
    (0x0008, 0x0016),
    (0x0010, 0x0010),
    (0x0020, 0x000D),
    (0x0028, 0x0008),
    (0x0028, 0x0010),
    (0x0040, 0x0275),
    (0x7FE0, 0x0010),
    (0xFFFE, 0xE000),
    (0xFFFE, 0xE00D),
    (0xFFFE, 0xE0DD),
)
_VRS = (b"SQ", b"UN", b"OB", b"OW", b"UT", b"DS", b"IS", b"PN", b"US", b"AT", b"??", b"\0\0", b"FD")


def mutated(seed: bytes, others: Sequence[bytes], random_: random.Random) -> bytes:
    """Return `seed` with one to eight changes."""
    data = bytearray(seed)
    for _ in range(random_.randint(1, 8)):
        random_.choice(_CHANGES)(data, others, random_)
    return bytes(data[: 64 * 1024])


def _flip(data: bytearray, _others: Sequence[bytes], random_: random.Random) -> None:
    if data:
        data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)


def _set(data: bytearray, _others: Sequence[bytes], random_: random.Random) -> None:
    if data:
        data[random_.randrange(len(data))] = random_.choice((0, 1, 0x20, 0x5C, 0x7F, 0x80, 0xFF))


def _length(data: bytearray, _others: Sequence[bytes], random_: random.Random) -> None:
    value = random_.choice(_LENGTHS)
    packed = struct.pack("<L", value) if value > 0xFFFF or random_.random() < 0.5 else b""
    _write(data, packed or struct.pack("<H", value & 0xFFFF), random_)


def _tag(data: bytearray, _others: Sequence[bytes], random_: random.Random) -> None:
    _write(data, struct.pack("<HH", *random_.choice(_TAGS)), random_)


def _vr(data: bytearray, _others: Sequence[bytes], random_: random.Random) -> None:
    found = [at for at in range(len(data) - 1) if data[at : at + 2].isalpha()]
    if found:
        at = random_.choice(found)
        data[at : at + 2] = random_.choice(_VRS)


def _cut(data: bytearray, _others: Sequence[bytes], random_: random.Random) -> None:
    if data:
        del data[random_.randrange(len(data)) :]


def _remove(data: bytearray, _others: Sequence[bytes], random_: random.Random) -> None:
    if data:
        at = random_.randrange(len(data))
        del data[at : at + random_.randint(1, 64)]


def _repeat(data: bytearray, _others: Sequence[bytes], random_: random.Random) -> None:
    if data:
        at = random_.randrange(len(data))
        piece = data[at : at + random_.randint(1, 64)]
        data[at:at] = piece * random_.choice((1, 2, 100))


def _splice(data: bytearray, others: Sequence[bytes], random_: random.Random) -> None:
    other = random_.choice(others)
    at = random_.randrange(len(other)) if other else 0
    into = random_.randrange(len(data) + 1)
    data[into:into] = other[at : at + random_.randint(1, 512)]


def _nest(data: bytearray, _others: Sequence[bytes], random_: random.Random) -> None:
    opening = struct.pack("<HH2sHL", 0x0040, 0x0275, b"SQ", 0, 0xFFFFFFFF)
    opening += struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    at = random_.randrange(len(data) + 1)
    data[at:at] = opening * random_.choice((1, 10, 63, 64, 65, 200, 1000))


def _write(data: bytearray, value: bytes, random_: random.Random) -> None:
    if len(data) >= len(value):
        at = random_.randrange(len(data) - len(value) + 1)
        data[at : at + len(value)] = value


_CHANGES = (_flip, _set, _length, _tag, _vr, _cut, _remove, _repeat, _splice, _nest)
