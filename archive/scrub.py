"""Read every sealed object again, because a disk forgets without saying so.

What cannot be read any more is noted as damaged. The file stays where it is: every read of it fails
at its first wrong piece, so that nothing of it can be used, and when the same object is sent again
or the file is restored from a backup, it counts as whole again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Select, Table, delete, exists, func, literal, select, union_all

from archive.archive import Archive
from archive.database import Transaction
from archive.tables import damaged as table
from archive.tables import installation, instance, released, result_object
from core.errors import CorruptionError, ForgottenError
from core.model import StudyKey

_NAMING: dict[str, tuple[Table, str]] = {
    "instance": (instance, "instance_key"),
    "released copy": (released, "instance_key"),
    "result": (result_object, "result_key"),
}
"""What names sealed objects, by what we call it, with the column of its key."""

_ROUND = "scrub round"

DIGESTED = "instance"
"""The kind whose content has a digest in its row."""


@dataclass(frozen=True)
class StoredObject:
    """One sealed object, as its row names it."""

    kind: str
    """`instance`, `released copy` or `result`."""
    row_key: str
    study_key: StudyKey
    blob_name: str
    size_bytes: int


@dataclass(frozen=True)
class DamagedObject:
    """An object that is not what we wrote."""

    kind: str
    row_key: str
    study_key: StudyKey
    blob_name: str
    reason: str
    found_at: datetime


class Digest(Protocol):
    """Compares the content of an object with what its row says of it."""

    def update(self, piece: bytes) -> None:
        """Take the next piece."""

    def is_right(self) -> bool:
        """Whether all pieces together are what they should be."""


class Unchecked:
    """Stands for the digest of an object that has none."""

    def update(self, piece: bytes) -> None:
        """Take the next piece."""

    def is_right(self) -> bool:
        """Return that nothing speaks against it."""
        return True


class Damage:
    """Which objects were found damaged; those that no row names any more do not count."""

    def note(self, tx: Transaction, found: DamagedObject) -> bool:
        """Note a damaged object; return False if that is known."""
        added = tx.execute(
            tx.insert(table)
            .values(
                blob_name=found.blob_name,
                kind=found.kind,
                row_key=found.row_key,
                study_key=found.study_key,
                reason=found.reason,
                found_at=found.found_at,
            )
            .on_conflict_do_nothing(index_elements=["blob_name"])
        )
        return added.rowcount == 1

    def is_noted(self, tx: Transaction, blob_name: str) -> bool:
        """Whether an object was found damaged."""
        noted = select(table.c.blob_name).where(table.c.blob_name == blob_name)
        return tx.execute(noted).first() is not None

    def clear(self, tx: Transaction, blob_name: str) -> bool:
        """Note that an object is whole; return whether it was not before."""
        return tx.execute(delete(table).where(table.c.blob_name == blob_name)).rowcount == 1

    def of_study(self, tx: Transaction, study_key: StudyKey) -> tuple[DamagedObject, ...]:
        """Return the damaged objects of a study."""
        return self._select(tx, _counting().where(table.c.study_key == study_key))

    def all(self, tx: Transaction) -> tuple[DamagedObject, ...]:
        """Return every damaged object, that found first before the others."""
        return self._select(tx, _counting())

    def count(self, tx: Transaction) -> int:
        """Return how many objects are damaged."""
        counted = select(func.count()).select_from(_counting().subquery())
        return int(tx.execute(counted).scalar_one())

    def _select(self, tx: Transaction, statement: Select[Any]) -> tuple[DamagedObject, ...]:
        rows = tx.execute(statement.order_by(table.c.found_at, table.c.blob_name))
        return tuple(
            DamagedObject(
                row.kind,
                row.row_key,
                StudyKey(row.study_key),
                row.blob_name,
                row.reason,
                row.found_at,
            )
            for row in rows
        )


def objects(tx: Transaction, *, after: str, limit: int) -> tuple[StoredObject, ...]:
    """Return the next objects in the order of their names, which is no order of time or study."""
    parts = [
        select(
            literal(kind).label("kind"),
            naming.c[key].label("row_key"),
            naming.c.study_key,
            naming.c.blob_name,
            naming.c.size_bytes,
        ).where(naming.c.blob_name > after)
        for kind, (naming, key) in _NAMING.items()
    ]
    rows = tx.execute(union_all(*parts).order_by("blob_name").limit(limit))
    return tuple(
        StoredObject(row.kind, row.row_key, StudyKey(row.study_key), row.blob_name, row.size_bytes)
        for row in rows
    )


def count_objects(tx: Transaction) -> tuple[int, int]:
    """Return how many objects rows name, and how many bytes those are."""
    number = size = 0
    for naming, _ in _NAMING.values():
        wanted = select(
            func.count().label("number"), func.sum(naming.c.size_bytes).label("size")
        ).where(naming.c.blob_name.is_not(None))
        row = tx.execute(wanted).one()
        number, size = number + int(row.number), size + int(row.size or 0)
    return number, size


def is_named(tx: Transaction, stored: StoredObject) -> bool:
    """Whether a row still names the object; another may just have taken its place."""
    naming, _ = _NAMING[stored.kind]
    found = select(naming.c.blob_name).where(naming.c.blob_name == stored.blob_name)
    return tx.execute(found).first() is not None


def digest_of(tx: Transaction, stored: StoredObject) -> tuple[str, bytes] | None:
    """Return transfer syntax and content digest of an instance; None if it is gone."""
    row = tx.execute(
        select(instance.c.transfer_syntax_uid, instance.c.content_digest).where(
            instance.c.instance_key == stored.row_key
        )
    ).first()
    return None if row is None else (row.transfer_syntax_uid, row.content_digest)


def place(tx: Transaction) -> str:
    """Return the name of the object up to which the present round has come."""
    row = tx.execute(select(installation.c.value).where(installation.c.name == _ROUND)).first()
    return "" if row is None else bytes(row.value).decode()


def keep_place(tx: Transaction, after: str) -> None:
    """Keep how far the round has come."""
    values = {"value": after.encode()}
    tx.execute(
        tx.insert(installation)
        .values(name=_ROUND, **values)
        .on_conflict_do_update(index_elements=["name"], set_=values)
    )


def fault(archive: Archive, stored: StoredObject, digest: Digest) -> str:
    """Read a whole object; return what is wrong with it, empty if nothing is.

    Raises
    ------
    UnavailableError
        If the disk cannot be read now: that says nothing of the object.
    """
    length = 0
    try:
        for piece in _pieces(archive, stored):
            length += len(piece)
            digest.update(piece)
    except CorruptionError as error:
        return error.message
    except ForgottenError:
        return ""
    if length != stored.size_bytes:
        return f"the object has {length} bytes, and its row says {stored.size_bytes}"
    return "" if digest.is_right() else "the object is not the one whose digest its row has"


def _pieces(archive: Archive, stored: StoredObject) -> Iterator[bytes]:
    return archive.open_object(stored.study_key, stored.blob_name)


def _counting() -> Select[Any]:
    named = [
        exists().where(naming.c.blob_name == table.c.blob_name) for naming, _ in _NAMING.values()
    ]
    return select(table).where(named[0] | named[1] | named[2])
