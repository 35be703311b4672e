"""Fuzz the listener of a live service with PDU sequences that know the protocol, and break it.

`python -m tests.fuzz.pdu --sequences 5000 [--start N] [--seed S]`

Sequence N of a seed is the same bytes on every machine, so that a run goes on with `--start`. Every
one must end in A-ABORT, A-ASSOCIATE-RJ, A-RELEASE-RP or a closed connection within the deadline.
Afterwards C-ECHO works, threads and descriptors are where they were, and the log has no defect.
"""

import argparse
import random
import socket
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dicom_node.association import echo
from tests.dicom_node.raw import associate_rq, item, pdu, pdv, store_rq
from tests.hostile.live import FAULTS, Cost, cost, destination
from tests.support.builders import ct_image, encoded
from tests.support.installation import AE_TITLE, SENDER, Service, install, running

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
PATIENCE_S = 0.3
"""How long a sequence waits for the end before it says that it will say no more."""
DEADLINE_S = 30.0
AT_ONCE = 8
WARMING = 50
SETTINGS = {"request_timeout_s": 3.0, "pdu_timeout_s": 5.0, "idle_timeout_s": 8.0}
_ENDINGS = {0x03: "rejected", 0x06: "released", 0x07: "aborted"}
_BODY = encoded(ct_image())


@dataclass
class Account:
    """What came of the sequences."""

    endings: Counter[str] = field(default_factory=Counter)
    unended: list[int] = field(default_factory=list)


def sequence(number: int, seed: int) -> list[bytes]:
    """Return the PDUs of one sequence: a sound conversation, and what was done to it."""
    random_ = random.Random(f"{seed}/{number}")
    pdus = random_.choice(_CONVERSATIONS)(random_)
    for _ in range(random_.randint(1, 3)):
        random_.choice(_CHANGES)(pdus, random_)
    return pdus


def fuzz(service: Service, numbers: range, seed: int) -> tuple[Account, list[str]]:
    """Play sequences against a running service; return how they ended, and what is wrong."""
    run(service.dicom_port, range(-WARMING, 0), seed)  # what is loaded once is no growth
    time.sleep(2)
    before, said = cost(service), service.log.stat().st_size
    account = run(service.dicom_port, numbers, seed)
    wrong = [f"sequence {number} did not end in time" for number in account.unended]
    return account, wrong + check(service, before, said)


def run(port: int, numbers: range, seed: int) -> Account:
    """Play sequences against a listener, some at a time."""
    account = Account()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number, (how, seconds) in zip(
            numbers,
            pool.map(lambda number: _timed(port, sequence(number, seed)), numbers),
            strict=True,
        ):
            account.endings[how] += 1
            if how == "no end" or seconds > DEADLINE_S:
                account.unended.append(number)
    return account


def _timed(port: int, pdus: list[bytes]) -> tuple[str, float]:
    began = time.monotonic()
    return _play(port, pdus), time.monotonic() - began


def check(service: Service, before: Cost, said: int) -> list[str]:
    """Return what is not as it was: the echo, threads, descriptors, and defects in the log."""
    time.sleep(SETTINGS["request_timeout_s"])  # until who never asked has been let go
    echo(destination(service))
    deadline, wrong = time.monotonic() + DEADLINE_S, ["nobody looked"]
    while wrong and time.monotonic() < deadline:
        after = cost(service)
        wrong = [
            f"{name}: {getattr(before, name)} before, {getattr(after, name)} after"
            for name, more in (("threads", 2), ("descriptors", 2), ("mib", 64))
            if getattr(after, name) > getattr(before, name) + more
        ]
        time.sleep(0.5)
    with service.log.open("rb") as log:
        log.seek(said)
        new = log.read().decode(errors="replace")
    wrong += [f"the log says {fault}" for fault in FAULTS if fault in new]
    return wrong


def _play(port: int, pdus: list[bytes]) -> str:
    connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
    try:
        for one in pdus:
            connection.sendall(one)
            if one[:1] == b"\x01":
                _listen(connection)  # what comes before the acceptance would only be aborted
        return _end_of(connection)
    except (BrokenPipeError, ConnectionResetError):
        return "closed"
    finally:
        connection.close()


def _listen(connection: socket.socket) -> None:
    """Wait a little for an answer, and leave it to be read."""
    connection.settimeout(PATIENCE_S)
    with suppress(TimeoutError):
        connection.recv(1, socket.MSG_PEEK)
    connection.settimeout(DEADLINE_S)


def _end_of(connection: socket.socket) -> str:
    """Read until it ends; after a while say that no more comes, as a peer that has gone."""
    received = b""
    connection.settimeout(PATIENCE_S)
    is_done = False
    while True:
        try:
            piece = connection.recv(65536)
        except TimeoutError:
            if is_done:
                return "no end"
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(DEADLINE_S)
            is_done = True
            continue
        if not piece:
            return _ENDINGS.get(_last_kind(received), "closed")
        received = (received + piece)[-1_000_000:]


def _last_kind(received: bytes) -> int:
    """Return the type of the last whole PDU."""
    kind, position = 0, 0
    while position + 6 <= len(received):
        kind = received[position]
        position += 6 + int.from_bytes(received[position + 2 : position + 6], "big")
    return kind


# --- conversations -----------------------------------------------------------------------------


