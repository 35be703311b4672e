"""Statements that are run for every object: built once, handed to the driver as they are.

SQLAlchemy takes five times as long to run such a statement as SQLite does. So it writes the SQL
once for each dialect, from our tables, and the driver runs that.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from sqlalchemy import Dialect
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.expression import ClauseElement

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Values: TypeAlias = Mapping[str, Any]
DialectInsert: TypeAlias = Callable[..., Any]
"""SQLite's or PostgreSQL's `insert`, which know what to do on a conflict."""


class Prepared:
    """One statement, for any dialect; safe for many threads at once."""

    def __init__(
        self,
        statement: ClauseElement | Callable[[DialectInsert], object],
        columns: Sequence[str] | None = None,
    ) -> None:
        """Take a statement whose values are all bound by name.

        Parameters
        ----------
        statement
            It, or what builds it with a dialect's own `insert`.
        columns
            Those that an INSERT is given.
        """
        self._statement = statement
        self._columns = None if columns is None else list(columns)
        self._written: dict[str, tuple[str, tuple[str, ...] | None, Values]] = {}

    def bind(self, dialect: Dialect, values: Values) -> tuple[str, Any]:
        """Return the text for a driver, and the values as it takes them."""
        text, order, fixed = self._text(dialect)
        if fixed:
            values = {**fixed, **values}
        if order is None:
            return text, {name: _plain(value) for name, value in values.items()}
        return text, [_plain(values[name]) for name in order]

    def bind_all(self, dialect: Dialect, rows: Sequence[Values]) -> tuple[str, list[Any]]:
        """Return the text, and the values of many rows."""
        return self._text(dialect)[0], [self.bind(dialect, row)[1] for row in rows]

    def _text(self, dialect: Dialect) -> tuple[str, tuple[str, ...] | None, Values]:
        written = self._written.get(dialect.name)
        if written is None:
            statement: Any = self._statement
            if not isinstance(statement, ClauseElement):
                statement = statement(_insert_of(dialect))
            compiled: Any = statement.compile(dialect=dialect, column_keys=self._columns)
            order = tuple(compiled.positiontup) if compiled.positional else None
            given = {name for name, bound in compiled.binds.items() if bound.required}
            fixed = {name: one for name, one in compiled.params.items() if name not in given}
            written = self._written[dialect.name] = str(compiled), order, fixed
        return written


def _insert_of(dialect: Dialect) -> DialectInsert:
    if dialect.name == "sqlite":
        return sqlite.insert
    from sqlalchemy.dialects import postgresql

    return postgresql.insert


def _plain(value: object) -> object:
    """Return a value as the column keeps it: a moment in microseconds since 1970."""
    return (value - _EPOCH) // _MICROSECOND if isinstance(value, datetime) else value
