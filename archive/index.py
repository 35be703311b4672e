"""From identity to our own keys: keyed digests that tell nothing without the index key.

Everybody who holds the index key finds a study by its UID; nobody else can tell which UID a row is
of, nor try all patient IDs to see which are here.
"""

import base64
from dataclasses import dataclass, field
from typing import NewType

from core.model import InstanceKey, PatientIdentity, PatientKey, SeriesKey, StudyKey
from core.uids import keyed_digest

ResultKey = NewType("ResultKey", str)
"""Our name of a result object."""

_KEY_BYTES = 16
_MOST_KNOWN = 1024


@dataclass(frozen=True)
class IdentityIndex:
    """Makes the keys and look-up digests of one installation."""

    key: bytes = field(repr=False)
    _known: dict[tuple[str, ...], str] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """Keys that were made of late: an object's study is asked for many times."""

    def study_key(self, study_instance_uid: str) -> StudyKey:
        """Return our name of a study."""
        return StudyKey(self._key("study", study_instance_uid))

    def series_key(self, study_instance_uid: str, series_instance_uid: str) -> SeriesKey:
        """Return our name of a series; the same Series Instance UID in two studies has two."""
        return SeriesKey(self._key("series", study_instance_uid, series_instance_uid))

    def instance_key(self, sop_instance_uid: str, content_digest: bytes) -> InstanceKey:
        """Return our name of an instance: other content under the same UID is another one."""
        return InstanceKey(self._made("instance", sop_instance_uid, content_digest.hex()))

    def patient_key(
        self, patient: PatientIdentity, *, issuer: str, study_instance_uid: str
    ) -> PatientKey:
        """Return our name of a patient: issuer and ID together, or the study if there is no ID."""
        if not patient.patient_id:
            return PatientKey(self._key("patient of study", study_instance_uid))
        return PatientKey(self._key("patient", issuer, patient.patient_id))

    def result_key(self, sop_instance_uid: str) -> ResultKey:
        """Return our name of a result object that has this UID."""
        return ResultKey(self._made("result", sop_instance_uid))

    def sop_digest(self, sop_instance_uid: str) -> bytes:
        """Return what all instances of one SOP Instance UID share, whatever their content."""
        return keyed_digest(self.key, "sop instance", sop_instance_uid)

    def check(self) -> bytes:
        """Return what tells this index key from that of another installation."""
        return keyed_digest(self.key, "installation")

    def _key(self, *parts: str) -> str:
        known = self._known.get(parts)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[parts] = self._made(*parts)
        return known

    def _made(self, *parts: str) -> str:
        digest = keyed_digest(self.key, *parts)[:_KEY_BYTES]
        return base64.b32encode(digest).decode().rstrip("=").lower()
