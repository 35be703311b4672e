"""Weights are checked against their card when they are loaded."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.codes import LESION
from core.findings import Box
from inference.errors import ModelFailedError, ModelPackageError
from inference.model import load_model
from inference.package import InputContract, Label, OutputContract, write_package
from inference.preprocessing import model_input
from tests.support.detector import bright_cells_package, picture_with_cells


def test_a_model_finds_what_is_there(tmp_path: Path) -> None:
    model = load_model(bright_cells_package(tmp_path / "cells"), threads=1)
    found = model.detect(picture_with_cells((2, 3), (5, 0)))
    assert [one.box for one in found] == [Box(40, 0, 48, 8), Box(16, 24, 24, 32)]
    model.close()


def test_boxes_are_in_pixels_of_the_picture_as_it_was_sent(tmp_path: Path) -> None:
    model = load_model(bright_cells_package(tmp_path / "cells"), threads=1)
    large = picture_with_cells((2, 3)).repeat(4, axis=0).repeat(4, axis=1)
    (found,) = model.detect(large, threshold=0.9)
    assert found.box == Box(64, 96, 96, 128)
    model.close()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"input": InputContract(width=32, height=64)},
            r"takes .*64, 64.*says float \[1, 3, 64, 32",
        ),
        ({"input": InputContract(width=64, height=64, channels=1)}, r"says float \[1, 1, 64"),
        (
            {"input": InputContract(width=64, height=64, layout="NHWC")},
            r"says float \[1, 64, 64, 3",
        ),
        ({"output": OutputContract(head="yolo_end_to_end")}, r"answers \[1, 5, 64\].*\[1, n, 6\]"),
        (
            {"labels": tuple(Label(name=name, concept=LESION) for name in "ab")},
            r"2 labels .* mean \[1, 6, n\]",
        ),
    ],
)
def test_weights_that_do_not_fit_their_card_are_refused(
    tmp_path: Path, change: dict[str, Any], text: str
) -> None:
    with pytest.raises(ModelPackageError, match=text):
        load_model(bright_cells_package(tmp_path / "cells", **change), threads=1)


def test_weights_that_are_no_network_are_refused(tmp_path: Path) -> None:
    package = bright_cells_package(tmp_path / "cells")
    package.weights.write_bytes(b"nothing")
    package = write_package(package.folder, package.card, package.weights)
    with pytest.raises(ModelPackageError, match=r"cells\.onnx is no ONNX network"):
        load_model(package, threads=1)


def test_weights_that_changed_since_they_were_checked_are_refused(tmp_path: Path) -> None:
    package = bright_cells_package(tmp_path / "cells")
    package.weights.write_bytes(b"nothing")
    with pytest.raises(ModelPackageError, match=r"cells\.onnx are not those of"):
        load_model(package, threads=1)


def test_numbers_that_are_none_are_a_failure(tmp_path: Path) -> None:
    infinite = InputContract(width=64, height=64, scale=1e36)
    model = load_model(bright_cells_package(tmp_path / "cells", input=infinite), threads=1)
    with pytest.raises(ModelFailedError, match="numbers that are none"):
        model.detect(picture_with_cells((0, 0)))
    model.close()


def test_the_tensor_is_what_the_network_takes() -> None:
    tensor, _ = model_input(np.zeros((10, 20), np.uint8), InputContract(width=64, height=64))
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
