"""Tables and their history."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

import archive as package
from archive.archive import Archive
from archive.errors import SchemaError, WrongKeysError
from archive.schema import HEAD, migrate
from archive.tables import metadata
from tests.support.archives import make_archive


def test_migrations_end_in_the_tables_we_use(archive: Archive) -> None:
    with archive.snapshot() as tx:
        assert compare_metadata(MigrationContext.configure(tx.connection), metadata) == []


def test_head_is_the_newest_migration() -> None:
    scripts = ScriptDirectory(str(Path(package.__path__[0]) / "migrations"))
    assert scripts.get_current_head() == HEAD


def test_a_database_of_a_newer_version_is_refused(archive: Archive) -> None:
    with archive.transaction() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaError, match="9999"):
        migrate(archive.database)


def test_an_archive_opens_again_and_only_with_its_own_keys(
    archive: Archive, tmp_path: Path
) -> None:
    make_archive(tmp_path).close()
    with pytest.raises(WrongKeysError, match="do not belong"):
        make_archive(tmp_path, index_key=b"x" * 32)
