"""Read a request body into memory, never to a disk.

Three limits hold: its size, the size of all bodies together, and time.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from starlette.requests import Request

from api.errors import (
    BodyTimeoutError,
    BodyTooLargeError,
    MalformedBodyError,
    UnsupportedMediaError,
)
from core.errors import CapacityError


class BodyBudget:
    """How many bytes of bodies are in memory at this moment; belongs to one event loop."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._used = 0

    @property
    def used(self) -> int:
        """Bytes held by requests in work."""
        return self._used

    @contextmanager
    def lease(self) -> Iterator["Lease"]:
        """Give back at the end whatever was taken meanwhile."""
        lease = Lease(self)
        try:
            yield lease
        finally:
            self._used -= lease.taken

    def take(self, size: int) -> None:
        """Count `size` more bytes, or refuse with CapacityError."""
        if self._used + size > self._limit:
            raise CapacityError(
                "too many requests are being sent at once", remedy="Send it again a little later"
            )
        self._used += size


@dataclass
class Lease:
    """What one request took of the budget."""

    budget: BodyBudget
    taken: int = 0

    def take(self, size: int) -> None:
        """Count `size` more bytes for this request."""
        self.budget.take(size)
        self.taken += size


@dataclass(frozen=True)
class BodyLimits:
    """What one body may cost."""

    max_bytes: int
    timeout_s: float


@asynccontextmanager
async def body_of(
    request: Request, limits: BodyLimits, budget: BodyBudget
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Give the pieces of the body; while the block lasts, they count in `budget`.

    Raises
    ------
    BodyTooLargeError
        Before the first byte where Content-Length says so, else at the byte too many.
    BodyTimeoutError
        If the body has not arrived in time.
    CapacityError
        If all bodies together are too many.
    """
    _check_head(request, limits.max_bytes)
    with budget.lease() as lease:
        yield _pieces(request, limits, lease)


def _check_head(request: Request, max_bytes: int) -> None:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise UnsupportedMediaError(
            "the body is compressed", remedy="Send it without Content-Encoding"
        )
    declared = request.headers.get("content-length")
    if declared is None:
        return
    if not (declared.isascii() and declared.isdigit()):
        raise MalformedBodyError("Content-Length is not a number")
    if int(declared) > max_bytes:
        raise _too_large(max_bytes)


async def _pieces(request: Request, limits: BodyLimits, lease: Lease) -> AsyncIterator[bytes]:
    stream = request.stream()
    deadline = asyncio.get_running_loop().time() + limits.timeout_s
    size = 0
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                piece = await anext(stream, None)
        except TimeoutError:
            raise BodyTimeoutError(
                f"the body did not arrive within {limits.timeout_s:g} s"
            ) from None
        if piece is None:
            return
        size += len(piece)
        if size > limits.max_bytes:
            raise _too_large(limits.max_bytes)
        lease.take(len(piece))
        yield piece


def _too_large(max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"the body is larger than {max_bytes} bytes",
        remedy="Send large objects by C-STORE, or raise api.max_body_bytes",
    )
