"""Which event ids the log holds already: a cache beside the log, which may be deleted any time.

It says up to which size of which tree (by root) it is complete, so that the log trusts it only if
that is its own beginning, and adds what came later.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from audit.tree import EMPTY_ROOT

FILE = "ids.db"
_BUFFERED = 512
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS ids (id BLOB PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS complete_to (size INTEGER NOT NULL, root BLOB NOT NULL);
"""


class IdIndex:
    """Positions by event id (16 bytes)."""

    size: int
    root: bytes

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._recent: dict[bytes, int] = {}
        try:
            self._database = self._opened()
        except sqlite3.DatabaseError:
            self._database = self._made_anew()

    def _opened(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, check_same_thread=False)
        try:
            database.executescript(_SCHEMA)
            row = database.execute("SELECT size, root FROM complete_to").fetchone()
        except sqlite3.DatabaseError:
            database.close()
            raise
        self.size, self.root = row or (0, EMPTY_ROOT)
        return database

    def _made_anew(self) -> sqlite3.Connection:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        return self._opened()

    def position_of(self, event_id: bytes) -> int | None:
        """Return where the id stands in the log, or None if it does not."""
        if event_id in self._recent:
            return self._recent[event_id]
        found = self._database.execute("SELECT position FROM ids WHERE id = ?", (event_id,))
        row: tuple[int] | None = found.fetchone()
        return row[0] if row else None

    def add(self, first: int, event_ids: Sequence[bytes]) -> None:
        """Note the ids of entries that are durable in the log."""
        self._recent.update(zip(event_ids, range(first, first + len(event_ids)), strict=True))

    @property
    def is_full(self) -> bool:
        """Whether it is time to `flush`."""
        return len(self._recent) >= _BUFFERED

    def flush(self, size: int, root: bytes) -> None:
        """Keep what was added: now complete up to the tree of this size and root."""
        with self._database:
            self._database.executemany(
                "INSERT OR IGNORE INTO ids VALUES (?, ?)", self._recent.items()
            )
            self._database.execute("DELETE FROM complete_to")
            self._database.execute("INSERT INTO complete_to VALUES (?, ?)", (size, root))
        self.size, self.root = size, root
        self._recent.clear()

    def clear(self) -> None:
        """Forget everything; the log will tell it again."""
        self._recent.clear()
        self._database.close()
        self._database = self._made_anew()

    def close(self) -> None:
        """Close the file; what was not flushed is told again by the log."""
        self._database.close()
