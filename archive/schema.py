"""Bring the database to the tables of this version, whichever process comes first.

Alembic is imported only when there is something to do: most starts need none of it.
"""

from pathlib import Path

from sqlalchemy import inspect, text

from archive.database import Database, Transaction
from archive.errors import SchemaError

HEAD = "0003"
"""The newest revision in `migrations/versions`."""

_MIGRATIONS = Path(__file__).resolve().parent / "migrations"


def migrate(database: Database) -> None:
    """Create or upgrade the tables; does nothing if they are those of this version.

    Raises
    ------
    SchemaError
        If the database was made by a newer version.
    """
    with database.snapshot() as tx:
        if _version(tx) == HEAD:
            return
    with database.transaction() as tx:
        tx.lock("schema")
        version = _version(tx)
        if version is not None and version > HEAD:
            raise SchemaError(
                f"the database is of schema {version}, and this version knows {HEAD}",
                remedy="Run the version of the service that made it, or a newer one",
            )
        if version != HEAD:
            _upgrade(tx)


def _version(tx: Transaction) -> str | None:
    if not inspect(tx.connection).has_table("alembic_version"):
        return None
    return tx.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _upgrade(tx: Transaction) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = tx.connection
    command.upgrade(config, "head")
