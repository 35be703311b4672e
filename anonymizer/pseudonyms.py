"""Pseudonyms of patients. Source: PS3.15 E.1.1 (no plain hash: identifiers can be guessed)."""

import base64
from dataclasses import dataclass, field

from core.uids import keyed_digest

KEPT_BYTES = 20
"""160 bits: no collision to expect, and base32 of it needs no padding (32 characters)."""


@dataclass(frozen=True)
class Subject:
    """Who stays one person after de-identification: a patient, or the study if none is named."""

    kind: str
    parts: tuple[str, ...] = field(repr=False)

    @classmethod
    def of_patient(cls, *, issuer: str, patient_id: str, study_instance_uid: str) -> "Subject":
        """Name the patient by issuer and ID; without an ID nothing joins two studies."""
        if not patient_id:
            return cls("study", (study_instance_uid,))
        return cls("patient", (issuer, patient_id))


def pseudonym(key: bytes, subject: Subject) -> str:
    """Return the one pseudonym that belongs to `subject` under `key`."""
    digest = keyed_digest(key, "pseudonym", subject.kind, *subject.parts)
    return base64.b32encode(digest[:KEPT_BYTES]).decode()
