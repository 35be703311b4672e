"""The rows of a new instance, sealed before the database is asked for anything.

Nobody waits for the database's write lock while keys are derived and records sealed, and an object
whose rows cannot be made fails before it could fail others.
"""

import secrets
from dataclasses import dataclass, field, replace

from archive.entries import NewInstance, SealedSeries, SealedStudy
from archive.index import IdentityIndex
from archive.keystore import StudySecrets
from archive.vault import Vault
from core.model import (
    Instance,
    InstanceKey,
    PatientIdentity,
    PatientKey,
    SeriesKey,
    StudyIdentity,
    StudyKey,
)
from core.record_template import RecordTemplate
from core.records import dump_record
from core.sealing import seal
from core.uids import keyed_digest

MOST_KEPT = 256
_HELD_NUMBER = -987_654_321_987_654_321


@dataclass(frozen=True)
class NewRows:
    """Keys, digests and sealed records of one new instance."""

    new: NewInstance
    study_key: StudyKey
    series_key: SeriesKey
    instance_key: InstanceKey
    patient_key: PatientKey
    sop_digest: bytes
    identity_digest: bytes
    """Equal for equal identities, and unreadable once the study is forgotten."""
    sealed: bytes = field(repr=False)
    secrets: StudySecrets = field(repr=False)

    def sealed_study(self) -> bytes:
        """Return the sealed part of the study's row."""
        record = SealedStudy(self.new.instance.identity, self.new.issuer)
        return self._seal(f"study {self.study_key}", record)

    def sealed_series(self) -> bytes:
        """Return the sealed part of the series' row."""
        about = self.new.instance
        record = SealedSeries(
            about.series_instance_uid,
            about.series_number,
            about.series_description,
            about.body_part_examined,
        )
        return self._seal(f"series {self.series_key}", record)

    def _seal(self, row: str, record: object) -> bytes:
        return seal(self.secrets.records, dump_record(record), context=row.encode())


class RowMaker:
    """Makes rows; safe for many threads at once."""

    def __init__(self, index: IdentityIndex, vault: Vault) -> None:
        self._index = index
        self._vault = vault
        self._templates: dict[Instance, RecordTemplate] = {}

    def make(self, new: NewInstance) -> NewRows:
        """Return the rows of an instance.

        Raises
        ------
        ForgottenError
            If its study was forgotten.
        """
        about, identity = new.instance, new.instance.identity
        study_uid = identity.study_instance_uid
        study_key = self._index.study_key(study_uid)
        keys = self._vault.keystore.obtain(study_key)
        instance_key = self._index.instance_key(about.sop_instance_uid, new.content_digest)
        context = f"instance {instance_key}".encode()
        return NewRows(
            new=new,
            study_key=study_key,
            series_key=self._index.series_key(study_uid, about.series_instance_uid),
            instance_key=instance_key,
            patient_key=self._index.patient_key(
                identity.patient, issuer=new.issuer, study_instance_uid=study_uid
            ),
            sop_digest=self._index.sop_digest(about.sop_instance_uid),
            identity_digest=keyed_digest(keys.identities, *_compared(identity, new.issuer)),
            sealed=seal(keys.records, self._written(about), context=context),
            secrets=keys,
        )

    def _written(self, about: Instance) -> bytes:
        """Return what `dump_record` writes; of a series it is written out once."""
        shared = replace(about, sop_instance_uid="", instance_number=None)
        template = self._templates.get(shared)
        if template is None:
            template = _template(shared)
            if template is None:
                return dump_record(about)
            self._keep(shared, template)
        return template.fill((about.sop_instance_uid, about.instance_number))

    def _keep(self, shared: Instance, template: RecordTemplate) -> None:
        if not template.is_short:
            return
        if len(self._templates) >= MOST_KEPT:
            self._templates.clear()
        self._templates[shared] = template


def _template(shared: Instance) -> RecordTemplate | None:
    """Return the template of a series; None if what it says of itself looks like our holes."""
    hole = f"2.25.{secrets.randbits(128)}"
    held = replace(shared, sop_instance_uid=hole, instance_number=_HELD_NUMBER)
    try:
        return RecordTemplate(held, (hole, _HELD_NUMBER))
    except ValueError:
        return None


def _compared(identity: StudyIdentity, issuer: str) -> tuple[str, ...]:
    """Return that in which the instances of one study must agree."""
    who: PatientIdentity = identity.patient
    return (
        who.patient_id,
        issuer,
        person_name(who.patient_name),
        who.patient_birth_date,
        who.patient_sex,
        identity.accession_number,
    )


def person_name(name: str) -> str:
    """Return a name without what may be left out at the end of it. Source: PS3.5 6.2.1.1."""
    groups = [
        "^".join(component.strip() for component in group.split("^")).rstrip("^")
        for group in name.split("=")
    ]
    return "=".join(groups).rstrip("=")
