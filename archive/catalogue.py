"""Find studies and instances, and open what is sealed of them."""

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, func, select

from archive.database import Transaction
from archive.entries import InstanceRecord, SealedStudy, Standing, StudyFilter, StudyRecord
from archive.errors import UnknownInstanceError, UnknownStudyError
from archive.index import IdentityIndex
from archive.revisions import RevisionRecord, Revisions
from archive.tables import instance, patient, revision, series, study
from archive.vault import Vault
from core.errors import CorruptionError, ForgottenError
from core.model import (
    Instance,
    InstanceKey,
    PatientIdentity,
    PatientKey,
    RevisionKey,
    SeriesKey,
    StudyIdentity,
    StudyKey,
)

log = logging.getLogger(__name__)

_NOBODYS = SealedStudy(
    StudyIdentity(PatientIdentity("", "", "", "", ""), "", "", "", "", ""), issuer=""
)


class Catalogue:
    """Everything we have, for those who may see it."""

    def __init__(self, index: IdentityIndex, vault: Vault, revisions: Revisions) -> None:
        self._index = index
        self._vault = vault
        self._revisions = revisions

    def locate(self, tx: Transaction, study_instance_uid: str) -> StudyKey:
        """Return our key of a study that we have.

        Raises
        ------
        UnknownStudyError
            If we have none of that UID.
        """
        study_key = self._index.study_key(study_instance_uid)
        row = tx.execute(select(study.c.study_key).where(study.c.study_key == study_key)).first()
        if row is None:
            raise UnknownStudyError("there is no study of that Study Instance UID")
        return study_key

    def study(self, tx: Transaction, study_key: StudyKey) -> StudyRecord:
        """Return one study.

        Raises
        ------
        UnknownStudyError
            If we have none of that key.
        """
        rows = tx.execute(
            select(study, patient.c.key_version)
            .join(patient, patient.c.patient_key == study.c.patient_key)
            .where(study.c.study_key == study_key)
        ).all()
        if not rows:
            raise UnknownStudyError(f"there is no study {study_key}")
        sealed = self._vault.open(study_key, f"study {study_key}", SealedStudy, rows[0].sealed)
        return self._records(tx, rows, {study_key: sealed})[0]

    def find(self, tx: Transaction, wanted: StudyFilter, *, limit: int) -> tuple[StudyRecord, ...]:
        """Return studies, the one received last first.

        One that cannot be opened any more is listed as nobody's, so that it hides no other.
        """
        statement = select(study, patient.c.key_version).join(
            patient, patient.c.patient_key == study.c.patient_key
        )
        for condition in _conditions(wanted):
            statement = statement.where(condition)
        rows = tx.execute(
            statement.order_by(study.c.received_at.desc(), study.c.study_key.desc()).limit(limit)
        ).all()
        return self._records(tx, rows, {row.study_key: self._opened(row) for row in rows})

    def instances(self, tx: Transaction, key: RevisionKey) -> tuple[InstanceRecord, ...]:
        """Return the instances that a revision covers and that count, in the order of arrival."""
        rows = tx.execute(
            select(instance)
            .where(
                instance.c.study_key == key.study_key,
                instance.c.revision <= key.number,
                instance.c.standing == Standing.CURRENT.value,
            )
            .order_by(instance.c.received_at, instance.c.instance_key)
        )
        return tuple(self._instance(row) for row in rows)

    def count_instances(self, tx: Transaction, key: RevisionKey) -> int:
        """Return how many instances a revision covers that count."""
        return int(
            tx.execute(
                select(func.count())
                .select_from(instance)
                .where(
                    instance.c.study_key == key.study_key,
                    instance.c.revision <= key.number,
                    instance.c.standing == Standing.CURRENT.value,
                )
            ).scalar_one()
        )

    def brought(self, tx: Transaction, association_id: str) -> dict[StudyKey, dict[str, int]]:
        """Return how much of each SOP class an association stored, by study.

        Duplicates are only counted (`Arrivals`).
        """
        rows = tx.execute(
            select(instance.c.study_key, instance.c.sop_class_uid, func.count().label("number"))
            .where(instance.c.association_id == association_id)
            .group_by(instance.c.study_key, instance.c.sop_class_uid)
        )
        found: dict[StudyKey, dict[str, int]] = {}
        for row in rows:
            found.setdefault(StudyKey(row.study_key), {})[row.sop_class_uid] = row.number
        return found

    def instance(self, tx: Transaction, instance_key: InstanceKey) -> InstanceRecord:
        """Return one instance, whatever its standing.

        Raises
        ------
        UnknownInstanceError
            If we have none of that key.
        """
        row = tx.execute(select(instance).where(instance.c.instance_key == instance_key)).first()
        if row is None:
            raise UnknownInstanceError(f"there is no instance {instance_key}")
        return self._instance(row)

    def _opened(self, row: Row[Any]) -> SealedStudy:
        study_key = StudyKey(row.study_key)
        try:
            return self._vault.open(study_key, f"study {study_key}", SealedStudy, row.sealed)
        except (CorruptionError, ForgottenError) as error:
            log.warning("study %s cannot be opened: %s", study_key, error)
            return _NOBODYS

    def _records(
        self, tx: Transaction, rows: Sequence[Row[Any]], opened: Mapping[StudyKey, SealedStudy]
    ) -> tuple[StudyRecord, ...]:
        keys = [StudyKey(row.study_key) for row in rows]
        newest = self._revisions.newest_of(tx, keys)
        modalities = _modalities(tx, keys)
        counts = _counts(tx, keys)
        return tuple(
            _record(row, opened[key], modalities.get(key, ()), counts.get(key, 0), newest[key])
            for row, key in zip(rows, keys, strict=True)
        )

    def _instance(self, row: Row[Any]) -> InstanceRecord:
        study_key = StudyKey(row.study_key)
        return InstanceRecord(
            instance_key=InstanceKey(row.instance_key),
            series_key=SeriesKey(row.series_key),
            revision=RevisionKey(study_key, row.revision),
            standing=Standing(row.standing),
            instance=self._vault.open(
                study_key, f"instance {row.instance_key}", Instance, row.sealed
            ),
            blob_name=row.blob_name,
            size_bytes=row.size_bytes,
            peer_name=row.peer_name,
            received_at=row.received_at,
        )


