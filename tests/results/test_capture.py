import numpy as np
import pytest

from core.findings import Box, Polygon, Region
from results.capture import MIN_COLUMNS, Mark, draw_capture
from tests.results.readings import frame_pixels

INK = [255, 255, 0]


def test_the_frame_keeps_its_place_and_its_pixels() -> None:
    frame = frame_pixels(40, 600)
    picture = draw_capture(frame, [], ["AI result"])
    assert np.array_equal(picture[:40, :600], frame)
    assert picture.shape[0] > 40


def test_a_narrow_frame_is_padded_so_that_its_caption_can_be_read() -> None:
    assert draw_capture(frame_pixels(16, 16), [], ["AI result"]).shape[1] == MIN_COLUMNS


@pytest.mark.parametrize(
    "region", [Box(100, 60, 200, 120), Polygon(((100, 60), (199, 60), (199, 119), (100, 119)))]
)
def test_a_region_is_drawn_where_it_was_found(region: Region) -> None:
    frame = np.zeros((300, 500, 3), np.uint8)
    picture = draw_capture(frame, [Mark(region, "polyp 0.91")], [])
    for row, column in ((60, 150), (119, 150), (90, 100), (90, 199)):
        assert picture[row, column].tolist() == INK
    assert picture[90, 150].tolist() == [0, 0, 0]


@pytest.mark.parametrize("box", [Box(0, 0, 500, 300), Box(490, 0, 500, 5), Box(0, 290, 3, 300)])
def test_a_region_at_the_border_is_drawn(box: Box) -> None:
    picture = draw_capture(np.zeros((300, 500, 3), np.uint8), [Mark(box, "polyp 0.91")], ["x"])
    assert (picture[:300] == INK).all(axis=2).any()


def test_a_long_caption_is_broken_into_lines_and_not_cut() -> None:
    one = draw_capture(None, [], ["word"]).shape[0]
    many = draw_capture(None, [], ["word " * 60]).shape[0]
    assert many > 3 * one / 2


def test_a_frame_that_cannot_be_written_to_is_left_alone() -> None:
    frame = frame_pixels()
    frame.setflags(write=False)
    draw_capture(frame, [Mark(Box(1, 1, 9, 9), "polyp")], ["x"])
