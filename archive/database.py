"""Engine and transactions, on SQLite and PostgreSQL. Many processes use the database at once.

On SQLite a writer takes the write lock when it begins (`BEGIN IMMEDIATE`), so that it never finds
halfway that somebody else was faster; writers of one process queue before that on a lock of their
own, and processes at a turnstile (`turn`), which is fairer than SQLite's polling. A commit returns
after its fsync, on both.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from sqlalchemy import (
    Connection,
    CursorResult,
    Dialect,
    Engine,
    Executable,
    PoolProxiedConnection,
    Table,
    create_engine,
    event,
    make_url,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from archive.database_file import DatabaseFile
from archive.disk import FILE_MODE, Disk, translated
from archive.errors import (
    DamagedDatabaseError,
    DatabaseBusyError,
    DatabaseFullError,
    DatabaseUnavailableError,
)
from archive.prepared import Prepared, Values
from archive.turn import Turnstile
from core.errors import ServiceError

_POOL_SIZE, _POOL_OVERFLOW = 8, 24

# Source: SQLite, "Result and Error Codes"; PostgreSQL manual, Appendix A.
_SQLITE_ERRORS: dict[str, type[ServiceError]] = {
    "SQLITE_FULL": DatabaseFullError,
    "SQLITE_BUSY": DatabaseBusyError,
    "SQLITE_LOCKED": DatabaseBusyError,
    "SQLITE_CORRUPT": DamagedDatabaseError,
    "SQLITE_NOTADB": DamagedDatabaseError,
}
_SQLSTATES: dict[str, type[ServiceError]] = {
    "53": DatabaseFullError,  # insufficient resources
    "40": DatabaseBusyError,  # transaction rollback: deadlock, serialization
    "55": DatabaseBusyError,  # object not in prerequisite state: lock not available
    "57": DatabaseUnavailableError,  # operator intervention
    "58": DatabaseUnavailableError,  # system error
    "08": DatabaseUnavailableError,  # connection exception
    "XX": DamagedDatabaseError,
}
_MESSAGES: dict[type[ServiceError], tuple[str, str]] = {
    DatabaseFullError: ("the database is full", "Free space on the disk of `archive.folder`"),
    DatabaseBusyError: ("the database is busy", "Try again; see `archive.busy_timeout_s`"),
    DatabaseUnavailableError: (
        "the database cannot be reached or written",
        "Look at `archive.database_url`, the disk and the system log",
    ),
    DamagedDatabaseError: ("the database is damaged", "Restore it from a backup"),
}

if TYPE_CHECKING:  # the dialect of PostgreSQL takes 3 MiB that most processes never need
    from sqlalchemy.dialects import postgresql

Insert: TypeAlias = "sqlite.Insert | postgresql.Insert"

_PREPARED: dict[tuple[Callable[["Transaction"], Insert], bool], Insert] = {}
"""Statements are immutable; building one costs more than running it."""


class Transaction:
    """One transaction; everything that several repositories write through it is one commit."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.is_sqlite = connection.dialect.name == "sqlite"

    def execute(self, statement: Executable, values: Any = None) -> CursorResult[Any]:  # noqa: ANN401
        """Run one statement."""
        return self.connection.execute(statement, values)

    def insert(self, table: Table) -> Insert:
        """Return an insert that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
        if self.is_sqlite:
            return sqlite.insert(table)
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)

    def prepared(self, build: Callable[["Transaction"], Insert]) -> Insert:
        """Return what `build` makes of this transaction's dialect, built once per process."""
        key = (build, self.is_sqlite)
        if key not in _PREPARED:
            _PREPARED[key] = build(self)
        return _PREPARED[key]

    def lock(self, name: str) -> None:
        """Let no other writer that locks the same name go on before this transaction ends.

        On SQLite there is only ever one writer.
        """
        self.lock_all([name])

    def lock_all(self, names: Iterable[str]) -> None:
        """Lock several names in the one order that everybody keeps to who locks more than one."""
        if not self.is_sqlite:
            for number in sorted({_lock_number(name) for name in names}):
                self.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})


