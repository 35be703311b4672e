import numpy as np
import pytest

from service.demo_frame import SIDE_PX, draw_frame


@pytest.mark.parametrize("seed", range(5))
def test_a_drawn_frame_says_where_its_polyp_is(seed: int) -> None:
    picture, (box,) = draw_frame(seed)
    assert picture.shape == (SIDE_PX, SIDE_PX, 3)
    assert 0 < box.x1 < box.x2 < SIDE_PX
    assert 0 < box.y1 < box.y2 < SIDE_PX
    assert 30 < box.x2 - box.x1 < 180


def test_the_same_seed_draws_the_same_frame() -> None:
    (first, boxes), (second, same) = draw_frame(7), draw_frame(7)
    assert np.array_equal(first, second)
    assert boxes == same
    assert not np.array_equal(first, draw_frame(8)[0])
