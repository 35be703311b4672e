from dataclasses import replace
from datetime import datetime
from io import BytesIO

import pytest

from core.findings import Box, Finding, FrameReference, Polygon
from core.model import InstanceKey
from results.errors import NotEncodableError
from results.provenance import (
    Side,
    SourceInstance,
    StudySources,
    check_reading,
    local_moment,
    reference,
)
from tests.results.readings import (
    ALGORITHM,
    KEY,
    MOMENT,
    context,
    finding,
    multi_frame_image,
    reading,
    source,
    sources,
)
from tests.support.builders import endoscopic_image, part10


def test_the_same_arguments_give_the_same_uid() -> None:
    assert context().uid(ALGORITHM, "SR", 1) == context().uid(ALGORITHM, "SR", 1)


def test_each_argument_makes_another_uid() -> None:
    one = context()
    uids = {
        one.uid(ALGORITHM, "SR", 1),
        one.uid(ALGORITHM, "SR", 2),
        one.uid(ALGORITHM, "SC", 1),
        one.uid(replace(ALGORITHM, digest="cd" * 32), "SR", 1),
        one.uid(replace(ALGORITHM, threshold=0.5), "SR", 1),
        one.uid(replace(ALGORITHM, parameters=(("input", "640"),)), "SR", 1),
        replace(one, side=Side.RESEARCH).uid(ALGORITHM, "SR", 1),
        replace(one, identity_version=2).uid(ALGORITHM, "SR", 1),
        context(revision=2).uid(ALGORITHM, "SR", 1),
        replace(one, result_key=b"j" * 32).uid(ALGORITHM, "SR", 1),
    }
    assert len(uids) == 10
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)


def test_a_key_is_not_printed() -> None:
    assert "kkkk" not in repr(context())


@pytest.mark.parametrize("missing", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_a_source_without_a_uid_is_refused(missing: str) -> None:
    image = endoscopic_image()
    image[missing].value = ""
    with pytest.raises(NotEncodableError, match=missing):
        SourceInstance.read(KEY, BytesIO(part10(image)))


def test_bytes_that_are_no_part_10_file_are_refused() -> None:
    with pytest.raises(NotEncodableError, match="cannot be read"):
        SourceInstance.read(KEY, BytesIO(b"not DICOM"))


def test_pixels_are_not_read() -> None:
    assert "PixelData" not in source().header


def test_a_reading_of_another_study_goes_nowhere() -> None:
    other = finding(frame=FrameReference(InstanceKey("elsewhere"), 1))
    with pytest.raises(NotEncodableError, match="does not have"):
        check_reading(reading(other), sources())


@pytest.mark.parametrize("frame", [0, 2])
def test_a_frame_that_is_not_there_is_refused(frame: int) -> None:
    with pytest.raises(NotEncodableError, match="frame"):
        check_reading(reading(finding(frame=FrameReference(KEY, frame))), sources())


@pytest.mark.parametrize(
    "broken",
    [
        finding(float("nan")),
        finding(region=Box(0, 0, float("inf"), 1)),
        finding(region=Polygon(((0, 0), (1, float("nan"))))),
    ],
)
def test_a_number_that_is_none_is_refused(broken: Finding) -> None:
    with pytest.raises(NotEncodableError, match="number"):
        check_reading(reading(broken), sources())


def test_a_revision_without_instances_is_refused() -> None:
    with pytest.raises(NotEncodableError, match="no instances"):
        StudySources(())


def test_a_frame_is_named_only_where_there_are_several() -> None:
    """PS3.3 Table 10-3."""
    assert "ReferencedFrameNumber" not in reference(source(), 1)
    assert reference(source(multi_frame_image(3)), 2).ReferencedFrameNumber == 2


def test_times_are_in_the_offset_of_the_source() -> None:
    """PS3.3 C.12.1.1.8: one offset for every time of an object."""
    east = source(endoscopic_image(attributes={"TimezoneOffsetFromUTC": "+0130"}))
    assert local_moment(context(), east).strftime("%H%M%z") == "1230+0130"
    assert local_moment(context(), source()) == MOMENT


@pytest.mark.parametrize("offset", ["", "0100", "+1", "east"])
def test_an_offset_that_is_none_is_ignored(offset: str) -> None:
    image = endoscopic_image(attributes={"TimezoneOffsetFromUTC": offset})
    moment: datetime = local_moment(context(), source(image))
    assert moment == MOMENT


@pytest.mark.parametrize(
    ("attributes", "is_lossy"), [({}, False), ({"LossyImageCompression": "01"}, True)]
)
def test_loss_is_remembered(attributes: dict[str, object], is_lossy: bool) -> None:
    assert source(endoscopic_image(attributes=attributes)).is_lossy is is_lossy
