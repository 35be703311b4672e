"""Transactions, and how the database's faults sound in our errors."""

import multiprocessing
import os
import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import IntegrityError

from archive.archive import Archive
from archive.database import Database, sqlite_url
from archive.errors import (
    DamagedDatabaseError,
    DatabaseBusyError,
    DatabaseFullError,
    DatabaseUnavailableError,
)
from archive.schema import migrate
from archive.tables import patient
from tests.support.archives import NOON, POSTGRES

sqlite_only = pytest.mark.skipif(bool(os.environ.get(POSTGRES)), reason="about SQLite's files")


def _row(number: int) -> dict[str, object]:
    return {"patient_key": f"{number:026d}", "key_version": 1, "first_seen_at": NOON}


def _sqlite(tmp_path: Path, *, busy_timeout_s: float = 20) -> Database:
    database = Database(sqlite_url(tmp_path / "archive.db"), busy_timeout_s=busy_timeout_s)
    migrate(database)
    return database


def test_a_transaction_is_all_or_nothing(archive: Archive) -> None:
    def write_then_fail() -> None:
        with archive.transaction() as tx:
            tx.execute(insert(patient), _row(1))
            raise KeyError

    with pytest.raises(KeyError):
        write_then_fail()
    with archive.transaction() as tx:
        tx.execute(insert(patient), _row(2))
    with archive.snapshot() as tx:
        keys = tx.execute(select(patient.c.patient_key)).scalars().all()
    assert keys == [f"{2:026d}"]


def test_times_come_back_exactly(archive: Archive) -> None:
    moment = NOON.replace(microsecond=123457)
    with archive.transaction() as tx:
        tx.execute(insert(patient), {**_row(1), "first_seen_at": moment})
        assert tx.execute(select(patient.c.first_seen_at)).scalar_one() == moment


def test_a_snapshot_sees_one_moment(archive: Archive) -> None:
    count = select(func.count()).select_from(patient)
    with archive.snapshot() as before:
        assert before.execute(count).scalar_one() == 0
        with archive.transaction() as tx:
            tx.execute(insert(patient), _row(1))
        assert before.execute(count).scalar_one() == 0
    with archive.snapshot() as after:
        assert after.execute(count).scalar_one() == 1


def test_a_defect_of_ours_looks_like_one(archive: Archive) -> None:
    with archive.transaction() as tx:
        tx.execute(insert(patient), _row(1))
    with pytest.raises(IntegrityError), archive.transaction() as tx:
        tx.execute(insert(patient), _row(1))


@sqlite_only
def test_every_commit_is_synced(archive: Archive) -> None:
    with archive.transaction() as tx:
        assert tx.execute(text("PRAGMA synchronous")).scalar_one() == 2
        assert tx.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert tx.execute(text("PRAGMA foreign_keys")).scalar_one() == 1


@sqlite_only
def test_only_we_may_read_the_database(archive: Archive, tmp_path: Path) -> None:
    with archive.transaction() as tx:
        tx.execute(insert(patient), _row(1))
    for path in (tmp_path / "data").glob("archive.db*"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_writer_waits_for_another_in_the_same_process(archive: Archive) -> None:
    def write() -> None:
        for _ in range(20):
            with archive.transaction() as tx:
                tx.lock("patients")
                count = tx.execute(select(func.count()).select_from(patient)).scalar_one()
                tx.execute(insert(patient), _row(count))

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with archive.snapshot() as tx:
        assert tx.execute(select(func.count()).select_from(patient)).scalar_one() == 80


@sqlite_only
def test_a_transaction_in_a_transaction_is_a_defect(archive: Archive) -> None:
    with archive.transaction(), pytest.raises(RuntimeError), archive.transaction():
        pass
    with archive.transaction():
        pass


def _count_up(path: str, times: int) -> None:
    database = _sqlite(Path(path))
    for _ in range(times):
        with database.transaction() as tx:
            count = tx.execute(select(func.count()).select_from(patient)).scalar_one()
            tx.execute(insert(patient), _row(count))


@sqlite_only
def test_processes_migrate_and_write_at_once_without_losing_anything(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_count_up, args=(str(tmp_path), 25)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    with _sqlite(tmp_path).snapshot() as tx:
        assert tx.execute(select(func.count()).select_from(patient)).scalar_one() == 75


@sqlite_only
def test_a_database_locked_for_too_long_is_busy(tmp_path: Path) -> None:
    database = _sqlite(tmp_path, busy_timeout_s=0.2)
    other = sqlite3.connect(tmp_path / "archive.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseBusyError), database.transaction():
        pass
    other.execute("ROLLBACK")
    other.close()
    with database.transaction() as tx:
        tx.execute(insert(patient), _row(1))
    database.close()


@sqlite_only
def test_a_full_database_is_full(tmp_path: Path) -> None:
    database = _sqlite(tmp_path)

    def fill() -> None:
        with database.transaction() as tx:
            pages = tx.execute(text("PRAGMA page_count")).scalar_one()
            tx.execute(text(f"PRAGMA max_page_count={pages + 2}"))
            for number in range(5000):
                tx.execute(insert(patient), _row(number))

    with pytest.raises(DatabaseFullError):
        fill()
    with database.snapshot() as tx:
        assert tx.execute(select(func.count()).select_from(patient)).scalar_one() == 0
    database.close()


@sqlite_only
def test_a_damaged_database_is_an_alarm(tmp_path: Path) -> None:
    _sqlite(tmp_path).close()
    path = tmp_path / "archive.db"
    path.write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(DamagedDatabaseError):
        _sqlite(tmp_path)


@sqlite_only
def test_a_database_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError):
        _sqlite(tmp_path / "no such folder")


@sqlite_only
def test_an_error_quotes_nothing_that_was_written(archive: Archive) -> None:
    with archive.transaction() as tx:
        tx.execute(insert(patient), _row(7))
    with pytest.raises(IntegrityError) as caught, archive.transaction() as tx:
        tx.execute(insert(patient), _row(7))
    assert f"{7:026d}" not in str(caught.value)
