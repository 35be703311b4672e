"""Compare files with rows: remove what nobody names, report what is missing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Table, select

from archive.blobs import BlobFile, BlobStore
from archive.database import Database, Transaction
from archive.keystore import Keystore
from archive.tables import delivery, instance, released, result_object
from core.model import RevisionKey, StudyKey
from core.states import DeliveryState

_NAMING: tuple[Table, ...] = (instance, released, result_object)


@dataclass(frozen=True)
class MissingObject:
    """A row whose sealed object is gone: corruption, and an alarm."""

    table: str
    study_key: StudyKey
    blob_name: str


@dataclass(frozen=True)
class SweepReport:
    """What one comparison found."""

    files: int
    """How many files were looked at."""
    orphans_removed: int
    """Finished files that no row names: never acknowledged, because their commit did not happen."""
    partials_removed: int
    """Files that were never finished."""
    missing: tuple[MissingObject, ...]


@dataclass(frozen=True)
class KeptRow:
    """Something that is kept, and must have an audit record."""

    what: str
    """`instance`, `result` or `delivery`."""
    name: str
    """Our key of it; of a delivery, revision and destination."""
    at: datetime
    """When; name and moment together tell its audit record."""


class Upkeep:
    """Keeps files and rows in agreement. Safe while other processes store and read."""

    def __init__(self, database: Database, blobs: BlobStore, keystore: Keystore) -> None:
        self._database = database
        self._blobs = blobs
        self._keystore = keystore

    def sweep(
        self, *, now: float, grace_s: float, progress: Callable[[int], None] | None = None
    ) -> SweepReport:
        """Compare all files with all rows.

        `now` is in seconds since 1970, as files count. A file younger than `grace_s` may belong to
        an object whose commit is just happening, and is left alone. `progress` is told how many of
        the 256 folders are done.
        """
        files = orphans = 0
        partials = self._keystore.remove_leftovers(older_than=now - grace_s)
        missing: list[MissingObject] = []
        for done, prefix in enumerate(self._blobs.prefixes(), start=1):
            # Rows first: a file is there before its row is, and so none can seem missing.
            named = {row.blob_name: row for row in self._rows(prefix)}
            found = self._blobs.files(prefix)
            files += len(found)
            names = {file.name for file in found if not file.is_partial}
            missing += self._missing(prefix, [name for name in named if name not in names])
            for file in found:
                if now - file.modified_at >= grace_s and self._is_unneeded(file, named):
                    self._blobs.remove(file)
                    partials += file.is_partial
                    orphans += not file.is_partial
            if progress is not None:
                progress(done)
        return SweepReport(files, orphans, partials, tuple(missing))

    def kept(self, tx: Transaction) -> Iterator[KeptRow]:
        """Yield everything that must have an audit record: what was stored, made, delivered."""
        rows = tx.execute(select(instance.c.instance_key, instance.c.received_at))
        for row in rows:
            yield KeptRow("instance", row.instance_key, row.received_at)
        rows = tx.execute(select(result_object.c.result_key, result_object.c.created_at))
        for row in rows:
            yield KeptRow("result", row.result_key, row.created_at)
        rows = tx.execute(
            select(
                delivery.c.study_key, delivery.c.revision, delivery.c.destination,
                delivery.c.updated_at,
            )
            .where(delivery.c.state == DeliveryState.COMPLETED.value)
            .distinct()
        )  # fmt: skip
        for row in rows:
            sent = f"{RevisionKey(StudyKey(row.study_key), row.revision)} {row.destination}"
            yield KeptRow("delivery", sent, row.updated_at)

    def _missing(self, prefix: str, suspects: list[str]) -> list[MissingObject]:
        """Return the suspects that rows still name: another process may just have replaced one."""
        if not suspects:
            return []
        return [row for row in self._rows(prefix) if row.blob_name in suspects]

    def _is_unneeded(self, file: BlobFile, named: dict[str, MissingObject]) -> bool:
        return file.is_partial or file.name not in named

    def _rows(self, prefix: str) -> Iterator[MissingObject]:
        with self._database.snapshot() as tx:
            for table in _NAMING:
                rows = tx.execute(
                    select(table.c.study_key, table.c.blob_name).where(
                        table.c.blob_name >= prefix, table.c.blob_name < f"{prefix}g"
                    )
                )
                for row in rows:
                    yield MissingObject(table.name, StudyKey(row.study_key), row.blob_name)
