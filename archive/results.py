"""What was made of a study: released copies, readings, and result objects.

Whatever a step leaves here it may leave again: rows are keyed by what determines their content.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, delete, func, select, update

from archive.database import Transaction
from archive.entries import Standing
from archive.errors import UnknownResultError
from archive.index import IdentityIndex, ResultKey
from archive.tables import instance, reading, released, result_object
from archive.vault import Vault
from core.findings import Reading
from core.model import InstanceKey, RevisionKey, StudyKey


@dataclass(frozen=True)
class ReleasedCopy:
    """The de-identified copy of one instance, or why there is none."""

    instance_key: InstanceKey
    study_key: StudyKey
    recipe: str
    """What determined the copy: a digest of profile, keys and identity version."""
    blob_name: str | None
    """None if the instance could not be released."""
    size_bytes: int
    reason: str
    """Why it could not be released; one sentence without patient data, else empty."""
    made_at: datetime
    meta: bytes = field(default=b"", repr=False)
    """What its maker wants to keep with it; sealed."""


@dataclass(frozen=True)
class ResultObject:
    """One encoded result object; its bytes are sealed and never made twice."""

    revision: RevisionKey
    kind: str
    """`SR`, `SC` and so on."""
    ordinal: int
    """1 for the first of its kind."""
    sop_class_uid: str
    transfer_syntax_uid: str
    sop_instance_uid: str
    """Deterministic: the same result has the same UID; it names the row."""
    series_instance_uid: str
    identity_version: int
    """Of the study's identity that it was made under."""
    blob_name: str
    size_bytes: int
    created_at: datetime
    checked_at: datetime | None = None
    """When it passed the last check."""
    withdrawn_at: datetime | None = None
    """When another object took its place."""
    meta: bytes = field(default=b"", repr=False)
    """What its maker wants to keep with it; sealed."""


@dataclass(frozen=True)
class _SealedUids:
    sop_instance_uid: str
    series_instance_uid: str
    meta: str


