"""A crowd that lays siege to the ports of a node, in a process of its own.

    python -m tests.support.siege PORT TLS_PORT SECONDS SILENT SLOW GARBAGE STUCK

On the plain port some are silent, some slow, and some send garbage; on the TLS port some begin a
handshake and go no further.

Whoever is thrown out comes back. At the end one line of JSON says how often each kind connected.
"""

import heapq
import json
import os
import random
import selectors
import socket
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.dicom_node.raw import associate_rq, pdu, pdv, store_rq

KINDS = ("silent", "slow", "garbage", "stuck")
CROWD = "CROWD"
CROWD_ADDRESSES = "127.0.2.0/24"
"""Half of the crowd is known by its address, and those who are slow by their title, too."""
_STRANGERS, _KNOWN = "127.0.1", "127.0.2"
_ALL_KNOWN = frozenset({"slow", "stuck"})
_ADDRESSES_OF_EACH = 10
_COME_BACK_S = 0.5
_SLOWNESS_S = 1.0
_CT, _EXPLICIT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
_REQUEST = associate_rq([(1, _CT, _EXPLICIT)], called="SECOND_READER", calling=CROWD)
_OBJECT = pdu(4, pdv(1, 3, store_rq(_CT, "1.2.3")) + pdv(1, 0, b"\x08\x00")) + b"\x04\x00\x00\x00"


@dataclass
class Besieger:
    """One place in the crowd, which is always taken."""

    kind: str
    number: int
    port: int
    connections: int = 0
    line: socket.socket | None = None
    left: bytes = b""

    @property
    def address(self) -> str:
        """Where it comes from."""
        network = _KNOWN if self.number % 2 or self.kind in _ALL_KNOWN else _STRANGERS
        return f"{network}.{1 + self.number // 2 % _ADDRESSES_OF_EACH}"

    def connect(self) -> None:
        """Come, or come back."""
        self.leave()
        made = socket.socket()
        made.settimeout(2.0)
        try:
            made.bind((self.address, 0))
            made.connect(("127.0.0.1", self.port))
        except OSError:
            made.close()
            return
        made.setblocking(False)
        self.line, self.left = made, _OPENINGS[self.kind](self.number)
        self.connections += 1

    def leave(self) -> None:
        """Hang up."""
        if self.line is not None:
            self.line.close()
            self.line = None

    def go_on(self) -> None:
        """Say the next little."""
        count = 1 if self.kind == "slow" else len(self.left)
        if self.line is not None and self.left:
            self.line.send(self.left[:count])
            self.left = self.left[count:]


def _slow(number: int) -> bytes:
    """Every other one dribbles with its request, the others in the middle of an object."""
    return _REQUEST if number % 2 else _OBJECT + bytes(10**6)


def _client_hello(_: int) -> bytes:
    context = ssl.create_default_context()
    outgoing = ssl.MemoryBIO()
    side = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        side.do_handshake()
    return outgoing.read()


_OPENINGS: dict[str, Callable[[int], bytes]] = {
    "silent": lambda _: b"",
    "slow": _slow,
    "stuck": _client_hello,
    "garbage": lambda number: random.Random(number + time.monotonic_ns()).randbytes(4096),
}


@dataclass
class Crowd:
    """All of them, in one thread."""

    besiegers: list[Besieger]
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _due: list[tuple[float, int]] = field(default_factory=list)

    def besiege(self, seconds: float) -> dict[str, int]:
        """Keep every place taken for so long; return how often each kind connected."""
        end = time.monotonic() + seconds
        for number in range(len(self.besiegers)):
            heapq.heappush(self._due, (time.monotonic() + number * 0.002, number))
        while (now := time.monotonic()) < end:
            while self._due and self._due[0][0] <= now:
                self._act(heapq.heappop(self._due)[1])
            for key, _ in self._selector.select(0.01):
                self._hear(key.data)
        counts: Counter[str] = Counter()
        for one in self.besiegers:
            counts[one.kind] += one.connections
            one.leave()
        return dict(counts)

    def _act(self, number: int) -> None:
        one = self.besiegers[number]
        wait_s = _SLOWNESS_S
        try:
            if one.line is None:
                self._come(number)
            else:
                one.go_on()
        except OSError:
            self._lose(number)
            wait_s = _COME_BACK_S
        heapq.heappush(self._due, (time.monotonic() + wait_s, number))

    def _come(self, number: int) -> None:
        one = self.besiegers[number]
        one.connect()
        if one.line is None:
            return
        self._selector.register(one.line, selectors.EVENT_READ, number)
        if one.kind == "slow" and number % 2 == 0:
            one.line.send(_REQUEST)
        one.go_on()

    def _hear(self, number: int) -> None:
        one = self.besiegers[number]
        with suppress(BlockingIOError):
            try:
                if one.line is None or one.line.recv(4096):
                    return
            except ConnectionError:
                pass
            self._lose(number)

    def _lose(self, number: int) -> None:
        one = self.besiegers[number]
        if one.line is not None:
            self._selector.unregister(one.line)
        one.leave()


@contextmanager
def besieged(
    ports: tuple[int, int], seconds: float, **counts: int
) -> Iterator["subprocess.Popen[bytes]"]:
    """Have a crowd besiege a plain and a TLS port while the block runs, for at most so long."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.siege"]
        + [str(one) for one in (*ports, seconds, *(counts[kind] for kind in KINDS))],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env=os.environ,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def main(port: str, tls_port: str, seconds: str, *counts: str) -> None:
    """Besiege the ports; print what came of it."""
    besiegers = [
        Besieger(kind, number, int(tls_port if kind == "stuck" else port))
        for kind, count in zip(KINDS, counts, strict=True)
        for number in range(int(count))
    ]
    sys.stdout.write(json.dumps(Crowd(besiegers).besiege(float(seconds))) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
