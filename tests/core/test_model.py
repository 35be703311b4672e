"""Reading the index of an instance, or refusing it without quoting it."""

import pytest
from pydicom import DataElement, Dataset, Sequence
from pydicom.tag import Tag

from core.errors import MalformedInstanceError
from core.model import Instance, RevisionKey, StudyKey
from tests.support.builders import ct_image, endoscopic_image

SYNTAX = "1.2.840.10008.1.2.1"


def test_identity_is_read_as_the_object_says_it() -> None:
    patient = Instance.parse(endoscopic_image(), transfer_syntax_uid=SYNTAX).identity.patient
    assert (patient.patient_id, patient.issuer_of_patient_id) == ("PID-0001", "HOSPITAL-A")


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_an_instance_without_its_uids_is_refused_by_their_name(keyword: str) -> None:
    with pytest.raises(MalformedInstanceError, match=keyword):
        Instance.parse(endoscopic_image(attributes={keyword: None}), transfer_syntax_uid=SYNTAX)


def test_a_missing_patient_id_is_no_fault_of_the_instance() -> None:
    image = endoscopic_image(attributes={"PatientID": None})
    assert Instance.parse(image, transfer_syntax_uid=SYNTAX).identity.patient.patient_id == ""


def test_a_value_that_cannot_be_decoded_is_not_quoted() -> None:
    image = endoscopic_image(attributes={"InstanceNumber": None})
    image.add_new("InstanceNumber", "LO", "Example^Ada")
    with pytest.raises(MalformedInstanceError, match="InstanceNumber") as caught:
        Instance.parse(image, transfer_syntax_uid=SYNTAX)
    assert "Ada" not in str(caught.value)


def test_a_revision_key_reads_back() -> None:
    revision = RevisionKey(StudyKey("ab.c"), 12)
    assert RevisionKey.parse(str(revision)) == revision


@pytest.mark.parametrize("keyword", ["PatientID", "PatientName", "Modality", "StudyID"])
def test_a_sequence_in_the_place_of_a_text_is_refused_and_not_quoted(keyword: str) -> None:
    inner = Dataset()
    inner.PatientName = "Hidden^Jane"
    dataset = ct_image()
    dataset[keyword] = DataElement(Tag(keyword), "SQ", Sequence([inner]))
    with pytest.raises(MalformedInstanceError, match=f"{keyword} is no text") as raised:
        Instance.parse(dataset, transfer_syntax_uid="1.2.840.10008.1.2.1")
    assert "Hidden" not in str(raised.value)
