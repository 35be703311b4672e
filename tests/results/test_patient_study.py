import csv
import gzip
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from core.model import InstanceKey
from results.encoding import encode_part10
from results.errors import NotEncodableError
from results.patient_study import KEYWORDS, put_patient_and_study
from results.provenance import SourceInstance
from tests.support.builders import endoscopic_image, part10
from tests.support.data import standard_folder

JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"  # PS3.5 H.3.1


def result(source: bytes, own_text: str = "polyp") -> Dataset:
    """A result of `source` that holds text of ours, encoded and read back."""
    target = Dataset()
    target.SOPClassUID, target.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "2.25.1"
    target.SeriesDescription = own_text
    put_patient_and_study(SourceInstance.read(InstanceKey("i"), BytesIO(source)).header, target)
    return dcmread(BytesIO(encode_part10(target)))


def raw(dataset: Dataset, keyword: str) -> bytes:
    element = dataset.get_item(keyword)
    assert isinstance(element, RawDataElement)
    return bytes(element.value or b"")


def source(**attributes: object) -> bytes:
    return part10(endoscopic_image(attributes=attributes))


def renamed(name: bytes, charset: str | None) -> bytes:
    """A source whose name is encoded as these bytes."""
    placeholder = "N" * len(name)
    encoded = source(PatientName=placeholder, SpecificCharacterSet=charset)
    return encoded.replace(placeholder.encode(), name)


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        (["", "ISO 2022 IR 87"], JAPANESE),
        ("ISO_IR 100", "Müller^Änne"),
        ("ISO_IR 144", "Щука^Юлия"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
    ],
)
def test_a_name_keeps_its_bytes_and_character_set(charset: object, name: str) -> None:
    original = source(SpecificCharacterSet=charset, PatientName=name)
    written, read = result(original), dcmread(BytesIO(original))
    assert raw(written, "PatientName") == raw(read, "PatientName")
    assert written.SpecificCharacterSet == read.SpecificCharacterSet
    assert str(written.PatientName) == name


def test_a_name_outside_its_character_set_keeps_its_bytes() -> None:
    """Many senders write Latin-1 without saying so; an archive must see the same bytes again."""
    written = result(renamed(b"M\xfcller^Anne ", None))
    assert raw(written, "PatientName") == b"M\xfcller^Anne "
    assert "SpecificCharacterSet" not in written


def test_bytes_that_cannot_be_decoded_at_all_are_kept() -> None:
    written = result(renamed(b"M\xfcller^Anne ", "ISO_IR 192"))
    assert raw(written, "PatientName") == b"M\xfcller^Anne "
    assert written.SpecificCharacterSet == "ISO_IR 192"


def test_text_of_ours_that_does_not_fit_makes_everything_utf_8() -> None:
    original = source(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName=JAPANESE)
    written = result(original, own_text="ポリープ")
    assert written.SpecificCharacterSet == "ISO_IR 192"
    assert str(written.PatientName) == JAPANESE
    assert written.SeriesDescription == "ポリープ"


def test_text_of_ours_that_fits_keeps_the_character_set() -> None:
    written = result(source(SpecificCharacterSet="ISO_IR 100", PatientName="Müller"), "Größe")
    assert written.SpecificCharacterSet == "ISO_IR 100"
    assert (str(written.PatientName), written.SeriesDescription) == ("Müller", "Größe")


def test_nested_text_is_converted_with_its_item() -> None:
    item = Dataset()
    item.PatientID, item.IssuerOfPatientID = "Größe-7", "Köln"
    original = source(SpecificCharacterSet="ISO_IR 100", OtherPatientIDsSequence=[item])
    written = result(original, own_text="ポリープ")
    assert written.OtherPatientIDsSequence[0].IssuerOfPatientID == "Köln"


def test_bytes_that_do_not_fit_are_not_guessed_at() -> None:
    with pytest.raises(NotEncodableError, match="does not fit"):
        result(renamed(b"M\xffller^Anne ", "ISO_IR 127"), own_text="ポリープ")


def test_an_unknown_character_set_is_refused_where_it_matters() -> None:
    with pytest.raises(NotEncodableError, match="not one of the standard's"):
        result(renamed(b"M\xfcller^Anne ", "KOI8-R"))


def test_an_unknown_character_set_is_left_out_where_it_does_not_matter() -> None:
    assert "SpecificCharacterSet" not in result(source(SpecificCharacterSet="KOI8-R"))


@pytest.mark.parametrize("value", ["", "   "])
def test_a_source_without_patient_id_is_refused(value: str) -> None:
    with pytest.raises(NotEncodableError, match="PatientID"):
        result(source(PatientID=value))


def test_the_refusal_does_not_name_the_patient() -> None:
    with pytest.raises(NotEncodableError) as refused:
        result(renamed(b"Q\xfcxyz^Anne  ", "KOI8-R"))
    assert "xyz" not in str(refused.value)
    assert refused.value.__context__ is None


def test_absent_type_2_attributes_are_written_empty() -> None:
    written = result(source(PatientSex=None, StudyID=None, AccessionNumber=None))
    assert written["PatientSex"].value is None or written["PatientSex"].value == ""
    assert "StudyID" in written
    assert "AccessionNumber" in written


def test_deidentification_status_is_as_in_the_original() -> None:
    assert "PatientIdentityRemoved" not in result(source())
    assert result(source(PatientIdentityRemoved="YES")).PatientIdentityRemoved == "YES"


def test_private_elements_stay_behind_at_every_level() -> None:
    item = Dataset()
    item.PatientID = "OTHER"
    item.add_new(0x00110010, "LO", "MAKER")
    item.add_new(0x00111001, "LO", "secret")
    image = endoscopic_image(attributes={"OtherPatientIDsSequence": [item]})
    image.add_new(0x00110010, "LO", "MAKER")
    written = result(part10(image))
    assert [each for each in written.OtherPatientIDsSequence[0] if each.tag.is_private] == []
    assert not any(element.tag.is_private for element in written)


def test_attributes_of_the_acquisition_stay_behind() -> None:
    written = result(source(ProtocolName="x", StationName="room 1"))
    assert "ProtocolName" not in written
    assert "StationName" not in written


MODULES = {
    "patient",
    "general-study",
    "patient-study",
    "clinical-trial-subject",
    "clinical-trial-study",
}


def test_the_table_is_the_standards() -> None:
    """PS3.3 C.7.1.1, C.7.1.3, C.7.2.1 to C.7.2.3."""
    table = standard_folder() / "module_to_attributes_2020.csv.gz"
    with gzip.open(table, "rt") as lines:
        rows = [row for row in csv.DictReader(lines) if row["moduleId"] in MODULES]
    top = {row["path"].split(":")[1] for row in rows if row["path"].count(":") == 1}
    assert len(top) > 90
    assert {keyword_for_tag(tag) for tag in top} - set(KEYWORDS) == set()
