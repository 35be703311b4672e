"""Annotated frames on disk: read them, refuse what is no data set, lay them out for ultralytics.

    DIR/images/N.jpg, DIR/masks/N.jpg     grey masks, white where the finding is
    DIR/images/N.jpg, DIR/labels/N.txt    or YOLO labels: class, then box or polygon, in 0 to 1

For training DIR holds two of these, `train/` and `validation/`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from core.errors import InputError
from core.findings import Box
from inference.training.components import Component, components

SPLITS = ("train", "validation")
MASK_THRESHOLD = 127
MIN_COMPONENT_PX = 50
"""Smaller specks of a JPEG mask are compression noise."""

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})


class DatasetError(InputError):
    """A folder does not hold annotated frames in the layout that we read."""


@dataclass(frozen=True)
class AnnotatedFrame:
    """One picture and the file that says what is on it."""

    picture: Path
    annotation: Path
    """A mask (a picture) or YOLO labels (`.txt`; a file that is not there says "nothing on it")."""


def annotated_frames(folder: Path) -> list[AnnotatedFrame]:
    """Pair the pictures of `folder` with their annotations, by name.

    Raises
    ------
    DatasetError
        If a folder is missing, or no picture has an annotation of its name.
    """
    images = folder / "images"
    beside = (folder / name for name in ("masks", "labels"))
    annotations = next((path for path in beside if path.is_dir()), None)
    if not images.is_dir() or annotations is None:
        raise DatasetError(
            f"{folder} has no images/ with masks/ or labels/ beside it",
            remedy="Put the frames in images/, and masks/N.jpg or labels/N.txt under the same name",
        )
    found = {path.stem: path for path in annotations.iterdir() if not path.name.startswith(".")}
    pictures = [path for path in images.iterdir() if path.suffix.lower() in PICTURES]
    if not any(picture.stem in found for picture in pictures):
        raise DatasetError(f"no picture in {images} has an annotation in {annotations.name}/")
    frames = [
        AnnotatedFrame(picture, found.get(picture.stem, annotations / f"{picture.stem}.txt"))
        for picture in sorted(pictures, key=lambda path: (len(path.stem), path.stem))
    ]
    if annotations.name == "labels":
        return frames
    return [frame for frame in frames if frame.picture.stem in found]


def boxes_of(frame: AnnotatedFrame, columns: int, rows: int) -> list[tuple[int, Box]]:
    """Return class and box of everything annotated on `frame`, in pixels of a picture that size."""
    if frame.annotation.suffix != ".txt":
        found = mask_components(frame.annotation, columns, rows)
        return [(0, component.box) for component in found]
    return [
        (label, _box(points * (columns, rows))) for label, points in _yolo_labels(frame.annotation)
    ]


def mask_components(path: Path, columns: int, rows: int) -> list[Component]:
    """Return the areas of a mask, specks left out.

    Raises
    ------
    DatasetError
        If the mask cannot be read or does not have the size of its picture.
    """
    try:
        with Image.open(path) as picture:
            values = np.asarray(picture.convert("L"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"the mask {path} cannot be read as a picture") from error
    if values.shape != (rows, columns):
        raise DatasetError(f"the mask {path} is not of its picture's size {columns}x{rows}")
    found = components(values > MASK_THRESHOLD)
    return [component for component in found if component.area_px >= MIN_COMPONENT_PX]


def picture_size(path: Path) -> tuple[int, int]:
    """Return columns and rows of a picture."""
    try:
        with Image.open(path) as picture:
            return picture.size
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as a picture") from error


def prepare(data: Path, out: Path, labels: tuple[str, ...]) -> Path:
    """Lay `data` out under `out` as ultralytics reads it; return its description file.

    Pictures are linked, annotations are written as polygons. Running it again changes nothing.

    Raises
    ------
    DatasetError
        If `data` does not hold annotated frames for training and for validation.
    """
    splits = {split: annotated_frames(data / split) for split in SPLITS}
    for split, frames in splits.items():
        images, texts = out / "dataset" / split / "images", out / "dataset" / split / "labels"
        images.mkdir(parents=True, exist_ok=True)
        texts.mkdir(parents=True, exist_ok=True)
        for frame in frames:
            link = images / frame.picture.name
            if not link.exists():
                link.symlink_to(frame.picture.resolve())
            lines = list(_polygon_lines(frame, len(labels)))
            (texts / f"{frame.picture.stem}.txt").write_text("".join(lines), encoding="ascii")
    description = out / "dataset.yaml"
    content = {
        "path": str((out / "dataset").resolve()),
        "train": "train/images",
        "val": "validation/images",
        "names": dict(enumerate(labels)),
    }
    description.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return description


def _polygon_lines(frame: AnnotatedFrame, classes: int) -> Iterator[str]:
    if frame.annotation.suffix == ".txt":
        for label, points in _yolo_labels(frame.annotation):
            if label >= classes:
                raise DatasetError(f"{frame.annotation} has class {label}, but {classes} are named")
            yield _line(label, points)
        return
    size = picture_size(frame.picture)
    for component in mask_components(frame.annotation, *size):
        yield _line(0, component.outline() / size)


def _line(label: int, points: NDArray[np.float64]) -> str:
    return f"{label} {' '.join(f'{value:.6f}' for value in points.ravel())}\n"


def _yolo_labels(path: Path) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Read a label file; a box becomes the polygon of its corners."""
    if not path.exists():
        return
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.strip():
                label, *numbers = line.split()
                yield int(label), _corners(np.array([float(number) for number in numbers]))
    except ValueError as error:
        raise DatasetError(
            f"{path} is no YOLO label file",
            remedy="Each line is a class number and 4 numbers of a box, or 6 and more of a polygon",
        ) from error


def _corners(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    if numbers.size == 4:
        centre, half = numbers[:2], numbers[2:] / 2
        numbers = np.concatenate([centre - half, centre + half])[[0, 1, 2, 1, 2, 3, 0, 3]]
    points = numbers.reshape(-1, 2)
    if len(points) < 3 or not ((points > -1e-6) & (points < 1 + 1e-6)).all():
        raise ValueError
    return points.clip(0, 1)


def _box(points: NDArray[np.float64]) -> Box:
    low, high = points.min(0), points.max(0)
    return Box(float(low[0]), float(low[1]), float(high[0]), float(high[1]))
