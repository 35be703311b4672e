"""What is put in the place of an identity: keyed, so that reruns and other machines agree."""

from dataclasses import dataclass, field
from functools import cached_property

from anonymizer.dates import DateShifter
from anonymizer.pseudonyms import Subject, pseudonym
from anonymizer.uid_map import UidMap
from core.model import PatientIdentity

DATE_SHIFT_MAX_DAYS = 3650


@dataclass(frozen=True)
class Replacement:
    """The keys of one key version, and whose object they are used for."""

    pseudonym_key: bytes = field(repr=False)
    uid_key: bytes = field(repr=False)
    date_key: bytes = field(repr=False)
    patient: PatientIdentity = field(repr=False)
    """As the sealed originals say."""
    study_instance_uid: str = field(repr=False)
    """Of the original study; names the patient where no ID does."""
    default_issuer: str = ""
    """The peer's configured issuer; counts where the object names none."""
    date_shift_max_days: int = DATE_SHIFT_MAX_DAYS

    @cached_property
    def subject(self) -> Subject:
        """Who stays one person."""
        return Subject.of_patient(
            issuer=self.patient.issuer_of_patient_id or self.default_issuer,
            patient_id=self.patient.patient_id,
            study_instance_uid=self.study_instance_uid,
        )

    @cached_property
    def patient_pseudonym(self) -> str:
        """Stands for the patient, in ID and name."""
        return pseudonym(self.pseudonym_key, self.subject)

    @cached_property
    def dates(self) -> DateShifter:
        """Moves the patient's dates."""
        return DateShifter.of(self.date_key, self.subject, max_days=self.date_shift_max_days)

    @cached_property
    def uids(self) -> UidMap:
        """Maps UIDs of every patient alike, because objects refer to each other by them."""
        return UidMap(self.uid_key)

    def pseudonym_of(self, patient_id: str) -> str:
        """Stand for an ID found inside an item, which may be another than the patient's."""
        if patient_id == self.patient.patient_id:
            return self.patient_pseudonym
        subject = Subject.of_patient(
            issuer=self.patient.issuer_of_patient_id or self.default_issuer,
            patient_id=patient_id,
            study_instance_uid=self.study_instance_uid,
        )
        return pseudonym(self.pseudonym_key, subject)
