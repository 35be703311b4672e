import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.findings import Box
from inference.training.components import components

MASKS = arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def test_pixels_that_touch_at_a_corner_belong_together() -> None:
    assert len(components(np.eye(5, dtype=np.bool_))) == 1


def test_a_u_shape_is_one_component() -> None:
    mask = np.ones((4, 5), dtype=np.bool_)
    mask[:3, 1:4] = False
    assert [found.area_px for found in components(mask)] == [11]


def test_a_box_ends_after_its_last_pixel() -> None:
    mask = np.zeros((8, 9), dtype=np.bool_)
    mask[2:5, 3:7] = True
    assert components(mask)[0].box == Box(3, 2, 7, 5)


def test_an_outline_of_a_rectangle_has_its_extent() -> None:
    mask = np.zeros((8, 9), dtype=np.bool_)
    mask[2:5, 3:7] = True
    outline = components(mask)[0].outline()
    assert (outline.min(0).tolist(), outline.max(0).tolist()) == ([3, 2], [7, 5])


@given(MASKS)
def test_components_share_out_every_pixel_once(
    mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]],
) -> None:
    painted = np.zeros(mask.shape, dtype=int)
    for found in components(mask):
        for row, start, stop in zip(found.rows, found.starts, found.stops, strict=True):
            painted[row, start:stop] += 1
    assert (painted == mask).all()


@given(MASKS)
def test_no_two_components_touch(mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> None:
    labels = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), dtype=int)
    for number, found in enumerate(components(mask), 1):
        for row, start, stop in zip(found.rows, found.starts, found.stops, strict=True):
            labels[row + 1, start + 1 : stop + 1] = number
    for row, column in np.argwhere(labels):
        around = labels[row - 1 : row + 2, column - 1 : column + 2]
        assert set(around.ravel()) <= {0, labels[row, column]}
