"""Whose turn it is to write to an SQLite database that several processes write to.

SQLite lets a writer poll for the write lock, less and less often, and whoever just let go of it is
the first to take it again: a process that writes all the time would starve the others. So a writer
first steps into the turnstile, an advisory lock that only one process holds; whoever is in it is
the next to write. Nothing but fairness depends on it: the lock that counts is SQLite's own.
"""

import fcntl
import os
import random
import sqlite3
import time
from pathlib import Path

from archive.disk import FILE_MODE, translated

SUFFIX = "-turn"
_SHORTEST_S, _LONGEST_S = 0.0002, 0.0008
_POLITE_S = 0.5
"""Whoever stands in the turnstile for longer than this is stuck there, and is passed by."""


class Turnstile:
    """That of one database, as one process sees it; used by one thread at a time."""

    def __init__(self, database: str, *, timeout_s: float) -> None:
        self._path = Path(database + SUFFIX)
        self._timeout_s = timeout_s
        self._descriptor: int | None = None

    def begin(self, connection: sqlite3.Connection) -> None:
        """Begin to write.

        Raises
        ------
        sqlite3.OperationalError
            SQLITE_BUSY, if others write for longer than we wait.
        """
        began = time.monotonic()
        deadline = began + self._timeout_s
        turnstile = self._opened()
        while not _enter(turnstile) and time.monotonic() < min(deadline, began + _POLITE_S):
            _wait()
        try:
            connection.execute("PRAGMA busy_timeout=0")  # we wait, not SQLite
            try:
                _begin(connection, deadline)
            finally:
                connection.execute(f"PRAGMA busy_timeout={int(self._timeout_s * 1000)}")
        finally:
            fcntl.flock(turnstile, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the turnstile."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _opened(self) -> int:
        if self._descriptor is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            with translated("opening the turnstile of the database"):
                self._descriptor = os.open(self._path, flags, FILE_MODE)
        return self._descriptor


def _enter(turnstile: int) -> bool:
    try:
        fcntl.flock(turnstile, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _begin(connection: sqlite3.Connection, deadline: float) -> None:
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        else:
            return
        _wait()


def _wait() -> None:
    # Not in step with others that wait.
    time.sleep(random.uniform(_SHORTEST_S, _LONGEST_S))  # noqa: S311 - no secret
