"""The reader of the index of many instances."""

import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from core.dataset_stream import DataSetScanner
from core.errors import MalformedInstanceError
from core.instance_reader import LONGEST_KEPT, MOST_KEPT, InstanceReader
from core.model import REQUIRED, Instance
from tests.support.builders import ct_image, encoded

ATTRIBUTES: dict[str, object] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4",
    "StudyDate": "20260302",
    "StudyTime": "111500",
    "AccessionNumber": "ACC-2",
    "Modality": "MR",
    "Manufacturer": "Others",
    "StudyDescription": "head",
    "SeriesDescription": "thick",
    "ManufacturerModelName": "M2",
    "PatientName": "Beispiel^Jürgen",
    "PatientID": "PID-2",
    "IssuerOfPatientID": "HOSPITAL-B",
    "PatientBirthDate": "19700103",
    "PatientSex": "M",
    "BodyPartExamined": "HEAD",
    "StudyInstanceUID": "2.25.9001",
    "SeriesInstanceUID": "2.25.9002",
    "StudyID": "S2",
    "SeriesNumber": 7,
    "NumberOfFrames": 2,
    "BurnedInAnnotation": "YES",
    "SOPInstanceUID": "2.25.9003",
    "InstanceNumber": -12,
}


def _read(reader: InstanceReader, dataset: Dataset, *, implicit: bool = False) -> Instance:
    syntax = str(ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian)
    scanner = DataSetScanner(syntax)
    scanner.feed(encoded(dataset, implicit=implicit))
    read = reader.read(scanner.elements_when_whole(), transfer_syntax_uid=syntax)
    assert read == Instance.parse(scanner.finish(), transfer_syntax_uid=syntax)
    return read


def _variants() -> list[Dataset]:
    same = {"SOPInstanceUID": "2.25.1", "StudyInstanceUID": "2.25.2", "SeriesInstanceUID": "2.25.3"}
    changes = [{keyword: value} for keyword, value in ATTRIBUTES.items()]
    changes += [
        {keyword: None}
        for keyword in ATTRIBUTES
        if keyword in ct_image() and not keyword.startswith("SOP")
    ]
    return [ct_image(attributes={**same, **some}) for some in ({}, *changes)]


@pytest.mark.parametrize("implicit", [False, True])
def test_it_reads_what_parsing_would_read_whatever_it_read_before(implicit: bool) -> None:
    """Every attribute that is indexed, changed and left out, each read twice in any order."""
    reader = InstanceReader()
    variants = [one for one in _variants() if all(uid in one for uid in REQUIRED)]
    found = [_read(reader, one, implicit=implicit) for one in (*variants, *variants)]
    assert len(set(found)) > len(ATTRIBUTES)


@pytest.mark.parametrize("value", ["2.25.1\\2.25.2", "1.2.x", "2.25.7 "])
def test_a_uid_that_is_not_plain_is_read_as_parsing_would(value: str) -> None:
    dataset = ct_image()
    scanner = DataSetScanner(str(ExplicitVRLittleEndian))
    content = encoded(dataset)
    uid = str(dataset.SOPInstanceUID).encode()
    scanner.feed(content.replace(uid, value.encode().ljust(len(uid), b"\0")))
    read = InstanceReader().read(scanner.elements_when_whole(), transfer_syntax_uid="1.2")
    assert read == Instance.parse(scanner.finish(), transfer_syntax_uid="1.2")


def test_what_is_no_instance_is_refused_each_time() -> None:
    reader, dataset = InstanceReader(), ct_image()
    _read(reader, dataset)
    del dataset.SOPInstanceUID
    for _ in range(2):
        with pytest.raises(MalformedInstanceError, match="SOPInstanceUID"):
            _read(reader, dataset)


def test_it_does_not_keep_more_than_it_may() -> None:
    reader = InstanceReader()
    for number in range(MOST_KEPT + 5):
        _read(reader, ct_image(attributes={"StudyDescription": f"study {number}"}))
    assert reader.kept <= MOST_KEPT


def test_it_keeps_nothing_that_is_longer_than_a_series_needs() -> None:
    """A peer could fill the memory with descriptions that are each sixty thousand letters long."""
    reader = InstanceReader()
    _read(reader, ct_image(attributes={"StudyDescription": "x" * LONGEST_KEPT}))
    assert reader.kept == 0
