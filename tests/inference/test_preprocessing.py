"""Display values to model input, and boxes back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.package import InputContract
from inference.preprocessing import Geometry, model_input

SIZES = st.integers(1, 3000)


@given(SIZES, SIZES, st.sampled_from(["letterbox", "stretch"]), st.data())
def test_boxes_come_back_to_where_they_were(
    columns: int, rows: int, resize: str, data: st.DataObject
) -> None:
    contract = InputContract.model_validate({"width": 352, "height": 256, "resize": resize})
    geometry = Geometry.fit(columns, rows, contract)
    across = sorted(data.draw(st.floats(0, columns)) for _ in range(2))
    down = sorted(data.draw(st.floats(0, rows)) for _ in range(2))
    box = np.array([[across[0], down[0], across[1], down[1]]])
    assert np.allclose(geometry.to_source(geometry.to_input(box)), box, atol=1e-6)


@given(SIZES, SIZES)
def test_a_letterboxed_picture_lies_inside_the_input(columns: int, rows: int) -> None:
    geometry = Geometry.fit(columns, rows, InputContract(width=640, height=480))
    assert 0 <= geometry.left <= geometry.left + geometry.width <= 640
    assert 0 <= geometry.top <= geometry.top + geometry.height <= 480
    assert geometry.width == 640 or geometry.height == 480


def test_boxes_are_cut_at_the_edges_of_the_picture() -> None:
    geometry = Geometry.fit(100, 50, InputContract(width=100, height=100))
    assert geometry.to_source(np.array([[-5.0, 0, 120, 100]])).tolist() == [[0, 0, 100, 50]]


def test_a_picture_of_the_input_size_is_passed_as_it_is() -> None:
    pixels = np.arange(64 * 64 * 3, dtype=np.uint32).reshape(64, 64, 3).astype(np.uint8)
    tensor, _ = model_input(pixels, InputContract(width=64, height=64, scale=1))
    assert tensor.shape == (1, 3, 64, 64)
    assert np.array_equal(tensor[0].transpose(1, 2, 0), pixels)


def test_padding_is_grey_and_even() -> None:
    white = np.full((32, 64), 255, np.uint8)
    tensor, geometry = model_input(white, InputContract(width=64, height=64, scale=1))
    assert (geometry.left, geometry.top, geometry.width, geometry.height) == (0, 16, 64, 32)
    assert set(np.unique(tensor[0, :, :16])) == {114}
    assert set(np.unique(tensor[0, :, 16:48])) == {255}
    assert set(np.unique(tensor[0, :, 48:])) == {114}


def test_channels_are_normalised_as_the_card_says() -> None:
    contract = InputContract(
        width=2, height=2, scale=1 / 255, mean=(0.5, 0, 0), std=(0.5, 1, 2), layout="NHWC"
    )
    tensor, _ = model_input(np.full((2, 2, 3), 255, np.uint8), contract)
    assert tensor[0, 0, 0].tolist() == pytest.approx([1, 1, 0.5])


def test_a_model_of_one_channel_sees_grey() -> None:
    contract = InputContract(width=4, height=4, channels=1, scale=1)
    red = np.zeros((4, 4, 3), np.uint8)
    red[:, :, 0] = 255
    tensor, _ = model_input(red, contract)
    assert tensor.shape == (1, 1, 4, 4)
    assert tensor[0, 0, 0, 0] == 76  # 0.299 of 255


@pytest.mark.parametrize("side", [176, 352, 500, 1000])
def test_resizing_is_that_of_opencv_within_one_grey_level(side: int) -> None:
    """Models of ultralytics learn from pictures that OpenCV made smaller."""
    cv2 = pytest.importorskip("cv2", reason="opencv comes with the extra torch")
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8)
    tensor, _ = model_input(pixels, InputContract(width=352, height=352, scale=1))
    expected = cv2.resize(pixels, (352, 352), interpolation=cv2.INTER_LINEAR)
    difference = tensor[0].transpose(1, 2, 0) - expected.astype(np.float32)
    assert np.abs(difference).max() <= 1
