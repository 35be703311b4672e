"""Instances that are ready at the same time are entered together."""

import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import bindparam, text, update
from sqlalchemy.dialects import postgresql, sqlite

from archive import custody_statements, tables
from archive.archive import Archive
from archive.custody import Outcome, Result
from archive.custody_plan import Entry
from archive.custody_statements import known_digests, newest_revisions
from archive.database import Batch
from archive.errors import DatabaseBusyError, DatabaseUnavailableError
from archive.prepared import Prepared
from core.errors import ServiceError
from core.states import HoldReason, RevisionState
from tests.support.archives import at, make_archive, new_instance


def _entry(archive: Archive, number: int = 1, **more: object) -> Entry:
    rows = archive.rows.make(new_instance(archive, number, **more))  # type: ignore[arg-type]
    return Entry(rows, f"event {number} {rows.new.blob_name}", b"sealed")


def _together(archive: Archive, entries: Sequence[Entry]) -> list[Result]:
    return archive.custody.enter_together(entries)


def _count(archive: Archive, table: str) -> int:
    with archive.snapshot() as tx:
        return int(tx.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def _outcomes(results: Sequence[Result]) -> list[Outcome]:
    return [result.outcome for result in results]


def _errors(results: Sequence[Result]) -> list[ServiceError | None]:
    return [result.error for result in results]


def test_a_group_is_one_transaction(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = _commits(archive, monkeypatch)
    entries = [_entry(archive, number, seconds=number) for number in range(1, 8)]
    assert _outcomes(_together(archive, entries)) == [Outcome.ENTERED] * 7
    assert commits == [7]
    counts = {name: _count(archive, name) for name in ("instance", "study", "series", "outbox")}
    assert counts == {"instance": 7, "study": 1, "series": 1, "outbox": 7}
    with archive.snapshot() as tx:
        (record,) = archive.revisions.of(tx, entries[0].rows.study_key)
        (arrival,) = archive.arrivals.of_study(tx, record.key.study_key, since=at(0), now=at(9))
        told = archive.journey.of(tx, record.key.study_key)
    assert (record.number_of_instances, record.state) == (7, RevisionState.OPEN)
    assert (arrival.stored, arrival.duplicates, arrival.first_at) == (7, 0, at(1))
    assert record.last_instance_at == arrival.last_at == at(7)
    assert [(entry.step, entry.outcome) for entry in told] == [("received", "begun")]


def _commits(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of all groups from now on."""
    sizes: list[int] = []
    original = archive.database.batch

    @contextmanager
    def counting() -> Iterator[Batch]:
        before = _count(archive, "instance")
        with original() as batch:
            yield batch
        sizes.append(_count(archive, "instance") - before)

    monkeypatch.setattr(archive.database, "batch", counting)
    return sizes


def test_what_is_entered_together_is_what_would_be_entered_alone(
    archive: Archive, tmp_path: Path
) -> None:
    """Row for row, but for sealed columns, which are never the same twice."""
    alone = make_archive(tmp_path / "alone")
    news = [new_instance(archive, number, seconds=number) for number in (1, 2, 3)]
    news.append(
        new_instance(
            archive, 4, seconds=4, changes={"study_instance_uid": "2.25.1001", "modality": "MR"}
        )
    )
    _together(archive, [Entry(archive.rows.make(one), one.blob_name, b"s") for one in news])
    for one in news:
        with alone.transaction() as tx:
            alone.studies.add(tx, one)
    tables = {
        "instance": "instance_key, study_key, series_key, revision, standing, sop_digest, "
        "content_digest, sop_class_uid, transfer_syntax_uid, blob_name, size_bytes, peer_name, "
        "association_id, received_at",
        "series": "series_key, study_key, modality",
        "study": "study_key, patient_key, identity_version, peer_name",
        "patient": "patient_key, key_version",
        "revision": "study_key, number, state, hold_reason, reason, rule, number_of_instances, "
        "attempt, closed_at",
    }
    for table, columns in tables.items():
        assert _rows(archive, table, columns) == _rows(alone, table, columns)
    alone.close()


def _rows(archive: Archive, table: str, columns: str) -> list[tuple[object, ...]]:
    statement = text(f"SELECT {columns} FROM {table} ORDER BY {columns}")
    with archive.snapshot() as tx:
        return [tuple(row) for row in tx.execute(statement)]


def test_what_is_not_the_usual_case_is_left_and_holds_up_nobody(archive: Archive) -> None:
    known = _entry(archive, 1)
    assert _outcomes(_together(archive, [known])) == [Outcome.ENTERED]
    entries = [
        _entry(archive, 1, content=b"other content of the same UID"),
        _entry(archive, 2),
        _entry(archive, 3, changes={"patient_name": "Example^Bert"}),
        _entry(archive, 4, changes={"patient_id": "", "study_instance_uid": "2.25.1002"}),
        _entry(archive, 5),
    ]
    left, entered = Outcome.LEFT, Outcome.ENTERED
    assert _outcomes(_together(archive, entries)) == [left, entered, left, left, entered]
    assert (_count(archive, "instance"), _count(archive, "outbox")) == (3, 3)


def test_two_of_one_uid_in_a_group_are_judged_one_after_the_other(archive: Archive) -> None:
    twins = [_entry(archive, 1), _entry(archive, 1)]
    assert sorted(_outcomes(_together(archive, twins)), key=str) == [Outcome.ENTERED, Outcome.LEFT]
    assert _count(archive, "instance") == 1


def test_one_that_cannot_be_written_fails_alone(
    archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    """Its blob name is that of another, which the database refuses."""
    first, second = _entry(archive, 1), _entry(archive, 2)
    assert _outcomes(_together(archive, [first])) == [Outcome.ENTERED]
    stolen = new_instance(archive, 3)
    object.__setattr__(stolen, "blob_name", first.rows.new.blob_name)
    culprit = Entry(archive.rows.make(stolen), "event of the culprit", b"sealed")
    with caplog.at_level(logging.ERROR, "archive.custody"):
        results = _together(archive, [second, culprit])
    assert _outcomes(results) == [Outcome.LEFT, Outcome.LEFT]
    assert _outcomes(_together(archive, [second])) == [Outcome.ENTERED]
    assert first.rows.new.blob_name not in caplog.text
    assert "IntegrityError" in caplog.text or "UniqueViolation" in caplog.text


def test_a_revision_that_was_closed_is_followed_by_the_next(archive: Archive) -> None:
    entry = _entry(archive, 1)
    _together(archive, [entry])
    with archive.transaction() as tx:
        key = archive.revisions.newest(tx, entry.rows.study_key).key
        archive.revisions.hold(tx, key, HoldReason.CONFLICT, at=at(1))
        archive.revisions.close(tx, key, rule="r", at=at(2))
    _together(archive, [_entry(archive, 2, seconds=3), _entry(archive, 3, seconds=4)])
    with archive.snapshot() as tx:
        newest = archive.revisions.newest(tx, entry.rows.study_key)
    assert (newest.key.number, newest.number_of_instances) == (2, 2)
    assert (newest.state, newest.hold_reason) == (RevisionState.OPEN, HoldReason.CONFLICT)
    assert (newest.opened_at, newest.last_instance_at) == (at(3), at(4))


def test_threads_enter_side_by_side(archive: Archive) -> None:
    entries = [_entry(archive, number) for number in range(1, 25)]
    results: list[Result] = []

    def enter(some: Sequence[Entry]) -> None:
        results.extend(archive.custody.enter(one) for one in some)

    threads = [threading.Thread(target=enter, args=(entries[n::6],)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert _outcomes(results) == [Outcome.ENTERED] * 24
    assert (_count(archive, "instance"), _count(archive, "outbox")) == (24, 24)


# --- a world that fails ------------------------------------------------------------------------


def _broken(archive: Archive, monkeypatch: pytest.MonkeyPatch, *, at_commit: bool) -> None:
    """Let the database fail once the group has begun, or when it is committed."""
    original = archive.database.batch

    @contextmanager
    def failing() -> Iterator[Batch]:
        with original() as batch:
            if not at_commit:
                raise DatabaseUnavailableError("the database failed")
            yield batch
            batch.may_be_committed = True
            raise DatabaseUnavailableError("the database failed")

    monkeypatch.setattr(archive.database, "batch", failing)


@pytest.mark.parametrize(("at_commit", "outcome"), [(False, "FAILED"), (True, "UNKNOWN")])
def test_a_transaction_that_fails_is_told_to_each_of_its_group(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, at_commit: bool, outcome: str
) -> None:
    _together(archive, [_entry(archive, 9)])
    with monkeypatch.context() as broken:
        _broken(archive, broken, at_commit=at_commit)
        usual = [_entry(archive, number) for number in (1, 2)]
        left = _entry(archive, 9, content=b"known by another content")
        results = _together(archive, [*usual, left])
    assert _outcomes(results[:2]) == [Outcome[outcome]] * 2
    assert all(isinstance(error, DatabaseUnavailableError) for error in _errors(results[:2]))
    if at_commit:  # found out before it failed: the transaction was not that one's
        assert results[2] == Result(Outcome.LEFT)
    assert (_count(archive, "instance"), _count(archive, "outbox")) == (1, 1)
    assert _outcomes(_together(archive, usual)) == [Outcome.ENTERED] * 2


def test_a_database_that_others_lock_fails_the_group_and_nothing_is_left(tmp_path: Path) -> None:
    archive = make_archive(tmp_path)
    entries = [_entry(archive, number) for number in (1, 2)]
    archive.close()
    if not archive.database.is_sqlite:
        pytest.skip("SQLite's write lock")
    locked = make_archive(tmp_path, busy_timeout_s=0.2)
    other = sqlite3.connect(tmp_path / "data" / "archive.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    results = _together(locked, entries)
    other.execute("ROLLBACK")
    other.close()
    assert _outcomes(results) == [Outcome.FAILED] * 2
    assert all(isinstance(error, DatabaseBusyError) for error in _errors(results))
    assert _outcomes(_together(locked, entries)) == [Outcome.ENTERED] * 2
    locked.close()


# --- the statements ----------------------------------------------------------------------------

STATEMENTS = {
    **{
        name: statement
        for name, statement in vars(custody_statements).items()
        if isinstance(statement, Prepared)
    },
    "known_digests": known_digests(3),
    "newest_revisions": newest_revisions(3),
}


def test_a_value_that_a_statement_brings_itself_may_be_nothing() -> None:
    statement = Prepared(
        update(tables.arrival)
        .where(tables.arrival.c.study_key == bindparam("of_study"))
        .values(reported_at=None, stored=5)
    )
    for _ in range(2):
        _, values = statement.bind(sqlite.dialect(), {"of_study": "s"})
        assert sorted(map(str, values)) == ["5", "None", "s"]


def test_a_batch_that_is_over_cannot_be_used_any_more(archive: Archive) -> None:
    with archive.database.batch() as batch:
        batch.rows(known_digests(1), {"value_0": b"x"})
    with pytest.raises(Exception, match="closed"):
        batch.rows(known_digests(1), {"value_0": b"x"})


@pytest.mark.parametrize("name", STATEMENTS)
def test_each_statement_can_be_written_for_both_databases(name: str) -> None:
    assert len(STATEMENTS) > 8
    dialects: list[Any] = [sqlite.dialect(), postgresql.dialect(paramstyle="pyformat")]  # type: ignore[no-untyped-call]
    for dialect in dialects:
        written, order, _ = STATEMENTS[name]._text(dialect)
        assert written.split()[0] in {"SELECT", "INSERT", "UPDATE"}
        assert (order is None) == (dialect.name == "postgresql")
