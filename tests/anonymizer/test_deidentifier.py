"""An object in, a released one out. Source: PS3.15 E.1.1."""

import struct
from copy import deepcopy
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.tag import BaseTag
from pydicom.uid import JPEGBaseline8Bit

from anonymizer import part10
from anonymizer.deidentifier import deidentify
from anonymizer.options import Option
from anonymizer.profile import Profile
from anonymizer.report import Action, Reason
from anonymizer.risk import Risk
from core.errors import MalformedInstanceError
from core.limits import MAX_DEPTH
from core.part10 import file_head
from core.records import dump_record, load_record
from core.uids import IMPLEMENTATION_CLASS_UID, random_uid
from tests.anonymizer.samples import DEFAULT_OPTIONS, item, released, replacement_for, run
from tests.support.builders import ct_image, encoded, endoscopic_image
from tests.support.builders import part10 as as_file


def from_file(dataset: FileDataset) -> FileDataset:
    """Return the object as the archive hands it over: read from bytes, nothing parsed yet."""
    return part10.read(BytesIO(as_file(dataset)))


def test_the_original_is_left_untouched() -> None:
    original = from_file(ct_image())
    before = deepcopy(original)
    raw = {tag: type(original.get_item(tag)) for tag in original.keys()}  # noqa: SIM118
    deidentify(original, Profile.of("test", DEFAULT_OPTIONS), replacement_for(before))
    assert raw == {tag: type(original.get_item(tag)) for tag in original.keys()}  # noqa: SIM118
    assert original == before


def test_a_change_of_the_copy_does_not_reach_the_original() -> None:
    original = ct_image()
    copy = run(original).released
    copy.PixelSpacing[0] = 9
    assert list(original.PixelSpacing) == [0.5, 0.5]


def test_pixels_are_shared_not_copied() -> None:
    original = ct_image()
    copy = run(original).released
    assert copy.get_item("PixelData").value is original["PixelData"].value