def _record(
    row: Row[Any],
    opened: SealedStudy,
    modalities: tuple[str, ...],
    count: int,
    newest: RevisionRecord,
) -> StudyRecord:
    return StudyRecord(
        study_key=StudyKey(row.study_key),
        patient_key=PatientKey(row.patient_key),
        key_version=row.key_version,
        identity=opened.identity,
        issuer=opened.issuer,
        identity_version=row.identity_version,
        peer_name=row.peer_name,
        received_at=row.received_at,
        modalities=modalities,
        number_of_instances=count,
        newest=newest,
    )


def _conditions(wanted: StudyFilter) -> list[Any]:
    conditions: list[Any] = []
    if wanted.states:
        later = revision.alias("later")
        newest = select(func.max(later.c.number)).where(later.c.study_key == study.c.study_key)
        conditions.append(
            select(revision.c.number)
            .where(
                revision.c.study_key == study.c.study_key,
                revision.c.number == newest.scalar_subquery(),
                revision.c.state.in_([state.value for state in wanted.states]),
            )
            .exists()
        )
    if wanted.modality is not None:
        conditions.append(
            select(series.c.series_key)
            .where(series.c.study_key == study.c.study_key, series.c.modality == wanted.modality)
            .exists()
        )
    if wanted.received_from is not None:
        conditions.append(study.c.received_at >= wanted.received_from)
    if wanted.received_to is not None:
        conditions.append(study.c.received_at < wanted.received_to)
    if wanted.older_than is not None:
        at, key = wanted.older_than
        conditions.append(
            (study.c.received_at < at) | ((study.c.received_at == at) & (study.c.study_key < key))
        )
    return conditions


def _modalities(
    tx: Transaction, study_keys: Collection[StudyKey]
) -> dict[StudyKey, tuple[str, ...]]:
    found: dict[StudyKey, tuple[str, ...]] = {}
    rows = tx.execute(
        select(series.c.study_key, series.c.modality)
        .where(series.c.study_key.in_(study_keys), series.c.modality != "")
        .distinct()
        .order_by(series.c.modality)
    )
    for row in rows:
        key = StudyKey(row.study_key)
        found[key] = (*found.get(key, ()), row.modality)
    return found


def _counts(tx: Transaction, study_keys: Collection[StudyKey]) -> dict[StudyKey, int]:
    rows = tx.execute(
        select(instance.c.study_key, func.count().label("number"))
        .where(
            instance.c.study_key.in_(study_keys),
            instance.c.standing == Standing.CURRENT.value,
        )
        .group_by(instance.c.study_key)
    )
    return {StudyKey(row.study_key): row.number for row in rows}
