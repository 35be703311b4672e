"""How often one caller may ask: a bucket of tokens for each address and each API key.

It is known before anything else of a request is looked at, so that guessing keys is slowed down
like everything else. A bucket fills evenly and holds a minute's worth, which may go at once.
"""

import hashlib
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from api.errors import RateLimitError

MOST_CALLERS = 10_000
"""So many buckets are kept; beyond that the one unused for longest is forgotten."""
_KEY_HEADERS = frozenset({b"authorization", b"x-api-key"})
_SAME_SITE_V6 = 64
"""Bits of an IPv6 address that one site shares; within them it may choose."""


class RateLimit:
    """Counts what callers ask. Of one process: behind a balancer each machine counts its own."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = float(per_minute)
        self._per_second = per_minute / 60
        self._clock = clock
        self._buckets: OrderedDict[bytes, tuple[float, float]] = OrderedDict()
        """Tokens at a moment, by caller; the one that asked last at the end."""

    def take(self, address: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Count one request.

        Raises
        ------
        RateLimitError
            If its address, or the key that came with it, asked too often; then nothing is counted.
        """
        now = self._clock()
        callers = list(_callers(address, headers))
        tokens = [self._tokens(caller, now) for caller in callers]
        if min(tokens) < 1:
            wait_s = math.ceil((1 - min(tokens)) / self._per_second)
            raise RateLimitError(
                f"more than {self._capacity:.0f} requests a minute",
                remedy="Send it again later; `api.requests_per_minute` is the limit",
                retry_after_s=max(1, wait_s),
            )
        for caller, left in zip(callers, tokens, strict=True):
            self._buckets[caller] = (left - 1, now)
            self._buckets.move_to_end(caller)
        while len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)

    def _tokens(self, caller: bytes, now: float) -> float:
        left, at = self._buckets.get(caller, (self._capacity, now))
        return min(self._capacity, left + (now - at) * self._per_second)


def _callers(address: str, headers: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    yield b"address " + _site(address).encode()
    for name, value in headers:
        if name in _KEY_HEADERS:
            yield b"key " + hashlib.sha256(value).digest()


def _site(address: str) -> str:
    """Return what all addresses of one caller have in common."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), _SAME_SITE_V6), strict=False))
