"""Synthetic data sets, whole enough for their IODs; nothing in them is of a real person."""

from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit

from core.uids import IMPLEMENTATION_CLASS_UID, random_uid

VL_ENDOSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"

IDENTITY = {
    "PatientName": "Example^Ada",
    "PatientID": "PID-0001",
    "IssuerOfPatientID": "HOSPITAL-A",
    "PatientBirthDate": "19700102",
    "PatientSex": "F",
    "AccessionNumber": "ACC-0001",
    "StudyDate": "20260301",
    "StudyTime": "101500",
    "StudyID": "S1",
}


def endoscopic_image(
    pixels: NDArray[np.uint8] | None = None, attributes: Mapping[str, object] | None = None
) -> FileDataset:
    """Return a VL Endoscopic Image (PS3.3 A.32.1) of an invented patient.

    `pixels` is (rows, columns, 3) RGB; `attributes` override by keyword, None deletes.
    """
    frame = np.full((32, 32, 3), 127, np.uint8) if pixels is None else pixels
    dataset = _composite(VL_ENDOSCOPIC, "ES")
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.AcquisitionContextSequence = []
    dataset.LossyImageCompression = "00"
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = "RGB"
    dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = frame.shape[:2]
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    dataset.PixelData = frame.tobytes() + b"\0" * (frame.size % 2)
    dataset["PixelData"].VR = "OB"
    _override(dataset, attributes)
    return dataset


def ct_image(
    stored: NDArray[np.int16] | None = None, attributes: Mapping[str, object] | None = None
) -> FileDataset:
    """Return a CT Image (PS3.3 A.3) of an invented patient; `stored` is (rows, columns) signed."""
    frame = np.zeros((32, 32), np.int16) if stored is None else stored
    dataset = _composite(CT, "CT")
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.FrameOfReferenceUID = random_uid()
    dataset.PositionReferenceIndicator = ""
    dataset.PixelSpacing = [0.5, 0.5]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [0, 0, 0]
    dataset.SliceThickness = 1
    dataset.KVP = 120
    dataset.AcquisitionNumber = 1
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = frame.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1
    dataset.RescaleIntercept, dataset.RescaleSlope = -1024, 1
    dataset.RescaleType = "HU"
    dataset.PixelData = frame.tobytes()
    dataset["PixelData"].VR = "OW"
    _override(dataset, attributes)
    return dataset


def jpeg_frames(pictures: Sequence[NDArray[np.uint8]], *, broken: int = 0) -> FileDataset:
    """Return an endoscopic image of these frames as JPEG, and then frames that are no JPEG."""
    dataset = endoscopic_image(pictures[0])
    streams = [
        *(_jpeg(picture) for picture in pictures),
        *[b"\xff\xd8 no picture \xff\xd9"] * broken,
    ]
    dataset.PixelData = encapsulate(streams)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.NumberOfFrames = len(streams)
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.LossyImageCompression = "01"
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    return dataset


def part10(dataset: FileDataset) -> bytes:
    """Return the whole Part 10 file."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def encoded(dataset: Dataset, *, implicit: bool = False) -> bytes:
    """Return the data set alone, as it travels in a C-STORE."""
    buffer = BytesIO()
    plain = Dataset(dataset)
    plain.save_as(buffer, implicit_vr=implicit, little_endian=True)
    return buffer.getvalue()


def transfer_syntax(*, implicit: bool) -> str:
    """Return the transfer syntax that `encoded` used."""
    return str(ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian)


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def _composite(sop_class_uid: str, modality: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(random_uid())
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Modality = modality
    dataset.Manufacturer = "Invented Devices"
    dataset.ReferringPhysicianName = ""
    dataset.StudyInstanceUID = random_uid()
    dataset.SeriesInstanceUID = random_uid()
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = 1
    dataset.ContentDate, dataset.ContentTime = "20260301", "101500"
    for keyword, value in IDENTITY.items():
        setattr(dataset, keyword, value)
    return dataset


def _override(dataset: FileDataset, attributes: Mapping[str, object] | None) -> None:
    for keyword, value in (attributes or {}).items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
