"""A reading as a Comprehensive 3D SR. Source: PS3.3 A.35.13; PS3.16 TID 1500; IHE AIR."""

from collections.abc import Iterable

from highdicom.sr import Comprehensive3DSR, ContainerContentItem
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian

from core.codes import PRIVATE_SCHEME
from core.findings import Reading
from results import wording
from results.encoding import encode_part10
from results.patient_study import put_patient_and_study
from results.provenance import (
    MANUFACTURER,
    EncodedObject,
    Kind,
    ResultContext,
    SourceInstance,
    StudySources,
    put_equipment,
    put_times,
)
from results.sr_content import report

SERIES_OFFSET = 1
"""Added to `series_number_base`; captures come next."""


class _Report(Comprehensive3DSR):  # type: ignore[misc]  # highdicom is untyped
    """A report whose patient and study we copy ourselves, byte for byte and of any SOP class."""

    def copy_patient_and_study_information(self, dataset: Dataset) -> None:
        """Leave it to `put_patient_and_study`."""


def encode_sr(
    reading: Reading, sources: StudySources, context: ResultContext, notes: Iterable[str] = ()
) -> EncodedObject:
    """Return the structured report of a reading.

    Raises
    ------
    NotEncodableError
        If the sources lack what the report must carry, or the reading is not about them.
    """
    algorithm = reading.algorithm
    series_uid = context.uid(algorithm, "SR series", 1)
    document = _document(
        report(reading, sources, context, notes),
        sources,
        series_uid=series_uid,
        instance_uid=context.instance_uid(reading, "SR", 1),
        series_number=context.series_number(SERIES_OFFSET),
    )
    document.SeriesDescription = wording.series_description(algorithm)
    document.CompletionFlag = "COMPLETE" if wording.is_complete(reading) else "PARTIAL"
    document.CompletionFlagDescription = wording.completion(reading)
    document.CodingSchemeIdentificationSequence = [_private_scheme()]
    put_equipment(document, algorithm, context)
    put_times(document, context, sources.first)
    put_patient_and_study(sources.first.header, document)
    return EncodedObject(
        kind=Kind.SR,
        ordinal=1,
        sop_class_uid=str(Comprehensive3DSRStorage),
        sop_instance_uid=str(document.SOPInstanceUID),
        series_instance_uid=series_uid,
        transfer_syntax_uid=str(ExplicitVRLittleEndian),
        part10=encode_part10(document),
    )


def _document(
    root: ContainerContentItem,
    sources: StudySources,
    *,
    series_uid: str,
    instance_uid: str,
    series_number: int,
) -> Dataset:
    study_uid = str(sources.first.header.StudyInstanceUID)
    evidence = [_evidence(instance, study_uid) for instance in sources.instances]
    return _Report(
        evidence=evidence,
        content=root,
        series_instance_uid=series_uid,
        series_number=series_number,
        sop_instance_uid=instance_uid,
        instance_number=1,
        is_final=False,
        is_verified=False,
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )


def _evidence(instance: SourceInstance, study_uid: str) -> Dataset:
    """Return the part of a source that the evidence sequence is made from, without identity."""
    header = Dataset()
    header.SOPClassUID = instance.sop_class_uid
    header.SOPInstanceUID = instance.sop_instance_uid
    header.SeriesInstanceUID = instance.series_instance_uid
    header.StudyInstanceUID = study_uid
    header.AccessionNumber = header.StudyID = header.PatientID = header.PatientName = ""
    header.PatientBirthDate = header.PatientSex = header.StudyDate = header.StudyTime = ""
    return header


def _private_scheme() -> Dataset:
    """Say whose our private codes are. Source: PS3.3 12.1."""
    scheme = Dataset()
    scheme.CodingSchemeDesignator = PRIVATE_SCHEME
    scheme.CodingSchemeName = "Second Reader private codes"
    scheme.CodingSchemeResponsibleOrganization = MANUFACTURER
    return scheme
