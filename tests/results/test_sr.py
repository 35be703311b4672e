from io import BytesIO

import numpy as np
import pytest
from highdicom.sr import srread
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from core.findings import Box, Conclusion, FrameReference, Polygon, Reading
from core.model import InstanceKey
from results.conformance import check_object
from results.provenance import StudySources
from results.sr import encode_sr
from results.sr_conformance import concept, content, groups
from tests.results.readings import (
    FRAME,
    KEY,
    READINGS,
    border,
    context,
    finding,
    multi_frame_image,
    read_back,
    reading,
    source,
    sources,
)
from tests.support.builders import ct_image, endoscopic_image

EDGE = st.floats(0, 32, allow_nan=False, width=32)


def document(one: Reading, study: StudySources | None = None) -> Dataset:
    return read_back(encode_sr(one, study or sources(), context()).part10)


def regions(one: Dataset) -> list[Dataset]:
    return [item for item in content(one) if item.ValueType == "SCOORD"]


@pytest.mark.parametrize(
    ("conclusion", "detections", "summary", "flag"),
    [
        (Conclusion.FINDINGS, "Succeeded", "All algorithms succeeded; with findings", "COMPLETE"),
        (
            Conclusion.NO_FINDING,
            "Succeeded",
            "All algorithms succeeded; without findings",
            "COMPLETE",
        ),
        (Conclusion.NOT_EVALUATED, "Not Attempted", None, "PARTIAL"),
        (
            Conclusion.COULD_NOT_PROCESS,
            "Failed",
            "No algorithms succeeded; without findings",
            "PARTIAL",
        ),
    ],
)
def test_each_conclusion_has_its_own_codes(
    conclusion: Conclusion, detections: str, summary: str | None, flag: str
) -> None:
    """A8; PS3.16 CID 6042 and 6047."""
    one = document(READINGS[conclusion])
    values = {
        item.ConceptNameCodeSequence[0].CodeValue: item.ConceptCodeSequence[0].CodeMeaning
        for item in content(one)
        if item.ValueType == "CODE"
    }
    assert (values["111064"], values.get("111017")) == (detections, summary)
    assert one.CompletionFlag == flag


def test_a_rerun_writes_the_same_bytes() -> None:
    study = sources()
    one = READINGS[Conclusion.FINDINGS]
    assert encode_sr(one, study, context()) == encode_sr(one, study, context())


def test_content_is_dated_by_the_reading() -> None:
    one = document(READINGS[Conclusion.NO_FINDING])
    assert (one.ContentDate, one.ContentTime) == ("20260301", "110005")
    assert (one.InstanceCreationDate, one.InstanceCreationTime) == ("20260301", "110005")


def test_a_box_is_a_closed_polyline_of_five_points() -> None:
    (region,) = regions(document(reading(finding(region=Box(3, 4, 20, 25.5)))))
    assert region.GraphicType == "POLYLINE"
    assert list(region.GraphicData) == [3, 4, 20, 4, 20, 25.5, 3, 25.5, 3, 4]


def test_a_polygon_is_closed() -> None:
    (region,) = regions(document(reading(finding(region=Polygon(((1, 1), (9, 1), (5, 8)))))))
    assert list(region.GraphicData) == [1, 1, 9, 1, 5, 8, 1, 1]


def test_a_region_stays_within_the_pixel_matrix() -> None:
    """PS3.3 C.18.6.1.1."""
    (region,) = regions(document(reading(finding(region=Box(-5, -1, 99, 40)))))
    assert (min(region.GraphicData), max(region.GraphicData)) == (0, 32)


@settings(max_examples=25, deadline=None)
@given(x1=EDGE, y1=EDGE, x2=EDGE, y2=EDGE)
def test_a_box_is_read_back_as_it_was_found(x1: float, y1: float, x2: float, y2: float) -> None:
    (region,) = regions(document(reading(finding(region=Box(x1, y1, x2, y2)))))
    points = np.asarray(region.GraphicData).reshape(-1, 2)
    assert (*points[0], *points[2]) == (x1, y1, x2, y2)


