"""Worker threads with a limit and a deadline, for everything that blocks."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from api.errors import TooSlowError

T = TypeVar("T")


class Crew:
    """So many threads and no more; work that waits too long for one is not begun."""

    def __init__(self, name: str, *, threads: int, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"api-{name}")

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, its wait for a thread included in the deadline.

        Raises
        ------
        TooSlowError
            If the deadline passed. Work that was begun goes on to its end; its answer is lost.
        """
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        try:
            async with asyncio.timeout(self.timeout_s):
                return await future
        except TimeoutError:
            raise TooSlowError(
                f"no answer within {self.timeout_s:g} s", remedy="Try again a little later"
            ) from None

    def stop(self) -> None:
        """Begin nothing more, and do not wait for what was begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)
