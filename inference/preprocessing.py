"""Display values to model input, and boxes back to source pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.package import InputContract
from inference.ports import Tensor


@dataclass(frozen=True)
class Geometry:
    """Where a picture lies in the model's input; exact in both directions."""

    columns: int
    """Of the picture."""
    rows: int
    left: int
    """Of the picture's first column in the input."""
    top: int
    width: int
    """Of the picture in the input."""
    height: int

    @classmethod
    def fit(cls, columns: int, rows: int, contract: InputContract) -> "Geometry":
        """Return how a picture of this size is laid into the input.

        Letterboxing rounds as ultralytics does, so that a model sees what it was trained on.
        """
        if contract.resize == "stretch":
            return cls(columns, rows, 0, 0, contract.width, contract.height)
        ratio = min(contract.width / columns, contract.height / rows)
        if not contract.enlarge:
            ratio = min(ratio, 1.0)
        width = min(contract.width, max(1, round(columns * ratio)))
        height = min(contract.height, max(1, round(rows * ratio)))
        left = max(0, round((contract.width - width) / 2 - 0.1))
        top = max(0, round((contract.height - height) / 2 - 0.1))
        return cls(columns, rows, left, top, width, height)

    def to_source(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return boxes in pixels of the picture, cut at its edges.

        Parameters
        ----------
        boxes : (n, 4) x1, y1, x2, y2 in pixels of the input
        """
        across, down = self.columns / self.width, self.rows / self.height
        scale = np.array([across, down, across, down])
        offset = np.array([self.left, self.top, self.left, self.top])
        limit = np.array([self.columns, self.rows, self.columns, self.rows])
        return np.asarray(np.clip((boxes - offset) * scale, 0, limit))

    def to_input(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return boxes in pixels of the input; the inverse of `to_source` but for the cut."""
        across, down = self.width / self.columns, self.height / self.rows
        scale = np.array([across, down, across, down])
        return np.asarray(boxes * scale + np.array([self.left, self.top, self.left, self.top]))


def model_input(pixels: NDArray[np.uint8], contract: InputContract) -> tuple[Tensor, Geometry]:
    """Return a batch of one picture in the layout of the contract, and where the picture is in it.

    Parameters
    ----------
    pixels : (rows, columns) grey or (rows, columns, 3) RGB
    """
    rows, columns = pixels.shape[:2]
    geometry = Geometry.fit(columns, rows, contract)
    picture = _resized(_in_channels(pixels, contract.channels), geometry, contract)
    canvas = np.full((contract.height, contract.width, contract.channels), contract.pad, np.uint8)
    canvas[
        geometry.top : geometry.top + geometry.height,
        geometry.left : geometry.left + geometry.width,
    ] = picture
    values = canvas.astype(np.float32) * np.float32(contract.scale)
    if contract.mean:
        values -= np.asarray(contract.mean, np.float32)
    if contract.std:
        values /= np.asarray(contract.std, np.float32)
    if contract.layout == "NCHW":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[None]), geometry


def _in_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Return (rows, columns, channels)."""
    if channels == 3:
        return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
    if pixels.ndim == 3:
        pixels = np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))
    return pixels[:, :, None]


def _resized(
    pixels: NDArray[np.uint8], geometry: Geometry, contract: InputContract
) -> NDArray[np.uint8]:
    size = (geometry.width, geometry.height)
    if size == (geometry.columns, geometry.rows):
        return pixels
    flat = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    picture = Image.fromarray(np.ascontiguousarray(flat))
    if contract.resample == "antialias":
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    else:
        # Unlike `resize`, an affine transform looks at four neighbours only, as OpenCV does.
        steps = (geometry.columns / size[0], 0, 0, 0, geometry.rows / size[1], 0)
        picture = picture.transform(size, Image.Transform.AFFINE, steps, Image.Resampling.BILINEAR)
    resized = np.asarray(picture)
    return resized[:, :, None] if resized.ndim == 2 else resized