def test_a_region_of_a_multi_frame_image_names_its_frame() -> None:
    frame = FrameReference(KEY, 2)
    (region,) = regions(document(reading(finding(frame=frame)), sources(multi_frame_image(3))))
    selected = region.ContentSequence[0].ReferencedSOPSequence[0]
    assert selected.ReferencedFrameNumber == 2


def test_a_region_of_a_single_frame_image_names_none() -> None:
    """PS3.3 Table 10-3."""
    (region,) = regions(document(reading(finding())))
    assert "ReferencedFrameNumber" not in region.ContentSequence[0].ReferencedSOPSequence[0]


def test_a_finding_without_a_region_names_its_image() -> None:
    (group,) = groups(document(reading(finding(region=None))))
    assert group.ContentTemplateSequence[0].TemplateIdentifier == "1501"
    assert [item.ValueType for item in group.ContentSequence].count("IMAGE") == 1


def test_evidence_lists_every_instance_of_the_revision() -> None:
    image = endoscopic_image()
    other = endoscopic_image(attributes={"StudyInstanceUID": image.StudyInstanceUID})
    study = StudySources((source(image), source(other, InstanceKey("instance-2"))))
    (item,) = document(reading(), study).CurrentRequestedProcedureEvidenceSequence
    listed = {
        each.ReferencedSOPInstanceUID
        for series in item.ReferencedSeriesSequence
        for each in series.ReferencedSOPSequence
    }
    assert listed == {image.SOPInstanceUID, other.SOPInstanceUID}


@pytest.mark.parametrize(
    ("image", "code"), [(ct_image, ("25045-6", "LN")), (endoscopic_image, ("363679005", "SCT"))]
)
def test_procedure_reported_follows_the_modality(image: object, code: tuple[str, str]) -> None:
    """A7."""
    assert callable(image)
    one = document(reading(), sources(image()))
    (reported,) = (item for item in one.ContentSequence if concept(item) == ("121058", "DCM"))
    assert concept(reported, "ConceptCodeSequence") == code


def test_two_findings_are_tracked_apart() -> None:
    one = document(reading(finding(0.9), finding(0.4)))
    names = [item.TextValue for item in content(one) if concept(item) == ("112039", "DCM")]
    uids = {item.UID for item in content(one) if concept(item) == ("112040", "DCM")}
    assert names == ["polyp 1", "polyp 2"]
    assert len(uids) == 2


def test_an_equal_finding_on_a_rerun_has_the_same_tracking_uid() -> None:
    uids = [
        [item.UID for item in content(document(reading(finding()))) if "UID" in item]
        for _ in range(2)
    ]
    assert uids[0] == uids[1]


def test_an_instance_of_an_unknown_sop_class_can_be_evidence() -> None:
    image = endoscopic_image(attributes={"SOPClassUID": "1.2.3.4.5.6.7"})
    one = encode_sr(reading(finding()), sources(image), context())
    check_object(one.part10, border(image))


def test_whole_slide_coordinates_are_of_the_frame() -> None:
    """PS3.3 C.18.6.1.3: our boxes are in pixels of one frame, not of the total pixel matrix."""
    image = multi_frame_image(2)
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    (region,) = regions(document(reading(finding(frame=FRAME)), sources(image)))
    assert region.PixelOriginInterpretation == "FRAME"


def test_highdicom_reads_the_report_as_one_of_tid_1500() -> None:
    encoded = encode_sr(READINGS[Conclusion.FINDINGS], sources(), context()).part10
    report = srread(BytesIO(encoded)).content
    found = report.get_planar_roi_measurement_groups()
    assert [group.tracking_identifier for group in found] == ["polyp 1", "polyp 2"]


def test_many_findings_of_a_large_study_are_quick_enough_to_build() -> None:
    image = endoscopic_image()
    many = [
        source(
            endoscopic_image(attributes={"StudyInstanceUID": image.StudyInstanceUID}),
            KEY if index == 0 else InstanceKey(f"instance-{index}"),
        )
        for index in range(60)
    ]
    one = document(reading(*[finding()] * 30), StudySources(tuple(many)))
    assert len(groups(one)) == 30
