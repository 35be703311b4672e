import numpy as np
import pytest
from pydicom.dataset import FileDataset

from core.findings import Conclusion, FrameReference, Outcome, Polygon, Reading
from core.model import InstanceKey
from results import wording
from results.provenance import StudySources
from results.sc import MIN_COLUMNS, captured_frames, encode_sc
from results.settings import ResultsSettings
from tests.results.readings import (
    FRAME,
    KEY,
    READINGS,
    context,
    finding,
    frame_pixels,
    multi_frame_image,
    read_back,
    reading,
    source,
    sources,
)
from tests.support.builders import endoscopic_image

FOUND = READINGS[Conclusion.FINDINGS]


def capture(
    one: Reading = FOUND, image: FileDataset | None = None, *, has_pixels: bool = True
) -> FileDataset:
    pixels = {FRAME: frame_pixels()} if has_pixels else {}
    (made,) = encode_sc(one, sources(image), context(), pixels)
    return read_back(made.part10)


def test_each_frame_with_findings_is_captured_best_first() -> None:
    frames = [FrameReference(KEY, number) for number in (1, 2, 3)]
    one = reading(
        finding(0.3, frame=frames[0]),
        finding(0.9, frame=frames[2]),
        finding(0.5, frame=frames[1]),
        finding(0.4, frame=frames[0]),
    )
    study = sources(multi_frame_image(3))
    assert captured_frames(one, study, ResultsSettings()) == (frames[2], frames[1], frames[0])
    assert captured_frames(one, study, ResultsSettings(captures_max=1)) == (frames[2],)


def test_without_findings_one_picture_stands_for_the_study() -> None:
    image = endoscopic_image()
    failed, seen = InstanceKey("failed"), source(image)
    study = StudySources((source(endoscopic_image(), failed), seen))
    assert captured_frames(reading(), study, ResultsSettings()) == (FRAME,)


def test_nothing_is_captured_where_there_is_no_image() -> None:
    study = sources(endoscopic_image(attributes={"Rows": None}))
    assert captured_frames(reading(), study, ResultsSettings()) == ()


@pytest.mark.parametrize(
    "settings",
    [ResultsSettings(kinds=("SR",)), ResultsSettings(captures_for=(Conclusion.FINDINGS,))],
)
def test_captures_that_nobody_wants_are_not_made(settings: ResultsSettings) -> None:
    assert captured_frames(reading(), sources(), settings) == ()


def test_a_capture_refers_to_its_source() -> None:
    """A11."""
    image = endoscopic_image()
    (item,) = capture(image=image).SourceImageSequence
    assert item.ReferencedSOPInstanceUID == image.SOPInstanceUID
    assert "ReferencedFrameNumber" not in item


def test_a_capture_of_one_frame_of_several_names_it() -> None:
    frame = FrameReference(KEY, 2)
    study = sources(multi_frame_image(3))
    (made,) = encode_sc(reading(finding(frame=frame)), study, context(), {})
    assert read_back(made.part10).SourceImageSequence[0].ReferencedFrameNumber == 2


def test_a_capture_is_of_the_study_in_a_series_of_its_own() -> None:
    image = endoscopic_image()
    made = capture(image=image)
    assert made.StudyInstanceUID == image.StudyInstanceUID
    assert made.SeriesInstanceUID != image.SeriesInstanceUID
    assert (made.SeriesNumber, made.InstanceNumber) == (9002, 1)


def test_the_picture_holds_the_frame_at_its_place() -> None:
    made = capture(reading())
    assert np.array_equal(made.pixel_array[:32, :32], frame_pixels())


def test_an_outline_is_shown_by_the_box_around_it() -> None:
    outline = Polygon(((100, 60), (300, 80), (200, 200)))
    pixels = {FRAME: np.zeros((300, 500, 3), np.uint8)}
    (made,) = encode_sc(reading(finding(region=outline)), sources(), context(), pixels)
    picture = read_back(made.part10).pixel_array
    assert picture[199, 200].any()
    assert picture[130, 100].any()
    assert not picture[130, 200].any()


def test_a_narrow_picture_is_padded_so_that_its_text_can_be_read() -> None:
    (made,) = encode_sc(reading(), sources(), context(), {FRAME: frame_pixels(16, 16)})
    picture = read_back(made.part10)
    assert picture.Columns == MIN_COLUMNS
    assert np.array_equal(picture.pixel_array[:16, :16], frame_pixels(16, 16))


def test_without_pixels_the_capture_is_a_card() -> None:
    made = capture(READINGS[Conclusion.COULD_NOT_PROCESS], has_pixels=False)
    assert made.DerivationDescription.startswith(wording.DISCLAIMER)
    assert "no pixels are shown" in made.DerivationDescription
    assert made.pixel_array.max() == 255


@pytest.mark.parametrize(("said", "written"), [("YES", "YES"), ("NO", "NO"), (None, None)])
def test_burned_in_annotation_is_what_is_known_of_the_source(
    said: str | None, written: str | None
) -> None:
    image = endoscopic_image(attributes={"BurnedInAnnotation": said} if said else {})
    assert capture(image=image).get("BurnedInAnnotation") == written


def test_a_card_has_nothing_of_the_source_burned_in() -> None:
    image = endoscopic_image(attributes={"BurnedInAnnotation": "YES"})
    assert capture(image=image, has_pixels=False).BurnedInAnnotation == "NO"


def test_loss_in_the_source_is_loss_in_the_capture() -> None:
    """PS3.3 C.7.6.1.1.5."""
    lossy = endoscopic_image(
        attributes={"LossyImageCompression": "01", "LossyImageCompressionRatio": 12.5}
    )
    made = capture(image=lossy)
    assert (made.LossyImageCompression, made.LossyImageCompressionRatio) == ("01", 12.5)
    assert "LossyImageCompression" not in capture()


@pytest.mark.parametrize("conclusion", Conclusion)
def test_every_capture_says_that_it_is_not_for_diagnosis(conclusion: Conclusion) -> None:
    made = capture(READINGS[conclusion])
    assert made.SeriesDescription.endswith(wording.DISCLAIMER)
    assert made.ImageComments.startswith(wording.DISCLAIMER)
    assert wording.conclusion(READINGS[conclusion]) in made.ImageComments


def test_the_reason_of_a_failure_is_told_but_not_drawn() -> None:
    """R5: what is drawn is from a fixed vocabulary; a reason is free text."""
    short = reading(outcome=Outcome.COULD_NOT_PROCESS, reason="a")
    long = reading(outcome=Outcome.COULD_NOT_PROCESS, reason="a much longer reason " * 9)
    first, second = capture(short), capture(long)
    assert np.array_equal(first.pixel_array, second.pixel_array)
    assert first.ImageComments != second.ImageComments


@pytest.mark.parametrize("size", [(31, 33), (33, 481), (64, 600)])
def test_odd_sizes_are_whole(size: tuple[int, int]) -> None:
    (made,) = encode_sc(reading(), sources(), context(), {FRAME: frame_pixels(*size)})
    picture = read_back(made.part10)
    assert picture.pixel_array.shape == (picture.Rows, picture.Columns, 3)
