"""Processes take turns in writing to one SQLite database."""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from archive.turn import SUFFIX, Turnstile


def _connection(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=5, check_same_thread=False)


def _close(*opened: Turnstile | sqlite3.Connection) -> None:
    for one in opened:
        one.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "a.db"
    connection = _connection(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (who TEXT)")
    yield path
    connection.close()


def test_a_writer_that_waits_is_let_in_when_the_other_is_done(database: Path) -> None:
    first, second = _connection(database), _connection(database)
    turnstiles = [Turnstile(str(database), timeout_s=20) for _ in range(2)]
    turnstiles[0].begin(first)
    waiting = threading.Thread(target=turnstiles[1].begin, args=(second,))
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    first.execute("COMMIT")
    waiting.join(20)
    assert second.in_transaction
    second.execute("COMMIT")
    assert second.execute("PRAGMA busy_timeout").fetchone() == (20_000,)
    _close(*turnstiles, first, second)


def test_nobody_passes_by_whoever_stands_in_the_turnstile(database: Path) -> None:
    """The one that just wrote must not be the next while another waits."""
    order: list[str] = []
    first, second = _connection(database), _connection(database)
    turnstiles = [Turnstile(str(database), timeout_s=20) for _ in range(2)]
    turnstiles[0].begin(first)

    def write() -> None:
        turnstiles[1].begin(second)
        order.append("second")
        second.execute("COMMIT")

    waiting = threading.Thread(target=write)
    waiting.start()
    while _is_free(database):
        waiting.join(0.001)
    first.execute("COMMIT")
    turnstiles[0].begin(first)
    order.append("first")
    first.execute("COMMIT")
    waiting.join(20)
    assert order == ["second", "first"]
    _close(*turnstiles, first, second)


def _is_free(database: Path) -> bool:
    descriptor = os.open(f"{database}{SUFFIX}", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def test_whoever_waits_in_vain_is_told_that_the_database_is_busy(database: Path) -> None:
    first, second = _connection(database), _connection(database)
    turnstiles = [Turnstile(str(database), timeout_s=0.05) for _ in range(2)]
    turnstiles[0].begin(first)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        turnstiles[1].begin(second)
    first.execute("COMMIT")
    turnstiles[1].begin(second)
    _close(*turnstiles, first, second)


def test_a_process_that_stopped_in_the_turnstile_does_not_lock_the_others_out(
    database: Path,
) -> None:
    holder = Turnstile(str(database), timeout_s=5)
    stuck = os.open(f"{database}{SUFFIX}", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(stuck, fcntl.LOCK_EX)
    connection = _connection(database)
    Turnstile(str(database), timeout_s=5).begin(connection)
    assert connection.in_transaction
    connection.close()
    os.close(stuck)
    holder.close()


def test_only_we_may_read_the_turnstile(database: Path) -> None:
    connection, turnstile = _connection(database), Turnstile(str(database), timeout_s=1)
    turnstile.begin(connection)
    assert Path(f"{database}{SUFFIX}").stat().st_mode & 0o777 == 0o600
    connection.close()
    turnstile.close()
