from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from core.findings import Box
from inference.training.dataset import (
    AnnotatedFrame,
    DatasetError,
    annotated_frames,
    boxes_of,
    prepare,
)


def write_frame(folder: Path, name: str = "1", *, white: tuple[slice, slice] | None = None) -> None:
    mask = np.zeros((40, 60), dtype=np.uint8)
    if white is not None:
        mask[white] = 255
    for kind, pixels in (("images", np.zeros((40, 60, 3), np.uint8)), ("masks", mask)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / kind / f"{name}.png")


def write_label(folder: Path, text: str) -> AnnotatedFrame:
    (folder / "labels").mkdir(parents=True)
    label = folder / "labels" / "1.txt"
    label.write_text(text)
    return AnnotatedFrame(folder / "images" / "1.png", label)


def test_a_mask_gives_the_box_of_each_area_and_specks_none(tmp_path: Path) -> None:
    write_frame(tmp_path, white=(slice(10, 20), slice(30, 50)))
    write_frame(tmp_path, "2", white=(slice(0, 7), slice(0, 7)))  # 49 pixels
    first, second = annotated_frames(tmp_path)
    assert boxes_of(first, 60, 40) == [(0, Box(30, 10, 50, 20))]
    assert boxes_of(second, 60, 40) == []


def test_frames_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("10", "9", "100"):
        write_frame(tmp_path, name)
    assert [frame.picture.stem for frame in annotated_frames(tmp_path)] == ["9", "10", "100"]


def test_yolo_boxes_and_polygons_are_read(tmp_path: Path) -> None:
    frame = write_label(tmp_path, "0 0.5 0.5 0.5 0.5\n1 0 0 0.5 0 0.5 0.25\n")
    assert boxes_of(frame, 60, 40) == [(0, Box(15, 10, 45, 30)), (1, Box(0, 0, 30, 10))]


@pytest.mark.parametrize("text", ["0 0.5 0.5", "polyp 0 0 1 1", "0 5 5 20 20", "0 nan 0 1 1"])
def test_a_label_file_of_another_kind_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(DatasetError, match=r"1\.txt is no YOLO label file"):
        boxes_of(write_label(tmp_path, text), 60, 40)


def test_with_yolo_labels_a_picture_without_a_file_is_background(tmp_path: Path) -> None:
    write_frame(tmp_path, "1")
    write_frame(tmp_path, "2")
    write_label(tmp_path, "0 0.5 0.5 0.5 0.5")
    for mask in (tmp_path / "masks").iterdir():
        mask.unlink()
    (tmp_path / "masks").rmdir()
    assert [len(boxes_of(frame, 60, 40)) for frame in annotated_frames(tmp_path)] == [1, 0]


def test_folders_without_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no images/ with masks/ or labels/"):
        annotated_frames(tmp_path)
    write_frame(tmp_path)
    (tmp_path / "masks" / "1.png").rename(tmp_path / "masks" / "other.png")
    with pytest.raises(DatasetError, match="no picture in"):
        annotated_frames(tmp_path)


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    write_frame(tmp_path)
    with pytest.raises(DatasetError, match="not of its picture's size 50x50"):
        boxes_of(annotated_frames(tmp_path)[0], 50, 50)


def test_prepared_labels_hold_the_outline_in_shares_of_the_picture(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        write_frame(tmp_path / "in" / split, white=(slice(10, 20), slice(30, 60)))
    description = prepare(tmp_path / "in", tmp_path / "out", ("polyp",))
    label, *numbers = (tmp_path / "out/dataset/train/labels/1.txt").read_text().split()
    points = np.array(numbers, dtype=float).reshape(-1, 2)
    assert label == "0"
    assert points.min(0).tolist() == [0.5, 0.25]
    assert points.max(0).tolist() == [1.0, 0.5]
    assert yaml.safe_load(description.read_text())["names"] == {0: "polyp"}


def test_preparing_twice_changes_nothing(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        write_frame(tmp_path / "in" / split, white=(slice(10, 20), slice(30, 60)))
    for _ in range(2):
        prepare(tmp_path / "in", tmp_path / "out", ("polyp",))
    assert (tmp_path / "out/dataset/train/images/1.png").resolve().parent.parent.name == "train"


def test_a_class_without_a_name_is_refused(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        write_frame(tmp_path / "in" / split)
        write_label(tmp_path / "in" / split, "3 0.5 0.5 0.5 0.5")
        (tmp_path / "in" / split / "masks" / "1.png").unlink()
        (tmp_path / "in" / split / "masks").rmdir()
    with pytest.raises(DatasetError, match="has class 3, but 1 are named"):
        prepare(tmp_path / "in", tmp_path / "out", ("polyp",))
