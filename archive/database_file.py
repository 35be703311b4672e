"""Whether the file that our connections write to is still the one that its name stands for.

SQLite goes on writing to a file that was moved away or replaced: what it commits there is nowhere
once the service starts again. So we look before a transaction, and after it before anybody is told.
"""

from pathlib import Path

from archive.errors import DatabaseUnavailableError


class DatabaseFile:
    """The file of one SQLite database, as one process sees it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None

    def require_in_place(self) -> None:
        """Return if the name stands for the file that it first stood for.

        Raises
        ------
        DatabaseUnavailableError
            If the file was moved away, removed, or replaced.
        """
        found = self._look()
        if self._identity is None:
            self._identity = found
        elif found != self._identity:
            raise DatabaseUnavailableError(
                "the database file was moved away or replaced while the service runs",
                remedy="Put it back; to use another one stop the service first",
            )

    def _look(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino
