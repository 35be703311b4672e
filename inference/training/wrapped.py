"""A picture as the DICOM object that a modality would send, to be read as the service reads."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    VLEndoscopicImageStorage,
)

from core.uids import random_uid
from inference.training.dataset import DatasetError


def wrapped(picture: Path) -> bytes:
    """Return a Part 10 file, VL Endoscopic Image, with the picture's own pixels.

    A baseline JPEG goes in as it is, so that our decoder and no other opens it; anything else goes
    in uncompressed, as RGB. Source: PS3.3 A.32.1, PS3.5 A.4.1.

    Raises
    ------
    DatasetError
        If the file is no picture.
    """
    try:
        with Image.open(picture) as image:
            dataset = _endoscopic_image(*image.size)
            if _is_baseline_jpeg(image):
                _encapsulate(dataset, picture.read_bytes())
            else:
                _embed(dataset, np.asarray(image.convert("RGB")).tobytes())
    except (OSError, ValueError) as error:
        raise DatasetError(f"{picture} cannot be read as a picture") from error
    target = BytesIO()
    dataset.save_as(target, enforce_file_format=True)
    return target.getvalue()


def _is_baseline_jpeg(image: Image.Image) -> bool:
    is_ycbcr = image.mode == "RGB" and image.info.get("adobe_transform", 1) == 1
    return image.format == "JPEG" and is_ycbcr and not image.info.get("progressive")


def _endoscopic_image(columns: int, rows: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID = VLEndoscopicImageStorage
    dataset.SOPInstanceUID = random_uid()
    dataset.StudyInstanceUID = random_uid()
    dataset.SeriesInstanceUID = random_uid()
    dataset.PatientName = "EVALUATION"
    dataset.PatientID = "EVALUATION"
    dataset.Modality = "ES"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.InstanceNumber = 1
    dataset.SamplesPerPixel = 3
    dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    return dataset


def _encapsulate(dataset: Dataset, jpeg: bytes) -> None:
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionMethod = "ISO_10918_1"
    dataset.PixelData = encapsulate([jpeg])
    dataset["PixelData"].VR = "OB"


def _embed(dataset: Dataset, pixels: bytes) -> None:
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.PhotometricInterpretation = "RGB"
    dataset.LossyImageCompression = "00"
    dataset.PixelData = pixels + bytes(len(pixels) % 2)
    dataset["PixelData"].VR = "OB"