def test_it_says_in_the_object_what_was_done() -> None:
    """PS3.15 E.1.1; PS3.3 C.7.1.1."""
    copy = released(ct_image(), *DEFAULT_OPTIONS)
    assert copy.PatientIdentityRemoved == "YES"
    codes = [entry.CodeValue for entry in copy.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113107", "113108"]
    assert copy.DeidentificationMethod
    assert copy.LongitudinalTemporalInformationModified == "MODIFIED"


@pytest.mark.parametrize(
    ("options", "says"),
    [((), "REMOVED"), ((Option.RETAIN_FULL_DATES,), "UNMODIFIED"), (DEFAULT_OPTIONS, "MODIFIED")],
)
def test_it_says_what_became_of_the_dates(options: tuple[Option, ...], says: str) -> None:
    assert released(ct_image(), *options).LongitudinalTemporalInformationModified == says


def test_header_and_preamble_are_new() -> None:
    original = ct_image()
    original.preamble = b"Example^Ada".ljust(128, b"\0")
    original.file_meta.SourceApplicationEntityTitle = "ADAS_SCANNER"
    written = part10.write(run(original).released)
    meta = dcmread(BytesIO(written)).file_meta
    assert written[:132] == bytes(128) + b"DICM"
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert "SourceApplicationEntityTitle" not in meta
    assert meta.FileMetaInformationGroupLength > 0


def test_name_and_id_hold_the_pseudonym() -> None:
    original = ct_image()
    copy = released(original)
    expected = replacement_for(original).patient_pseudonym
    assert (copy.PatientName, copy.PatientID) == (expected, expected)
    assert "IssuerOfPatientID" not in copy


@pytest.mark.parametrize("missing", [{"PatientID": ""}, {"PatientID": None, "PatientName": None}])
def test_a_patient_without_id_gets_a_pseudonym_for_the_study(
    missing: dict[str, str | None],
) -> None:
    original = ct_image(attributes=missing)
    other = ct_image(attributes={**missing, "StudyInstanceUID": random_uid()})
    pseudonyms = {released(original).PatientID, released(other).PatientID}
    assert len(pseudonyms) == 2
    assert "" not in pseudonyms


def test_another_persons_id_inside_an_item_gets_its_own_pseudonym() -> None:
    original = ct_image()
    same, other = item(PatientID="PID-0001"), item(PatientID="PID-0002", PatientName="Other^Person")
    original.ReferencedSeriesSequence = [same, other]
    copy = released(original)
    inner = copy.ReferencedSeriesSequence
    assert inner[0].PatientID == copy.PatientID
    assert inner[1].PatientID not in {copy.PatientID, "PID-0002", ""}
    assert inner[1].PatientName == ""


def test_references_agree_across_objects_and_depths() -> None:
    first, second = ct_image(), ct_image()
    first.ReferencedSeriesSequence = [
        item(
            SeriesInstanceUID=second.SeriesInstanceUID,
            ReferencedInstanceSequence=[
                item(
                    ReferencedSOPClassUID=second.SOPClassUID,
                    ReferencedSOPInstanceUID=second.SOPInstanceUID,
                )
            ],
        )
    ]
    one, two = released(first), released(second)
    series = one.ReferencedSeriesSequence[0]
    reference = series.ReferencedInstanceSequence[0]
    assert series.SeriesInstanceUID == two.SeriesInstanceUID
    assert reference.ReferencedSOPInstanceUID == two.SOPInstanceUID != second.SOPInstanceUID
    assert reference.ReferencedSOPClassUID == second.SOPClassUID


def test_a_rerun_gives_the_same_bytes() -> None:
    original = endoscopic_image()
    first, second = (part10.write(run(original, *DEFAULT_OPTIONS).released) for _ in range(2))
    assert first == second


def test_private_and_unknown_elements_go_at_every_depth() -> None:
    original = ct_image()
    entry = item(CodeMeaning="kept")
    for dataset in (original, entry):
        block = dataset.private_block(0x0011, "A MAKER", create=True)
        block.add_new(0x01, "LO", "Example^Ada")
        dataset.add(DataElement(0x00082222, "LO", "Example^Ada"))
    original.ReferencedSeriesSequence = [entry]
    copy = released(original)
    assert list(copy.ReferencedSeriesSequence[0].keys()) == [0x00080104]
    assert not [tag for tag in copy.keys() if tag.is_private or tag == 0x00082222]  # noqa: SIM118


def test_overlays_curves_and_icons_go() -> None:
    original = ct_image()
    original.add(DataElement(0x60000010, "US", 32))
    original.add(DataElement(0x60003000, "OW", bytes(128)))
    original.add(DataElement(0x60021500, "LO", "Example^Ada"))
    original.add(DataElement(0x50000005, "US", 1))
    original.IconImageSequence = [item(Rows=1)]
    copy = released(original)
    assert not [tag for tag in copy.keys() if tag.group >= 0x5000 and tag.group < 0x7FE0]  # noqa: SIM118
    assert "IconImageSequence" not in copy


@pytest.mark.parametrize(
    ("age", "told"), [("089Y", "089Y"), ("090Y", "090Y"), ("104Y", "090Y"), ("011M", "011M")]
)
def test_no_age_above_89_is_told(age: str, told: str) -> None:
    original = ct_image(attributes={"PatientAge": age})
    assert released(original, Option.RETAIN_PATIENT_CHARACTERISTICS).PatientAge == told


def test_an_age_that_is_none_goes() -> None:
    original = from_file(ct_image(attributes={"PatientAge": "Ada1"}))
    assert "PatientAge" not in released(original, Option.RETAIN_PATIENT_CHARACTERISTICS)


def test_patient_characteristics_stay_only_with_their_option() -> None:
    original = ct_image(attributes={"PatientWeight": "71.5", "PatientSize": "1.8"})
    with_option = released(original, Option.RETAIN_PATIENT_CHARACTERISTICS)
    assert (with_option.PatientSex, with_option.PatientWeight) == ("F", 71.5)
    without = released(original)
    assert without.PatientSex == ""
    assert "PatientWeight" not in without


def test_dates_of_one_patient_move_together() -> None:
    original = ct_image(attributes={"AcquisitionDateTime": "20260228235959.25+0100"})
    copy = released(original, Option.RETAIN_MODIFIED_DATES)
    shift = replacement_for(original).dates
    assert copy.StudyDate == shift.da("20260301")
    assert copy.AcquisitionDateTime == shift.dt("20260228235959.25+0100")
    assert copy.StudyTime == "101500"
    assert copy.PatientBirthDate == ""


@pytest.mark.parametrize("value", ["March", "20260301 Ada", "2026", "20261301"])
def test_a_date_that_cannot_be_read_is_never_kept(value: str) -> None:
    original = from_file(ct_image(attributes={"StudyDate": value, "SeriesDate": value}))
    result = run(original, Option.RETAIN_MODIFIED_DATES)
    copy = part10.read(BytesIO(part10.write(result.released)))
    assert copy.StudyDate == ""
    assert "SeriesDate" not in copy
    assert result.report.count(reason=Reason.UNCLEANABLE) == 2


def test_each_of_several_values_is_treated() -> None:
    original = ct_image(attributes={"DateOfLastCalibration": ["20260101", "20260201"]})
    original.FailedSOPInstanceUIDList = ["1.2.3.4", "1.2.840.10008.5.1.4.1.1.2"]
    copy = released(original, Option.RETAIN_MODIFIED_DATES)
    replacement = replacement_for(original)
    assert list(copy.DateOfLastCalibration) == [
        replacement.dates.da("20260101"),
        replacement.dates.da("20260201"),
    ]
    assert list(copy.FailedSOPInstanceUIDList) == [
        replacement.uids.map("1.2.3.4"),
        "1.2.840.10008.5.1.4.1.1.2",
    ]


def test_texts_are_written_in_utf_8_whatever_they_came_in() -> None:
    original = ct_image(attributes={"SpecificCharacterSet": "ISO_IR 100", "Manufacturer": "Müller"})
    latin = item(CodeMeaning="dépiste")
    cyrillic = item(SpecificCharacterSet="ISO_IR 144", CodeMeaning="Диагноз")
    original.AnatomicRegionSequence = [latin, cyrillic]
    copy = released(from_file(original))
    assert copy.SpecificCharacterSet == "ISO_IR 192"
    assert copy.Manufacturer == "Müller"
    meanings = [entry.CodeMeaning for entry in copy.AnatomicRegionSequence]
    assert meanings == ["dépiste", "Диагноз"]
    assert "SpecificCharacterSet" not in copy.AnatomicRegionSequence[1]


def test_a_name_typed_elsewhere_is_taken_out() -> None:
    original = ct_image(
        attributes={"Manufacturer": "Scanner of Dr. EXAMPLE", "SoftwareVersions": "7"}
    )
    original.AnatomicRegionSequence = [item(CodeMeaning="see PID-0001")]
    result = run(from_file(original))
    copy = part10.read(BytesIO(part10.write(result.released)))
    assert (copy.Manufacturer, copy.SoftwareVersions) == ("REMOVED", "7")
    assert copy.AnatomicRegionSequence[0].CodeMeaning == "REMOVED"
    assert result.report.count(reason=Reason.KNOWN_IDENTITY) == 2


def test_the_sealed_identity_is_searched_for_too() -> None:
    """An object may name its patient only where it should not."""
    original = ct_image(attributes={"Manufacturer": "for LOVELACE", "PatientName": "X"})
    named = ct_image(attributes={"PatientName": "Lovelace^Ada"})
    profile = Profile.of("test", ())
    copy = deidentify(original, profile, replacement_for(named)).released
    assert copy.Manufacturer == "REMOVED"


def test_a_value_hidden_under_a_wrong_vr_is_found() -> None:
    original = ct_image()
    original.add(DataElement(0x00280120, "OB", b"of Example^Ada, PID-0001"))
    original.add(DataElement(0x00080070, "OB", b"of Example^Ada"))
    copy = released(original)
    assert 0x00280120 not in copy
    assert copy.Manufacturer == "REMOVED"


def test_a_sequence_hidden_in_an_unknown_vr_is_gone_through() -> None:
    """PS3.5 6.2.2, note 2: it is encoded in implicit VR."""
    from anonymizer.encoding import Encoding, encode

    inner = item(PatientName="Example^Ada", CodeMeaning="kept")
    wrapped = encode(item(ReferencedSeriesSequence=[inner]), Encoding(True, True), ["utf-8"])
    original = from_file(ct_image())
    value = wrapped[8:]
    hidden = RawDataElement(BaseTag(0x00081115), "UN", len(value), value, 0, False, True)
    original[BaseTag(0x00081115)] = hidden
    copy = released(original)
    assert copy[0x00081115].VR == "SQ"
    assert (copy[0x00081115][0].PatientName, copy[0x00081115][0].CodeMeaning) == ("", "kept")


def test_fragments_pass_unchanged() -> None:
    original = endoscopic_image()
    original.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    original.PixelData = encapsulate([b"\xff\xd8frame one\xff\xd9", b"\xff\xd8two\xff\xd9"])
    original["PixelData"].is_undefined_length = True
    copy = released(from_file(original))
    assert copy.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    assert copy.PixelData == original.PixelData
    assert copy["PixelData"].is_undefined_length


def test_risky_pixels_are_flagged_with_the_reason() -> None:
    flags = run(endoscopic_image()).flags
    assert {flag.risk for flag in flags} == {Risk.CLASS, Risk.MODALITY}
    assert run(ct_image()).flags == ()
    assert run(endoscopic_image(attributes={"PixelData": None})).flags == ()


def test_the_report_says_what_was_done_and_no_value() -> None:
    original = ct_image(attributes={"InstitutionName": "Invented Hospital"})
    original.ReferencedSeriesSequence = [item(PatientID="X-1"), item(PatientID="X-2")]
    report = run(from_file(original), *DEFAULT_OPTIONS).report
    done = {change.path: (change.action, change.count) for change in report.changes}
    assert done["(0008,0080)"] == (Action.REMOVE, 1)
    assert done["(0008,1115)>(0010,0020)"] == (Action.EMPTY, 2)
    encoded = dump_record(report)
    assert load_record(type(report), encoded) == report
    for value in ("Example", "PID-0001", "Invented Hospital", "X-1", original.StudyInstanceUID):
        assert value.encode() not in encoded


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID"])
def test_what_is_no_instance_is_refused(keyword: str) -> None:
    original: Dataset = ct_image()
    delattr(original, keyword)
    with pytest.raises(MalformedInstanceError, match="lacks"):
        run(original)


def test_a_directory_is_refused() -> None:
    with pytest.raises(MalformedInstanceError, match="DICOMDIR"):
        run(item(DirectoryRecordSequence=[]))


def test_pixels_that_are_not_of_their_transfer_syntax_are_refused() -> None:
    original = ct_image()
    original.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    with pytest.raises(MalformedInstanceError, match="transfer syntax"):
        run(original)


def test_what_is_cut_off_is_refused() -> None:
    content = as_file(ct_image())
    with pytest.raises(MalformedInstanceError, match="cut off"):
        run(part10.read(BytesIO(content[:-100])))


def test_nesting_is_bounded() -> None:
    original, inner = ct_image(), item(CodeMeaning="x")
    for _ in range(MAX_DEPTH + 1):
        inner = item(ReferencedSeriesSequence=[inner])
    original.ReferencedSeriesSequence = [inner]
    with pytest.raises(MalformedInstanceError, match="nested"):
        run(original)


def test_another_profile_is_named_in_the_report() -> None:
    original = ct_image()
    result = deidentify(original, Profile.of("research", ()), replacement_for(original))
    assert (result.report.profile, result.report.options) == ("research", ())


def test_a_value_of_undefined_length_that_is_no_sequence_takes_nothing_along() -> None:
    """In implicit VR any attribute can be given items; as a value they would be passed on whole."""
    hidden = struct.pack("<HHL", 0x0010, 0x0010, 12) + b"Hidden^Jane "
    item_ = struct.pack("<HHL", 0xFFFE, 0xE000, len(hidden)) + hidden
    end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    scan_length = struct.pack("<HHL", 0x0018, 0x1302, 0xFFFFFFFF) + item_ + end
    original = ct_image(attributes={"PixelData": None})
    body = encoded(original, implicit=True)
    at = body.index(b"\x20\x00\x0d\x00")
    head = file_head(original.SOPClassUID, original.SOPInstanceUID, "1.2.840.10008.1.2")
    read = part10.read(BytesIO(head + body[:at] + scan_length + body[at:]))
    assert b"Hidden^Jane" in read.get_item(0x00181302).value
    made = run(read)
    assert b"Hidden" not in part10.write(made.released)
    assert "ScanLength" not in made.released
