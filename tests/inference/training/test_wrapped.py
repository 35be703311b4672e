from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from inference.training.dataset import DatasetError
from inference.training.wrapped import wrapped

PIXELS = np.random.default_rng(0).integers(0, 256, (15, 21, 3), dtype=np.uint8)


def test_a_png_is_wrapped_with_its_very_pixels(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "frame.png")
    dataset = dcmread(BytesIO(wrapped(tmp_path / "frame.png")))
    assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert np.array_equal(dataset.pixel_array, PIXELS)


def test_a_baseline_jpeg_is_wrapped_as_it_is(tmp_path: Path) -> None:
    picture = tmp_path / "frame.jpg"
    Image.fromarray(PIXELS).save(picture)
    dataset = dcmread(BytesIO(wrapped(picture)))
    assert dataset.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    assert frame.rstrip(b"\0") == picture.read_bytes().rstrip(b"\0")


def test_a_progressive_jpeg_is_unpacked_for_it_has_no_place_in_dicom(tmp_path: Path) -> None:
    picture = tmp_path / "frame.jpg"
    Image.fromarray(PIXELS).save(picture, progressive=True)
    dataset = dcmread(BytesIO(wrapped(picture)))
    assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert np.array_equal(dataset.pixel_array, np.asarray(Image.open(picture)))


def test_what_is_no_picture_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "frame.jpg").write_bytes(b"text")
    with pytest.raises(DatasetError, match=r"frame\.jpg cannot be read as a picture"):
        wrapped(tmp_path / "frame.jpg")