class Results:
    """Saves and finds what the pipeline made."""

    def __init__(self, index: IdentityIndex, vault: Vault) -> None:
        self._index = index
        self._vault = vault

    # --- released copies

    def put_released(self, tx: Transaction, copy: ReleasedCopy) -> str | None:
        """Save a released copy in place of an older one of the same instance.

        Returns the name of the object that is needed no more, to be deleted after the commit.
        """
        old = tx.execute(
            select(released.c.blob_name).where(released.c.instance_key == copy.instance_key)
        ).scalar()
        row = f"released {copy.instance_key}"
        values = {
            "study_key": copy.study_key,
            "recipe": copy.recipe,
            "blob_name": copy.blob_name,
            "size_bytes": copy.size_bytes,
            "reason": copy.reason,
            "made_at": copy.made_at,
            "sealed": self._vault.seal_bytes(copy.study_key, row, copy.meta),
        }
        tx.execute(
            tx.insert(released)
            .values(instance_key=copy.instance_key, **values)
            .on_conflict_do_update(index_elements=["instance_key"], set_=values)
        )
        return str(old) if old is not None and old != copy.blob_name else None

    def released(self, tx: Transaction, key: RevisionKey) -> tuple[ReleasedCopy, ...]:
        """Return the copies of all instances that count in a revision, in order of arrival."""
        rows = tx.execute(
            select(released)
            .join(instance, instance.c.instance_key == released.c.instance_key)
            .where(
                instance.c.study_key == key.study_key,
                instance.c.revision <= key.number,
                instance.c.standing == Standing.CURRENT.value,
            )
            .order_by(instance.c.received_at, instance.c.instance_key)
        )
        return tuple(self._released(row) for row in rows)

    # --- readings

    def put_readings(
        self, tx: Transaction, key: RevisionKey, readings: Sequence[Reading], *, at: datetime
    ) -> None:
        """Save all readings of a revision, in place of those of an earlier attempt."""
        tx.execute(
            delete(reading).where(
                reading.c.study_key == key.study_key, reading.c.revision == key.number
            )
        )
        for ordinal, one in enumerate(readings, start=1):
            tx.execute(
                reading.insert(),
                {
                    "study_key": key.study_key,
                    "revision": key.number,
                    "ordinal": ordinal,
                    "model_name": one.algorithm.name,
                    "model_version": one.algorithm.version,
                    "made_at": at,
                    "sealed": self._vault.seal(key.study_key, f"reading {key} {ordinal}", one),
                },
            )

    def readings(self, tx: Transaction, key: RevisionKey) -> tuple[Reading, ...]:
        """Return the readings of a revision in the order they were saved."""
        rows = tx.execute(
            select(reading.c.ordinal, reading.c.sealed)
            .where(reading.c.study_key == key.study_key, reading.c.revision == key.number)
            .order_by(reading.c.ordinal)
        )
        return tuple(
            self._vault.open(key.study_key, f"reading {key} {row.ordinal}", Reading, row.sealed)
            for row in rows
        )

    def readings_made_at(self, tx: Transaction, key: RevisionKey) -> datetime | None:
        """Return when the readings of a revision were saved; None if it has none."""
        return tx.execute(
            select(func.min(reading.c.made_at)).where(
                reading.c.study_key == key.study_key, reading.c.revision == key.number
            )
        ).scalar()

    # --- result objects

    def put_object(self, tx: Transaction, made: ResultObject) -> ResultObject:
        """Save a result object; return what is kept under its UID.

        An object that we have already stays as it is: if the returned one has another `blob_name`,
        the new bytes are needed no more. Another object of the same revision, kind and ordinal is
        withdrawn; its deliveries are for `Deliveries.withdraw_stale`.
        """
        key = self._index.result_key(made.sop_instance_uid)
        tx.execute(
            update(result_object)
            .where(
                result_object.c.study_key == made.revision.study_key,
                result_object.c.revision == made.revision.number,
                result_object.c.kind == made.kind,
                result_object.c.ordinal == made.ordinal,
                result_object.c.result_key != key,
                result_object.c.withdrawn_at.is_(None),
            )
            .values(withdrawn_at=made.created_at)
        )
        tx.execute(
            tx.insert(result_object)
            .values(self._object_values(key, made))
            .on_conflict_do_update(index_elements=["result_key"], set_={"withdrawn_at": None})
        )
        return self.object(tx, key)

    def keep_only(
        self, tx: Transaction, key: RevisionKey, kept: Collection[ResultKey], *, at: datetime
    ) -> None:
        """Withdraw every object of a revision that is not among `kept`."""
        tx.execute(
            update(result_object)
            .where(
                result_object.c.study_key == key.study_key,
                result_object.c.revision == key.number,
                result_object.c.result_key.not_in(kept),
                result_object.c.withdrawn_at.is_(None),
            )
            .values(withdrawn_at=at)
        )

    def mark_checked(self, tx: Transaction, key: ResultKey, *, at: datetime) -> None:
        """Note that an object passed the last check; the first time counts."""
        tx.execute(
            update(result_object)
            .where(result_object.c.result_key == key, result_object.c.checked_at.is_(None))
            .values(checked_at=at)
        )

    def object(self, tx: Transaction, key: ResultKey) -> ResultObject:
        """Return one object, withdrawn or not.

        Raises
        ------
        UnknownResultError
            If we have none of that key.
        """
        row = tx.execute(select(result_object).where(result_object.c.result_key == key)).first()
        if row is None:
            raise UnknownResultError(f"there is no result object {key}")
        return self._object(row)

    def objects(self, tx: Transaction, key: RevisionKey) -> tuple[ResultObject, ...]:
        """Return the objects of a revision that were not withdrawn, by kind and ordinal."""
        return self._objects(
            tx,
            select(result_object).where(
                result_object.c.study_key == key.study_key,
                result_object.c.revision == key.number,
                result_object.c.withdrawn_at.is_(None),
            ),
        )

    def objects_of_study(self, tx: Transaction, study_key: StudyKey) -> tuple[ResultObject, ...]:
        """Return every object ever made of a study, by revision."""
        return self._objects(
            tx, select(result_object).where(result_object.c.study_key == study_key)
        )

    def key_of(self, made: ResultObject) -> ResultKey:
        """Return our name of an object."""
        return self._index.result_key(made.sop_instance_uid)

    def _objects(self, tx: Transaction, statement: Select[Any]) -> tuple[ResultObject, ...]:
        rows = tx.execute(
            statement.order_by(
                result_object.c.revision, result_object.c.kind, result_object.c.ordinal
            )
        )
        return tuple(self._object(row) for row in rows)

    def _object_values(self, key: ResultKey, made: ResultObject) -> dict[str, Any]:
        study_key = made.revision.study_key
        uids = _SealedUids(
            made.sop_instance_uid, made.series_instance_uid, made.meta.decode("latin-1")
        )
        return {
            "result_key": key,
            "study_key": study_key,
            "revision": made.revision.number,
            "kind": made.kind,
            "ordinal": made.ordinal,
            "identity_version": made.identity_version,
            "sop_class_uid": made.sop_class_uid,
            "transfer_syntax_uid": made.transfer_syntax_uid,
            "blob_name": made.blob_name,
            "size_bytes": made.size_bytes,
            "created_at": made.created_at,
            "checked_at": made.checked_at,
            "withdrawn_at": None,
            "sealed": self._vault.seal(study_key, f"result {key}", uids),
        }

    def _object(self, row: Row[Any]) -> ResultObject:
        study_key = StudyKey(row.study_key)
        uids = self._vault.open(study_key, f"result {row.result_key}", _SealedUids, row.sealed)
        return ResultObject(
            revision=RevisionKey(study_key, row.revision),
            kind=row.kind,
            ordinal=row.ordinal,
            sop_class_uid=row.sop_class_uid,
            transfer_syntax_uid=row.transfer_syntax_uid,
            sop_instance_uid=uids.sop_instance_uid,
            series_instance_uid=uids.series_instance_uid,
            identity_version=row.identity_version,
            blob_name=row.blob_name,
            size_bytes=row.size_bytes,
            created_at=row.created_at,
            checked_at=row.checked_at,
            withdrawn_at=row.withdrawn_at,
            meta=uids.meta.encode("latin-1"),
        )

    def _released(self, row: Row[Any]) -> ReleasedCopy:
        copy = ReleasedCopy(
            instance_key=InstanceKey(row.instance_key),
            study_key=StudyKey(row.study_key),
            recipe=row.recipe,
            blob_name=row.blob_name,
            size_bytes=row.size_bytes,
            reason=row.reason,
            made_at=row.made_at,
        )
        meta = self._vault.open_bytes(copy.study_key, f"released {copy.instance_key}", row.sealed)
        return replace(copy, meta=meta)