class Batch:
    """One transaction at the level of the driver, for statements that are run for every object."""

    def __init__(self, dialect: Dialect, cursor: Any) -> None:  # noqa: ANN401 - of any driver
        self._dialect = dialect
        self._cursor = cursor
        self.may_be_committed = False
        """Whether the commit has begun: if it fails, nobody can say whether it happened."""

    def rows(self, statement: Prepared, values: Values) -> list[tuple[Any, ...]]:
        """Run one statement; return its rows."""
        self._cursor.execute(*statement.bind(self._dialect, values))
        return list(self._cursor.fetchall())

    def run(self, statement: Prepared, rows: Sequence[Values]) -> None:
        """Run one statement for each of `rows`."""
        if len(rows) == 1:
            self._cursor.execute(*statement.bind(self._dialect, rows[0]))
        elif rows:
            self._cursor.executemany(*statement.bind_all(self._dialect, rows))

    def lock(self, names: Iterable[str]) -> None:
        """Lock names as `Transaction.lock` does, in the one order that all groups keep to."""
        if self._dialect.name != "sqlite":
            numbers = sorted({_lock_number(name) for name in names})
            statement = "SELECT pg_advisory_xact_lock(%s)"
            self._cursor.executemany(statement, [(number,) for number in numbers])


class Database:
    """The one database of an installation, as one process sees it."""

    def __init__(self, url: str, *, busy_timeout_s: float) -> None:
        self._busy_timeout_s = busy_timeout_s
        self._turnstile = _turnstile(url, busy_timeout_s)
        self._engine = _engine(url, busy_timeout_s, self._turnstile)
        self.is_sqlite = self._engine.dialect.name == "sqlite"
        self._kept: PoolProxiedConnection | None = None
        self._file = DatabaseFile(Path(self._engine.url.database or "")) if self.is_sqlite else None
        self._writer = threading.Lock()
        self._writing_thread: int | None = None

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Write: all of the body is committed when it ends, or nothing of it.

        Raises
        ------
        DatabaseBusyError, DatabaseFullError, DatabaseUnavailableError, DamagedDatabaseError
            In place of any error of the database. If the commit itself fails, nobody can say
            whether it happened; what was written must be such that it may be written again.
        """
        with self._turn(), _translated(), self._engine.connect() as connection:
            if self.is_sqlite:
                connection.info["begin"] = "BEGIN IMMEDIATE"
            with connection.begin():
                yield Transaction(connection)

    @contextmanager
    def batch(self) -> Iterator[Batch]:
        """Write as `transaction` does, with prepared statements only.

        Raises
        ------
        As `transaction`. What no database should say (a broken constraint, a missing table) is
        raised as the driver's own error: a defect of ours, and it looks like one.
        """
        with self._turn(), _translated(), self._driver_connection() as connection:
            cursor = connection.cursor()
            batch = Batch(self._engine.dialect, cursor)
            try:
                if self._turnstile is not None:
                    self._turnstile.begin(connection)
                yield batch
                batch.may_be_committed = True
                connection.commit()
            except BaseException:
                connection.rollback()
                raise
            finally:
                # Left to the collector, it would reset a statement that others run by then.
                cursor.close()

    @contextmanager
    def _driver_connection(self) -> Iterator[Any]:
        """Lend a connection; SQLite, which has one writer, keeps its own for the next time."""
        pooled, self._kept = self._kept or self._engine.raw_connection(), None
        try:
            yield pooled.driver_connection
        except self._engine.dialect.loaded_dbapi.Error as error:
            pooled.close()
            raise _error(_leaf(error), _name(error)) from None
        except BaseException:
            pooled.close()
            raise
        if self.is_sqlite:
            self._kept = pooled
        else:
            pooled.close()

    @contextmanager
    def snapshot(self) -> Iterator[Transaction]:
        """Read: every statement of the body sees the same moment."""
        with _translated(), self._engine.connect() as connection:
            if self.is_sqlite:
                connection.info["begin"] = "BEGIN"
            else:
                connection = connection.execution_options(  # noqa: PLW2901
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            with connection.begin():
                yield Transaction(connection)

    def close(self) -> None:
        """Close every connection of this process."""
        if self._kept is not None:
            self._kept.close()
        self._engine.dispose()
        if self._turnstile is not None:
            self._turnstile.close()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._file is None:
            yield
            return
        if self._writing_thread == threading.get_ident():
            raise RuntimeError("transactions do not nest; hand the open one down")
        if not self._writer.acquire(timeout=self._busy_timeout_s):
            raise _error(DatabaseBusyError)
        self._writing_thread = threading.get_ident()
        try:
            self._file.require_in_place()
            yield
            self._file.require_in_place()
        finally:
            self._writing_thread = None
            self._writer.release()


def sqlite_url(path: Path) -> str:
    """Return the URL of a database file."""
    return f"sqlite:///{path}"


def make_database_file(path: Path, disk: Disk) -> None:
    """Make an empty database file that only we may read; SQLite would let the umask decide."""
    if path.exists():
        return
    disk.make_folder(path.parent)
    with translated("creating the database"):
        try:
            disk.close(disk.create(path))
        except FileExistsError:
            return
        disk.fsync_folder(path.parent)
    assert path.stat().st_mode & 0o777 == FILE_MODE


def _lock_number(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)


def _turnstile(url: str, busy_timeout_s: float) -> Turnstile | None:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return None
    return Turnstile(str(parsed.database), timeout_s=busy_timeout_s)


def _engine(url: str, busy_timeout_s: float, turnstile: Turnstile | None) -> Engine:
    parsed = make_url(url)
    pool = {"pool_size": _POOL_SIZE, "max_overflow": _POOL_OVERFLOW, "pool_timeout": busy_timeout_s}
    if turnstile is not None:
        arguments = {"timeout": busy_timeout_s}
        engine = create_engine(parsed, hide_parameters=True, connect_args=arguments, **pool)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", partial(_begin_sqlite, turnstile))
        return engine
    milliseconds = int(busy_timeout_s * 1000)
    options = f"-c synchronous_commit=on -c lock_timeout={milliseconds}"
    return create_engine(
        parsed, hide_parameters=True, pool_pre_ping=True, connect_args={"options": options}, **pool
    )


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(turnstile: Turnstile, connection: Connection) -> None:
    driver = cast("sqlite3.Connection", connection.connection.driver_connection)
    try:
        if connection.info.get("begin") == "BEGIN":
            driver.execute("BEGIN")
        else:
            turnstile.begin(driver)
    except sqlite3.Error as error:
        raise _error(_leaf(error), _name(error)) from None


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except PoolTimeoutError:
        raise _error(DatabaseBusyError) from None
    except DBAPIError as error:
        # The chain is cut: the driver's text may quote what was being written.
        raise _error(_leaf(error), _name(error)) from None


def _leaf(error: Exception) -> type[ServiceError]:
    """Return our name of an error of SQLAlchemy or of a driver; raise it again if it is a bug."""
    name = _name(error)
    if name.startswith("SQLITE_"):
        base = "_".join(name.split("_")[:2])
        if base in {"SQLITE_CONSTRAINT", "SQLITE_MISUSE", "SQLITE_ERROR", "SQLITE_MISMATCH"}:
            raise error  # a defect of ours, and it looks like one
        return _SQLITE_ERRORS.get(base, DatabaseUnavailableError)
    if name[:2] in {"22", "23", "42"}:
        raise error
    return _SQLSTATES.get(name[:2], DatabaseUnavailableError)


def _name(error: Exception) -> str:
    """Return SQLite's name of the error, or the SQLSTATE; empty for a lost connection."""
    driver = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(driver, "sqlite_errorname", None) or getattr(driver, "sqlstate", None) or "")


def _error(leaf: type[ServiceError], name: str = "") -> ServiceError:
    message, remedy = _MESSAGES[leaf]
    return leaf(f"{message} ({name})" if name else message, remedy=remedy)
