"""Reads what arrived in an Orthanc, and nothing else, and says for each study what is in it."""

from dataclasses import dataclass, field
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset

from tests.support.look_alikes import Truth
from tests.support.peers import Orthanc

COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

KINDS = {
    ("111222", "111242"): "findings",
    ("111223", "111244"): "findings, some not processed",
    ("111222", "111241"): "no finding",
    ("111223", "111243"): "could not process",
    ("111224", "111245"): "could not process",
    ("111225", ""): "not evaluated",
}
"""Summary of Detections and CAD Processing and Findings Summary. Source: PS3.16 CID 6042, 6047."""


@dataclass
class StudyInOrthanc:
    """What an Orthanc holds of one study."""

    reports: list[FileDataset] = field(default_factory=list)
    captures: list[FileDataset] = field(default_factory=list)
    others: list[FileDataset] = field(default_factory=list)

    @property
    def results(self) -> list[FileDataset]:
        """Everything that the service made."""
        return [*self.reports, *self.captures]

    @property
    def kinds(self) -> list[str]:
        """What each report says."""
        return [kind_of(report) for report in self.reports]


def read_all(server: Orthanc) -> dict[str, StudyInOrthanc]:
    """Return every study by its Study Instance UID."""
    studies: dict[str, StudyInOrthanc] = {}
    for name in server.instances():
        dataset = dcmread(BytesIO(server.file(name)))
        study = studies.setdefault(str(dataset.StudyInstanceUID), StudyInOrthanc())
        is_ours = dataset.get("Manufacturer") == "Second Reader"
        by_class = {COMPREHENSIVE_3D_SR: study.reports, SECONDARY_CAPTURE: study.captures}
        target = by_class.get(str(dataset.SOPClassUID), study.others) if is_ours else study.others
        target.append(dataset)
    return studies


def kind_of(report: Dataset) -> str:
    """Return what a report concludes, from its codes alone."""
    codes = {
        item.ConceptNameCodeSequence[0].CodeValue: item.ConceptCodeSequence[0].CodeValue
        for item in _content(report)
        if item.ValueType == "CODE" and "ConceptNameCodeSequence" in item
    }
    return KINDS[codes.get("111064", ""), codes.get("111017", "")]


def identity_faults(dataset: Dataset, truth: Truth) -> list[str]:
    """Return the attributes that are not those of the patient and order."""
    expected = {
        "PatientID": truth.patient_id,
        "IssuerOfPatientID": truth.issuer,
        "PatientName": truth.name,
        "PatientBirthDate": truth.birth_date,
        "AccessionNumber": truth.accession_number,
        "StudyInstanceUID": truth.study_instance_uid,
    }
    return [
        keyword
        for keyword, value in expected.items()
        if str(dataset.get(keyword, "")).rstrip("^") != value.rstrip("^")
    ]


def referenced_uids(dataset: Dataset) -> set[str]:
    """Return every SOP instance that the object refers to, at any depth."""
    return {
        str(element.value)
        for element in dataset.iterall()
        if element.keyword == "ReferencedSOPInstanceUID"
    }


def _content(item: Dataset) -> list[Dataset]:
    children = list(item.get("ContentSequence", []))
    return [*children, *(below for child in children for below in _content(child))]
