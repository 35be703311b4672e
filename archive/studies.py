"""Save studies, series and instances in the index."""

import re

from sqlalchemy import bindparam, select, update

from archive.database import Transaction
from archive.entries import Added, KnownInstance, NewInstance, SealedSeries, SealedStudy, Standing
from archive.index import IdentityIndex
from archive.revisions import Revisions
from archive.tables import instance, patient, series, study
from archive.vault import Vault
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
from core.uids import keyed_digest

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

    def __init__(self, index: IdentityIndex, vault: Vault, revisions: Revisions) -> None:
        self._index = index
        self._vault = vault
        self._revisions = revisions

    def lock(self, tx: Transaction, about: Instance) -> None:
        """Let nobody else add to this study, or under this UID, before the transaction ends."""
        tx.lock(self._index.study_key(about.identity.study_instance_uid))
        tx.lock(self._index.sop_digest(about.sop_instance_uid).hex())

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
        identity = new.instance.identity
        study_key = self._index.study_key(identity.study_instance_uid)
        instance_key = self._index.instance_key(new.instance.sop_instance_uid, new.content_digest)
        tx.lock(study_key)
        digest = self._identity_digest(study_key, identity, new.issuer)
        row = tx.execute(_STUDY, {"key": study_key}).first()
        differs = row is not None and row.identity_digest != digest
        present = tx.execute(_INSTANCE_REVISION, {"key": instance_key}).scalar()
        if present is not None:
            return Added(RevisionKey(study_key, present), opened_revision=False, differs=differs)
        if row is None:
            self._add_study(tx, study_key, new)
        series_key = self._add_series(tx, study_key, new)
        key, opened = self._revisions.take_in(tx, study_key, new.received_at)
        tx.execute(
            instance.insert(),
            {
                "instance_key": instance_key,
                "study_key": study_key,
                "series_key": series_key,
                "revision": key.number,
                "standing": standing.value,
                "sop_digest": self._index.sop_digest(new.instance.sop_instance_uid),
                "identity_digest": digest,
                **_plain_columns(new),
                "sealed": self._vault.seal(study_key, f"instance {instance_key}", new.instance),
            },
        )
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
        corrected = self._identity_digest(study_key, new.instance.identity, new.issuer)
        stored = tx.execute(_STUDY, {"key": study_key}).scalar()
        if set(digests) != {corrected} or stored == corrected:
            return False
        tx.execute(
            update(study)
            .where(study.c.study_key == study_key)
            .values(
                patient_key=self._add_patient(tx, new),
                identity_digest=corrected,
                identity_version=study.c.identity_version + 1,
                sealed=self._sealed_study(study_key, new),
            )
        )
        return True

    def _add_study(self, tx: Transaction, study_key: StudyKey, new: NewInstance) -> None:
        tx.execute(
            study.insert(),
            {
                "study_key": study_key,
                "patient_key": self._add_patient(tx, new),
                "identity_digest": self._identity_digest(
                    study_key, new.instance.identity, new.issuer
                ),
                "identity_version": 1,
                "peer_name": new.peer.name,
                "received_at": new.received_at,
                "sealed": self._sealed_study(study_key, new),
            },
        )

    def _add_patient(self, tx: Transaction, new: NewInstance) -> PatientKey:
        identity = new.instance.identity
        patient_key = self._index.patient_key(
            identity.patient, issuer=new.issuer, study_instance_uid=identity.study_instance_uid
        )
        tx.execute(
            tx.insert(patient)
            .values(
                patient_key=patient_key,
                key_version=new.key_version,
                first_seen_at=new.received_at,
            )
            .on_conflict_do_nothing()
        )
        return patient_key

    def _add_series(self, tx: Transaction, study_key: StudyKey, new: NewInstance) -> SeriesKey:
        about = new.instance
        series_key = self._index.series_key(
            about.identity.study_instance_uid, about.series_instance_uid
        )
        if tx.execute(_SERIES, {"key": series_key}).first() is not None:
            return series_key
        record = SealedSeries(
            about.series_instance_uid,
            about.series_number,
            about.series_description,
            about.body_part_examined,
        )
        tx.execute(
            series.insert(),
            {
                "series_key": series_key,
                "study_key": study_key,
                "modality": plain_modality(about.modality),
                "received_at": new.received_at,
                "sealed": self._vault.seal(study_key, f"series {series_key}", record),
            },
        )
        return series_key

    def _sealed_study(self, study_key: StudyKey, new: NewInstance) -> bytes:
        record = SealedStudy(new.instance.identity, new.issuer)
        return self._vault.seal(study_key, f"study {study_key}", record)

    def _identity_digest(self, study_key: StudyKey, identity: StudyIdentity, issuer: str) -> bytes:
        """Return what is equal for equal identities, and unreadable once the study is forgotten."""
        key = self._vault.keystore.obtain(study_key).identities
        return keyed_digest(key, *_compared(identity, issuer))


def _plain_columns(new: NewInstance) -> dict[str, object]:
    return {
        "content_digest": new.content_digest,
        "sop_class_uid": new.instance.sop_class_uid,
        "transfer_syntax_uid": new.instance.transfer_syntax_uid,
        "blob_name": new.blob_name,
        "size_bytes": new.size_bytes,
        "peer_name": new.peer.name,
        "association_id": new.association_id,
        "received_at": new.received_at,
    }


def plain_modality(modality: str) -> str:
    """Return a modality that may stand in a plain column; what is none becomes empty.

    A sender could write anything there, a name included. Source: PS3.5 6.2, CS.
    """
    return modality if _CODE_STRING.fullmatch(modality) else ""


def _compared(identity: StudyIdentity, issuer: str) -> tuple[str, ...]:
    """Return that in which the instances of one study must agree."""
    who: PatientIdentity = identity.patient
    return (
        who.patient_id,
        issuer,
        _person_name(who.patient_name),
        who.patient_birth_date,
        who.patient_sex,
        identity.accession_number,
    )


def _person_name(name: str) -> str:
    """Return a name without what may be left out at the end of it. Source: PS3.5 6.2.1.1."""
    groups = [
        "^".join(component.strip() for component in group.split("^")).rstrip("^")
        for group in name.split("=")
    ]
    return "=".join(groups).rstrip("=")