def _request() -> bytes:
    contexts = [(1, CT, EXPLICIT), (3, CT, IMPLICIT), (5, VERIFICATION, IMPLICIT)]
    return associate_rq(contexts, called=AE_TITLE, calling=SENDER)


def _store(random_: random.Random) -> list[bytes]:
    cut = random_.randrange(1, len(_BODY))
    return [
        _request(),
        pdu(0x04, pdv(1, 3, store_rq(CT, "1.2.3.4"))),
        pdu(0x04, pdv(1, 0, _BODY[:cut])),
        pdu(0x04, pdv(1, 2, _BODY[cut:])),
        pdu(0x05, bytes(4)),
    ]


def _echo(_: random.Random) -> list[bytes]:
    elements = struct.pack("<HHL", 0, 2, 18) + VERIFICATION.encode() + b"\0"
    elements += struct.pack("<HHLH", 0, 0x0100, 2, 0x0030) + struct.pack("<HHLH", 0, 0x0110, 2, 1)
    elements += struct.pack("<HHLH", 0, 0x0800, 2, 0x0101)
    command = struct.pack("<HHLL", 0, 0, 4, len(elements)) + elements
    return [_request(), pdu(0x04, pdv(5, 3, command)), pdu(0x05, bytes(4))]


def _release(_: random.Random) -> list[bytes]:
    return [_request(), pdu(0x05, bytes(4))]


def _abort(_: random.Random) -> list[bytes]:
    return [_request(), pdu(0x07, bytes(4))]


_CONVERSATIONS = (_store, _store, _echo, _release, _abort)


# --- changes -------------------------------------------------------------------------------------


def _flip(pdus: list[bytes], random_: random.Random) -> None:
    at = random_.randrange(len(pdus))
    data = bytearray(pdus[at])
    for _ in range(random_.randint(1, 6)):
        data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)
    pdus[at] = bytes(data)


def _kind(pdus: list[bytes], random_: random.Random) -> None:
    at = random_.randrange(len(pdus))
    pdus[at] = bytes([random_.randrange(256)]) + pdus[at][1:]


def _length(pdus: list[bytes], random_: random.Random) -> None:
    at = random_.randrange(len(pdus))
    length = random_.choice((0, 1, 4, len(pdus[at]), 131073, 0x7FFFFFFF, 0xFFFFFFFF))
    pdus[at] = pdus[at][:2] + struct.pack(">L", length) + pdus[at][6:]


def _inner_length(pdus: list[bytes], random_: random.Random) -> None:
    at = random_.randrange(len(pdus))
    data = bytearray(pdus[at])
    if len(data) > 12:
        place = random_.randrange(6, len(data) - 4)
        data[place : place + 4] = struct.pack(">L", random_.choice((0, 1, 2, 0xFFFF, 0xFFFFFFFF)))
        pdus[at] = bytes(data)


def _cut(pdus: list[bytes], random_: random.Random) -> None:
    at = random_.randrange(len(pdus))
    pdus[at] = pdus[at][: random_.randrange(1, len(pdus[at]) + 1)]


def _drop(pdus: list[bytes], random_: random.Random) -> None:
    if len(pdus) > 1:
        del pdus[random_.randrange(len(pdus))]


def _repeat(pdus: list[bytes], random_: random.Random) -> None:
    at = random_.randrange(len(pdus))
    pdus[at:at] = [pdus[at]] * random_.randint(1, 3)


def _swap(pdus: list[bytes], random_: random.Random) -> None:
    random_.shuffle(pdus)


def _insert(pdus: list[bytes], random_: random.Random) -> None:
    strange = (
        pdu(0x02, _request()[6:]),
        pdu(0x03, bytes(4)),
        pdu(0x06, bytes(4)),
        pdu(0x04, pdv(random_.randrange(256), random_.randrange(256), random_.randbytes(50))),
        pdu(0x01, struct.pack(">HH64x", 1, 0) + item(random_.randrange(256), bytes(20))),
        random_.randbytes(random_.randint(1, 300)),
    )
    pdus.insert(random_.randrange(len(pdus) + 1), random_.choice(strange))


def _context(pdus: list[bytes], random_: random.Random) -> None:
    at = random_.randrange(len(pdus))
    if pdus[at][:1] == b"\x04" and len(pdus[at]) > 11:
        changed = bytearray(pdus[at])
        changed[10 if random_.random() < 0.5 else 11] = random_.randrange(256)
        pdus[at] = bytes(changed)


_Change = Callable[[list[bytes], random.Random], None]
_CHANGES: tuple[_Change, ...] = (
    _flip,
    _kind,
    _length,
    _inner_length,
    _cut,
    _drop,
    _repeat,
    _swap,
    _insert,
    _context,
)


def main() -> int:
    """Start a service, play, and tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sequences", type=int, default=300)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        made = install(Path(folder) / "fuzzed", sections={"dicom_node": SETTINGS})
        with running(made):
            numbers = range(chosen.start, chosen.start + chosen.sequences)
            account, wrong = fuzz(made, numbers, chosen.seed)
    sys.stdout.write(
        f"{chosen.sequences} sequences in {time.monotonic() - began:.0f} s: "
        f"{dict(account.endings.most_common())}\n"
    )
    sys.stdout.writelines(f"{line}\n" for line in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
