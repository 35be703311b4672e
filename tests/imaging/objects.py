"""Objects with pixels, as bytes."""

import io

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from tests.support.builders import ct_image, endoscopic_image


def part10(dataset: FileDataset) -> bytes:
    """Return the object as a Part 10 file."""
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def gradient(rows: int = 24, columns: int = 40) -> NDArray[np.uint8]:
    """Return RGB pixels that differ everywhere."""
    across, down = np.meshgrid(np.arange(columns), np.arange(rows))
    return np.stack([across * 5, down * 9, across + down], axis=-1).astype(np.uint8)


def colour_object() -> bytes:
    """Return one endoscopic frame."""
    return part10(endoscopic_image(gradient()))


def multiframe_object(frames: int, side: int = 16) -> bytes:
    """Return an object whose frame n is filled with n modulo 256."""
    dataset = endoscopic_image(np.zeros((side, side, 3), np.uint8))
    dataset.NumberOfFrames = frames
    dataset.PixelData = b"".join(bytes([n % 256]) * side * side * 3 for n in range(1, frames + 1))
    return part10(dataset)


def hungry_object() -> bytes:
    """Return 65,535 x 65,535 pixels, run-length encoded in a few bytes (CVE-2026-5442's kind)."""
    dataset = ct_image()
    dataset.Rows = dataset.Columns = 65535
    dataset.file_meta.TransferSyntaxUID = RLELossless
    header = (2).to_bytes(4, "little") + (64).to_bytes(4, "little") + (66).to_bytes(4, "little")
    dataset.PixelData = encapsulate([header.ljust(64, b"\0") + b"\x81\x00\x81\x00"])
    dataset["PixelData"].VR = "OB"
    return part10(dataset)


def grey_parameters(**elements: object) -> Dataset:
    """Return an 8-bit MONOCHROME2 data set without pixels; `elements` by keyword."""
    dataset = ct_image(np.zeros((2, 2), np.int16))
    for keyword in ("RescaleIntercept", "RescaleSlope", "RescaleType", "PixelData"):
        delattr(dataset, keyword)
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset
