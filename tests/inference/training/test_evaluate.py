from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import InputError
from inference.training.evaluate import evaluate

pytest.importorskip("onnx", reason="the detector for tests is built with onnx")

from tests.support.detector import CELL, SIDE, bright_cells_package, picture_with_cells


def write_frame(
    folder: Path, name: str, *, white: list[tuple[int, int]], marked: list[tuple[int, int]]
) -> None:
    for kind, cells in (("images", white), ("masks", marked)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture_with_cells(*cells)).save(folder / kind / f"{name}.png")


def test_a_detector_that_finds_everything_and_nothing_else_has_map_one(tmp_path: Path) -> None:
    write_frame(tmp_path / "data", "1", white=[(1, 1), (5, 3)], marked=[(1, 1), (5, 3)])
    write_frame(tmp_path / "data", "2", white=[(7, 7)], marked=[(7, 7)])
    progress: list[tuple[int, int]] = []
    found = evaluate(
        bright_cells_package(tmp_path / "bright"),
        tmp_path / "data",
        lambda done, of: progress.append((done, of)),
    )
    assert [found.map50, found.map50_95] == pytest.approx([1.0, 1.0])
    assert (found.frames, found.objects, found.false_positives_per_frame) == (2, 3, 0.0)
    assert progress == [(1, 2), (2, 2)]


def test_what_is_missed_and_what_is_invented_lower_the_figures(tmp_path: Path) -> None:
    """One of two marked cells is found, and one cell is white that is not marked."""
    write_frame(tmp_path / "data", "1", white=[(1, 1), (5, 5)], marked=[(1, 1), (3, 3)])
    found = evaluate(bright_cells_package(tmp_path / "bright"), tmp_path / "data")
    assert found.sensitivity == 0.5
    assert found.false_positives_per_frame == 1.0
    assert found.map50 <= 51 / 101


def test_boxes_are_compared_in_pixels_of_the_frame_not_of_the_input(tmp_path: Path) -> None:
    """A frame three times as large as the model's input."""
    for kind in ("images", "masks"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        large = np.kron(picture_with_cells((2, 5)), np.ones((3, 3, 1), np.uint8))
        Image.fromarray(large).save(tmp_path / "data" / kind / "1.png")
    found = evaluate(bright_cells_package(tmp_path / "bright"), tmp_path / "data")
    assert found.map50_95 == pytest.approx(1.0)


def test_a_class_the_model_does_not_know_is_refused(tmp_path: Path) -> None:
    write_frame(tmp_path / "data", "1", white=[(1, 1)], marked=[])
    (tmp_path / "data" / "masks" / "1.png").unlink()
    (tmp_path / "data" / "masks").rmdir()
    (tmp_path / "data" / "labels").mkdir()
    share = CELL / SIDE
    (tmp_path / "data/labels/1.txt").write_text(f"4 {share} {share} {share} {share}\n")
    with pytest.raises(InputError, match="has a class that bright does not know"):
        evaluate(bright_cells_package(tmp_path / "bright"), tmp_path / "data")
