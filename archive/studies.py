"""Save studies, series and instances in the index."""

import re

from sqlalchemy import bindparam, select, update

from archive.database import Transaction
from archive.entries import Added, KnownInstance, NewInstance, Standing
from archive.index import IdentityIndex
from archive.revisions import Revisions
from archive.rows import NewRows, RowMaker
from archive.tables import instance, patient, series, study
from core.model import Instance, InstanceKey, PatientKey, RevisionKey, StudyKey

_CODE_STRING = re.compile(r"[A-Z0-9 _]{0,16}")


_SAME_SOP = (
    select(instance)
    .where(instance.c.sop_digest == bindparam("digest"))
    .order_by(instance.c.received_at)
)
_STUDY = select(study.c.identity_digest).where(study.c.study_key == bindparam("key"))
_SERIES = select(series.c.series_key).where(series.c.series_key == bindparam("key"))
_INSTANCE_REVISION = select(instance.c.revision).where(instance.c.instance_key == bindparam("key"))


class Studies:
    """Gives everything that comes in its rows."""

    def __init__(self, index: IdentityIndex, rows: RowMaker, revisions: Revisions) -> None:
        self._index = index
        self._rows = rows
        self._revisions = revisions

    def lock(self, tx: Transaction, about: Instance) -> None:
        """Let nobody else add to this study, or under this UID, before the transaction ends."""
        study_key = self._index.study_key(about.identity.study_instance_uid)
        tx.lock_all(locked_names(study_key, self._index.sop_digest(about.sop_instance_uid)))

    def known(self, tx: Transaction, sop_instance_uid: str) -> tuple[KnownInstance, ...]:
        """Return everything we have under a SOP Instance UID, oldest first."""
        digest = self._index.sop_digest(sop_instance_uid)
        rows = tx.execute(_SAME_SOP, {"digest": digest})
        return tuple(
            KnownInstance(
                InstanceKey(row.instance_key),
                StudyKey(row.study_key),
                Standing(row.standing),
                row.content_digest,
                row.transfer_syntax_uid,
                row.blob_name,
                row.size_bytes,
            )
            for row in rows
        )

    def add(
        self, tx: Transaction, new: NewInstance, *, standing: Standing = Standing.CURRENT
    ) -> Added:
        """Give an instance its row, and its study, series and revision theirs.

        To add the same content again changes nothing.
        """
        rows = self._rows.make(new)
        tx.lock(rows.study_key)
        row = tx.execute(_STUDY, {"key": rows.study_key}).first()
        differs = row is not None and row.identity_digest != rows.identity_digest
        present = tx.execute(_INSTANCE_REVISION, {"key": rows.instance_key}).scalar()
        if present is not None:
            return Added(
                RevisionKey(rows.study_key, present), opened_revision=False, differs=differs
            )
        if row is None:
            tx.execute(
                study.insert(), {**study_columns(rows), "patient_key": _add_patient(tx, rows)}
            )
        if tx.execute(_SERIES, {"key": rows.series_key}).first() is None:
            tx.execute(series.insert(), series_columns(rows))
        key, opened = self._revisions.take_in(tx, rows.study_key, new.received_at)
        tx.execute(instance.insert(), instance_columns(rows, key.number, standing))
        return Added(key, opened, differs)

    def supersede(self, tx: Transaction, instance_key: InstanceKey) -> None:
        """Note that a correction of this instance came."""
        tx.execute(
            update(instance)
            .where(instance.c.instance_key == instance_key)
            .values(standing=Standing.SUPERSEDED.value)
        )

    def restore(self, tx: Transaction, instance_key: InstanceKey, new: NewInstance) -> None:
        """Name another object of the same bytes, because the old one is lost."""
        tx.execute(
            update(instance)
            .where(instance.c.instance_key == instance_key)
            .values(blob_name=new.blob_name, size_bytes=new.size_bytes)
        )

    def settle_identity(self, tx: Transaction, study_key: StudyKey, new: NewInstance) -> bool:
        """Take over the identity that `new` gives if all instances that count agree on it.

        Returns whether the study's identity changed by that; results made before carry the old one.
        """
        digests = tx.execute(
            select(instance.c.identity_digest)
            .where(
                instance.c.study_key == study_key,
                instance.c.standing == Standing.CURRENT.value,
            )
            .distinct()
        ).scalars()
        rows = self._rows.make(new)
        corrected = rows.identity_digest
        stored = tx.execute(_STUDY, {"key": study_key}).scalar()
        if set(digests) != {corrected} or stored == corrected:
            return False
        tx.execute(
            update(study)
            .where(study.c.study_key == study_key)
            .values(
                patient_key=_add_patient(tx, rows),
                identity_digest=corrected,
                identity_version=study.c.identity_version + 1,
                sealed=rows.sealed_study(),
            )
        )
        return True


def locked_names(study_key: StudyKey, sop_digest: bytes) -> tuple[str, str]:
    """Return what whoever adds an instance must lock."""
    return study_key, sop_digest.hex()


def study_columns(rows: NewRows) -> dict[str, object]:
    """Return the row of a study that begins with this instance."""
    new = rows.new
    return {
        "study_key": rows.study_key,
        "patient_key": rows.patient_key,
        "identity_digest": rows.identity_digest,
        "identity_version": 1,
        "peer_name": new.peer.name,
        "received_at": new.received_at,
        "sealed": rows.sealed_study(),
    }


def series_columns(rows: NewRows) -> dict[str, object]:
    """Return the row of a series that begins with this instance."""
    return {
        "series_key": rows.series_key,
        "study_key": rows.study_key,
        "modality": plain_modality(rows.new.instance.modality),
        "received_at": rows.new.received_at,
        "sealed": rows.sealed_series(),
    }


def patient_columns(rows: NewRows) -> dict[str, object]:
    """Return the row of a patient who is first seen now."""
    return {
        "patient_key": rows.patient_key,
        "key_version": rows.new.key_version,
        "first_seen_at": rows.new.received_at,
    }


def instance_columns(rows: NewRows, revision: int, standing: Standing) -> dict[str, object]:
    """Return the row of the instance."""
    new = rows.new
    return {
        "instance_key": rows.instance_key,
        "study_key": rows.study_key,
        "series_key": rows.series_key,
        "revision": revision,
        "standing": standing.value,
        "sop_digest": rows.sop_digest,
        "identity_digest": rows.identity_digest,
        "content_digest": new.content_digest,
        "sop_class_uid": new.instance.sop_class_uid,
        "transfer_syntax_uid": new.instance.transfer_syntax_uid,
        "blob_name": new.blob_name,
        "size_bytes": new.size_bytes,
        "peer_name": new.peer.name,
        "association_id": new.association_id,
        "received_at": new.received_at,
        "sealed": rows.sealed,
    }


def _add_patient(tx: Transaction, rows: NewRows) -> PatientKey:
    tx.execute(tx.insert(patient).values(patient_columns(rows)).on_conflict_do_nothing())
    return rows.patient_key


def plain_modality(modality: str) -> str:
    """Return a modality that may stand in a plain column; what is none becomes empty.

    A sender could write anything there, a name included. Source: PS3.5 6.2, CS.
    """
    return modality if _CODE_STRING.fullmatch(modality) else ""
