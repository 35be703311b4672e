"""Studies, series and instances, and whose they are.

Two kinds of names live here. A *UID* or a patient ID is the clinic's and is identity; it is kept
only inside sealed records. A *key* (`StudyKey`, `InstanceKey`, ...) is ours, tells nothing, and is
what logs, workflows and models see.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NewType, Self

from pydicom import Dataset
from pydicom.sequence import Sequence

from core.errors import MalformedInstanceError

StudyKey = NewType("StudyKey", str)
SeriesKey = NewType("SeriesKey", str)
InstanceKey = NewType("InstanceKey", str)
PatientKey = NewType("PatientKey", str)


@dataclass(frozen=True, order=True)
class RevisionKey:
    """One revision of one study: the unit that the pipeline works on."""

    study_key: StudyKey
    number: int
    """1 for the first; an instance that comes after completeness opens the next."""

    def __str__(self) -> str:
        return f"{self.study_key}.{self.number}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote."""
        study_key, _, number = text.rpartition(".")
        return cls(StudyKey(study_key), int(number))


@dataclass(frozen=True)
class RemoteAE:
    """A peer as the configuration names it, and how it called us this time."""

    name: str
    """The peer's name in config.yaml; safe to log."""
    ae_title: str
    called_ae_title: str
    address: str


@dataclass(frozen=True)
class PatientIdentity:
    """Who the patient is, as the sealed originals say it. Source: PS3.3 C.7.1.1, C.2.2."""

    patient_id: str
    issuer_of_patient_id: str
    """As in the object; empty when the object names none (the peer's issuer then counts)."""
    patient_name: str
    patient_birth_date: str
    patient_sex: str


@dataclass(frozen=True)
class StudyIdentity:
    """What every result must carry to be filed with the right patient and order."""

    patient: PatientIdentity
    study_instance_uid: str
    accession_number: str
    study_date: str
    study_time: str
    study_id: str


class BurnedIn(StrEnum):
    """Value of Burned In Annotation (0028,0301); mostly absent even where text is burned in."""

    YES = "YES"
    NO = "NO"
    UNKNOWN = ""


@dataclass(frozen=True)
class Instance:
    """What we index of one stored instance. Everything here is sealed with its study."""

    identity: StudyIdentity
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    modality: str
    series_number: int | None
    instance_number: int | None
    rows: int
    """0 where the object has no pixels."""
    columns: int
    number_of_frames: int
    burned_in_annotation: BurnedIn
    manufacturer: str
    model_name: str
    body_part_examined: str
    series_description: str
    study_description: str

    @classmethod
    def parse(cls, dataset: Dataset, *, transfer_syntax_uid: str) -> Self:
        """Read the index of `dataset` (a whole one, or its elements up to group 0028).

        A missing patient ID is no fault here; the study is held for it later.

        Raises
        ------
        MalformedInstanceError
            If a UID that every composite instance has is missing, or a value cannot be decoded.
        """
        missing = [keyword for keyword in REQUIRED if not _text(dataset, keyword)]
        if missing:
            raise MalformedInstanceError(
                f"the data set lacks {', '.join(missing)}",
                remedy="Send composite instances with complete SOP Common and Study modules",
            )
        return cls(
            identity=study_identity(dataset),
            sop_class_uid=_text(dataset, "SOPClassUID"),
            sop_instance_uid=_text(dataset, "SOPInstanceUID"),
            series_instance_uid=_text(dataset, "SeriesInstanceUID"),
            transfer_syntax_uid=transfer_syntax_uid,
            modality=_text(dataset, "Modality"),
            series_number=_integer(dataset, "SeriesNumber"),
            instance_number=_integer(dataset, "InstanceNumber"),
            rows=_integer(dataset, "Rows") or 0,
            columns=_integer(dataset, "Columns") or 0,
            number_of_frames=_integer(dataset, "NumberOfFrames") or 1,
            burned_in_annotation=_burned_in(_text(dataset, "BurnedInAnnotation")),
            manufacturer=_text(dataset, "Manufacturer"),
            model_name=_text(dataset, "ManufacturerModelName"),
            body_part_examined=_text(dataset, "BodyPartExamined"),
            series_description=_text(dataset, "SeriesDescription"),
            study_description=_text(dataset, "StudyDescription"),
        )


REQUIRED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
"""Type 1 in every composite IOD that a study can hold. Source: PS3.3 C.12.1, C.7.2.1, C.7.3.1."""


def study_identity(dataset: Dataset) -> StudyIdentity:
    """Read whose study `dataset` is of; absent values are empty."""
    return StudyIdentity(
        patient=PatientIdentity(
            patient_id=_text(dataset, "PatientID"),
            issuer_of_patient_id=_text(dataset, "IssuerOfPatientID"),
            patient_name=_text(dataset, "PatientName"),
            patient_birth_date=_text(dataset, "PatientBirthDate"),
            patient_sex=_text(dataset, "PatientSex"),
        ),
        study_instance_uid=_text(dataset, "StudyInstanceUID"),
        accession_number=_text(dataset, "AccessionNumber"),
        study_date=_text(dataset, "StudyDate"),
        study_time=_text(dataset, "StudyTime"),
        study_id=_text(dataset, "StudyID"),
    )


def _text(dataset: Dataset, keyword: str) -> str:
    value = _decoded(keyword, lambda: dataset.get(keyword))
    if isinstance(value, Sequence | bytes):  # its text would be that of everything inside
        raise MalformedInstanceError(f"{keyword} is no text")
    return "" if value is None else str(value).rstrip(" \0").lstrip(" ")


def _integer(dataset: Dataset, keyword: str) -> int | None:
    value = _decoded(keyword, lambda: dataset.get(keyword))
    if value is None or value == "":
        return None
    return int(_decoded(keyword, lambda: int(value)))


def _decoded(keyword: str, read: Callable[[], Any]) -> Any:  # noqa: ANN401 - pydicom's own type
    try:
        return read()
    except Exception as error:  # noqa: BLE001 - pydicom lets a dozen types escape (NET-7)
        # The chain is cut: the text of a decoder's error may hold the value.
        raise MalformedInstanceError(
            f"{keyword} cannot be decoded ({type(error).__name__})"
        ) from None


def _burned_in(value: str) -> BurnedIn:
    return BurnedIn(value) if value in {"YES", "NO"} else BurnedIn.UNKNOWN
