import numpy as np
import pytest

from core.findings import Box
from inference.model import load_model
from inference.package import load_package
from inference.registry import SHIPPED
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


def test_the_shipped_model_which_never_saw_a_drawing_finds_the_drawn_polyp() -> None:
    model = load_model(load_package(SHIPPED / "polyp"), threads=1)
    for seed in range(10):
        picture, (drawn,) = draw_frame(seed)
        best = model.detect(picture)[0]
        assert overlap(best.box, drawn) > 0.5
    model.close()


def overlap(one: Box, other: Box) -> float:
    width = min(one.x2, other.x2) - max(one.x1, other.x1)
    height = min(one.y2, other.y2) - max(one.y1, other.y1)
    shared = max(width, 0) * max(height, 0)
    areas = [(box.x2 - box.x1) * (box.y2 - box.y1) for box in (one, other)]
    return shared / (sum(areas) - shared)
