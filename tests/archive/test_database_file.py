"""The database's file is taken away: nothing is committed to what has no name."""

import os
from pathlib import Path

import pytest
from sqlalchemy import text

from archive.database import Database, sqlite_url
from archive.errors import DatabaseUnavailableError, MissingDatabaseError
from core.model import StudyKey
from tests.support.archives import POSTGRES, make_archive


def _write(database: Database) -> None:
    with database.transaction() as tx:
        tx.execute(text("INSERT INTO t VALUES (1)"))


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = Database(sqlite_url(tmp_path / "x.db"), busy_timeout_s=5)
    with made.transaction() as tx:
        tx.execute(text("CREATE TABLE t (n)"))
    return made


def test_nothing_is_written_while_the_file_is_away_and_all_goes_on_when_it_is_back(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "x.db").rename(tmp_path / "away")
    with pytest.raises(DatabaseUnavailableError, match="moved away"):
        _write(database)
    (tmp_path / "away").rename(tmp_path / "x.db")
    _write(database)
    database.close()


def test_a_commit_counts_for_nothing_if_the_file_was_replaced_meanwhile(
    database: Database, tmp_path: Path
) -> None:
    def write_while_it_is_replaced() -> None:
        with database.transaction() as tx:
            tx.execute(text("INSERT INTO t VALUES (1)"))
            (tmp_path / "x.db").rename(tmp_path / "away")
            (tmp_path / "x.db").touch()

    with pytest.raises(DatabaseUnavailableError, match="replaced"):
        write_while_it_is_replaced()
    database.close()


@pytest.mark.skipif(bool(os.environ.get(POSTGRES)), reason="about SQLite's files")
def test_no_new_database_is_made_beside_sealed_objects(tmp_path: Path) -> None:
    """Every one of them would be removed after a while, as nobody's."""
    archive = make_archive(tmp_path)
    archive.put_object(StudyKey("study"), b"sealed")
    archive.close()
    for file in tmp_path.rglob("archive.db*"):
        file.unlink()
    with pytest.raises(MissingDatabaseError, match="sealed objects"):
        make_archive(tmp_path)
