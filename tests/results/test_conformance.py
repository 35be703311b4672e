"""Each statement of the last check, broken once: refused by its name."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from io import BytesIO

import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID

from core.findings import Conclusion
from results import sr_conformance
from results.conformance import STATEMENTS, Border, check_object, check_results
from results.encoder import encode
from results.errors import BorderError
from results.sr_conformance import children, concept, content, groups
from tests.results.readings import (
    FRAME,
    READINGS,
    border,
    context,
    finding,
    frame_pixels,
    multi_frame_image,
    read_back,
    reading,
    sources,
)
from tests.support.builders import endoscopic_image

IMAGE = endoscopic_image()
BORDER = border(IMAGE)
REPORT, CAPTURE = (
    each.part10
    for each in encode(
        READINGS[Conclusion.FINDINGS], sources(IMAGE), context(), {FRAME: frame_pixels()}
    )
)
RELEASED = "2.25.4711471147114711"
Mutation = Callable[[FileDataset], object]


def mutant(original: bytes, mutate: Mutation) -> bytes:
    dataset = read_back(original)
    mutate(dataset)
    buffer = BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def put(keyword: str, value: object) -> Mutation:
    return lambda dataset: setattr(dataset, keyword, value)


def drop(keyword: str) -> Mutation:
    return lambda dataset: delattr(dataset, keyword)


def item(dataset: Dataset, value: str) -> Dataset:
    """The first content item whose concept has this code value."""
    return next(each for each in content(dataset) if concept(each)[0] == value)


def without(value: str) -> Mutation:
    """Drop the content items whose concept has this code value, wherever they are."""

    def mutate(dataset: Dataset) -> None:
        for each in (dataset, *list(content(dataset))):
            inner = each.get("ContentSequence") or []
            kept = [child for child in inner if concept(child)[0] != value]
            if len(kept) != len(inner):
                each.ContentSequence = kept

    return mutate


def recode(value: str, code: str) -> Mutation:
    """Give the first content item of this concept another coded value."""
    return lambda dataset: setattr(item(dataset, value).ConceptCodeSequence[0], "CodeValue", code)


def region(dataset: Dataset) -> Dataset:
    return next(each for each in content(dataset) if each.ValueType == "SCOORD")


def selected(dataset: Dataset) -> Dataset:
    reference: Dataset = region(dataset).ContentSequence[0].ReferencedSOPSequence[0]
    return reference


def evidence(dataset: Dataset) -> Dataset:
    series: Dataset = dataset.CurrentRequestedProcedureEvidenceSequence[0]
    return series


def track_as_one(dataset: Dataset) -> None:
    for group in groups(dataset):
        children(group, ("112040", "DCM"))[0].UID = "2.25.8"


ALL_KINDS: list[tuple[str, Mutation]] = [
    ("A1", put("SOPClassUID", "1.2.840.10008.5.1.4.1.1.88.33")),
    ("A1", lambda dataset: setattr(dataset.file_meta, "MediaStorageSOPInstanceUID", UID("2.25.1"))),
    ("A1", lambda dataset: setattr(dataset, "preamble", b"%PDF" + bytes(124))),
    ("R1", put("PatientID", "PID-0002")),
    ("R1", put("IssuerOfPatientID", "HOSPITAL-B")),
    ("R1", put("PatientName", "Example^Ida")),
    ("R1", put("PatientBirthDate", "19700103")),
    ("R1", put("PatientSex", "M")),
    ("R1", put("StudyInstanceUID", "2.25.99")),
    ("R1", put("AccessionNumber", "ACC-0002")),
    ("R1", put("StudyDate", "20260302")),
    ("R2", put("FrameOfReferenceUID", RELEASED)),
    ("R2", put("PatientComments", f"was {RELEASED} before")),
    ("R2", put("PatientComments", "known as PSEUDONYM-77")),
    ("R8", put("PatientIdentityRemoved", "YES")),
    ("A2", lambda dataset: setattr(dataset, "SeriesInstanceUID", IMAGE.SeriesInstanceUID)),
    ("A2", drop("SeriesInstanceUID")),
    ("UX-9", put("SeriesDescription", "polyp 1.0.0")),
    ("UX-9", drop("SoftwareVersions")),
]

REPORTS: list[tuple[str, Mutation]] = [
    ("A1", lambda one: setattr(one.ConceptNameCodeSequence[0], "CodeValue", "126001")),
    ("A1", drop("ContentTemplateSequence")),
    ("R2", lambda one: setattr(selected(one), "ReferencedSOPInstanceUID", "2.25.5")),
    ("R2", lambda one: setattr(selected(one), "ReferencedSOPClassUID", "1.2.3")),
    ("R2", lambda one: setattr(selected(one), "ReferencedFrameNumber", 2)),
    ("A3", drop("CurrentRequestedProcedureEvidenceSequence")),
    ("A3", lambda one: setattr(evidence(one), "ReferencedSeriesSequence", [])),
    ("A3", lambda one: setattr(evidence(one), "StudyInstanceUID", "2.25.6")),
    (
        "A3",
        lambda one: setattr(
            evidence(one).ReferencedSeriesSequence[0], "SeriesInstanceUID", "2.25.7"
        ),
    ),
    ("A4", lambda one: setattr(region(one), "ContentSequence", [])),
    ("A4", lambda one: setattr(region(one), "GraphicType", "POINT")),
    ("A4", lambda one: setattr(region(one), "GraphicData", [1, 1, 2, 2, 3, 3, 4, 4])),
    ("A5", without("112039")),
    ("A5", without("112040")),
    ("A5", track_as_one),
    ("A5", without("121071")),
    ("A6", without("111001")),
    ("A6", without("111003")),
    ("A6", without("121012")),
    ("A6", recode("121005", "121006")),
    ("A7", without("121058")),
    ("A7", recode("121058", "999999")),
    ("A8", without("111064")),
    ("A8", recode("111064", "111225")),
    ("A8", recode("111017", "111241")),
    ("A8", without("125007")),
    ("A8", without("121077")),
    ("A8", lambda one: setattr(item(one, "121077"), "TextValue", "The colon is normal.")),
    ("A9", put("VerificationFlag", "VERIFIED")),
    ("A9", put("PreliminaryFlag", "FINAL")),
    ("A9", put("CompletionFlag", "PARTIAL")),
    ("A9", drop("CompletionFlagDescription")),
    ("A9", put("VerifyingObserverSequence", [Dataset()])),
    ("A12", drop("CodingSchemeIdentificationSequence")),
    (
        "A12",
        lambda one: setattr(
            item(one, "121071").ConceptCodeSequence[0], "CodingSchemeDesignator", "HOME"
        ),
    ),
    ("A12", lambda one: setattr(item(one, "121071").ConceptCodeSequence[0], "CodeMeaning", "")),
]

CAPTURES: list[tuple[str, Mutation]] = [
    ("A11", drop("SourceImageSequence")),
    ("A11", lambda one: one.SourceImageSequence.append(deepcopy(one.SourceImageSequence[0]))),
    (
        "R2",
        lambda one: setattr(one.SourceImageSequence[0], "ReferencedSOPInstanceUID", "2.25.5"),
    ),
    ("A1", drop("ConversionType")),
    ("A1", drop("DerivationDescription")),
    ("A1", lambda one: setattr(one, "PixelData", one.PixelData[:-2])),
]


def sentry() -> Border:
    return replace(BORDER, is_released_uid=RELEASED.__eq__, pseudonyms=("PSEUDONYM-77",))


def refused(encoded: bytes, by: Border) -> str:
    with pytest.raises(BorderError) as refusal:
        check_object(encoded, by)
    return refusal.value.statement


def test_what_we_encode_may_leave() -> None:
    check_results([REPORT, CAPTURE], sentry())


@pytest.mark.parametrize(("statement", "mutate"), [*ALL_KINDS, *REPORTS])
def test_a_broken_report_is_refused_by_name(statement: str, mutate: Mutation) -> None:
    assert refused(mutant(REPORT, mutate), sentry()) == statement


@pytest.mark.parametrize(("statement", "mutate"), [*ALL_KINDS, *CAPTURES])
def test_a_broken_capture_is_refused_by_name(statement: str, mutate: Mutation) -> None:
    assert refused(mutant(CAPTURE, mutate), sentry()) == statement


def test_every_statement_has_a_mutant() -> None:
    named = {name for name, _ in STATEMENTS} | set(sr_conformance.STATEMENTS)
    broken = {name for name, _ in (*ALL_KINDS, *REPORTS, *CAPTURES)}
    assert named - broken == {"R3"}  # has a test of its own


def test_an_unknown_identity_lets_nothing_pass() -> None:
    """R3."""
    nobody = replace(BORDER.identity, patient=replace(BORDER.identity.patient, patient_id=""))
    assert refused(REPORT, replace(BORDER, identity=nobody)) == "R3"
    assert refused(REPORT, replace(BORDER, originals={})) == "R3"


def test_an_identity_that_changed_since_is_refused() -> None:
    """R4: measured against what is sealed now, not what the encoder read then."""
    patient = replace(BORDER.identity.patient, patient_name="Married^Ada")
    changed = replace(BORDER, identity=replace(BORDER.identity, patient=patient))
    assert refused(REPORT, changed) == "R1"


def test_a_capture_alone_is_refused() -> None:
    with pytest.raises(BorderError) as refusal:
        check_results([CAPTURE], BORDER)
    assert refusal.value.statement == "A11"


def test_the_same_object_twice_is_refused() -> None:
    with pytest.raises(BorderError) as refusal:
        check_results([REPORT, REPORT], BORDER)
    assert refusal.value.statement == "A2"


@pytest.mark.parametrize("encoded", [b"", b"not DICOM", REPORT[:600], REPORT[:-3]])
def test_what_cannot_be_read_again_is_refused(encoded: bytes) -> None:
    assert refused(encoded, BORDER) == "A1"


def test_a_region_of_a_multi_frame_image_must_name_its_frame() -> None:
    image = multi_frame_image(3)
    encoded = encode(reading(finding()), sources(image), context())[0].part10
    check_object(encoded, border(image))
    broken = mutant(encoded, lambda one: delattr(selected(one), "ReferencedFrameNumber"))
    assert refused(broken, border(image)) == "A4"


def test_uids_that_an_option_left_in_the_copies_may_leave() -> None:
    """PS3.15 E.3.9: with Retain UIDs, originals and copies share them."""
    check_results(
        [REPORT, CAPTURE], replace(BORDER, is_released_uid=BORDER.known_uids.__contains__)
    )


def test_a_refusal_says_nothing_of_the_patient() -> None:
    with pytest.raises(BorderError) as refusal:
        check_object(mutant(REPORT, put("PatientName", "Secret^Sam")), BORDER)
    assert "Sam" not in str(refusal.value)
    assert "Ada" not in str(refusal.value)
    assert "patient_name" in str(refusal.value)
