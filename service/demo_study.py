"""The study that the demo sends: one drawn frame, and a patient who was never born."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, VLEndoscopicImageStorage

from core.clock import format_da, format_tm
from core.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, random_uid


@dataclass(frozen=True)
class DemoStudy:
    """What is sent."""

    study_instance_uid: str
    patient_id: str
    part10: bytes


def demo_study(pixels: NDArray[np.uint8], now: datetime) -> DemoStudy:
    """Wrap a picture as a VL Endoscopic Image of an invented patient. Source: PS3.3 A.32.1.

    Parameters
    ----------
    pixels : (rows, columns, 3) RGB
    """
    dataset = FileDataset("", {}, file_meta=_meta(), preamble=bytes(128))
    _name(dataset, now)
    _describe(dataset, pixels)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return DemoStudy(dataset.StudyInstanceUID, dataset.PatientID, buffer.getvalue())


def _meta() -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = VLEndoscopicImageStorage
    meta.MediaStorageSOPInstanceUID = UID(random_uid())
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return meta


def _name(dataset: FileDataset, now: datetime) -> None:
    """Say whose it is, and when it was made."""
    number = secrets.token_hex(3).upper()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = VLEndoscopicImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.PatientName = "Invented^Iris"
    dataset.PatientID = f"DEMO-{number}"
    dataset.IssuerOfPatientID = "INVENTED"
    dataset.PatientBirthDate = "19700102"
    dataset.PatientSex = "F"
    dataset.StudyInstanceUID = random_uid()
    dataset.SeriesInstanceUID = random_uid()
    dataset.AccessionNumber = f"A{number}"
    dataset.StudyID = "1"
    dataset.ReferringPhysicianName = ""
    for keyword in ("Study", "Series", "Content"):
        setattr(dataset, f"{keyword}Date", format_da(now.date()))
        setattr(dataset, f"{keyword}Time", format_tm(now))
    dataset.SeriesNumber = dataset.InstanceNumber = 1


def _describe(dataset: FileDataset, pixels: NDArray[np.uint8]) -> None:
    """Say what it shows, and add the pixels. Source: PS3.3 C.7.6.3, C.8.12.1."""
    dataset.Modality = "ES"
    dataset.Manufacturer = "Second Reader project"
    dataset.ManufacturerModelName = "Drawing"
    dataset.SeriesDescription = "Drawn by a program, of nobody"
    dataset.BodyPartExamined = "COLON"
    dataset.PatientOrientation = ""
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.AcquisitionContextSequence = []
    dataset.LossyImageCompression = "00"
    dataset.BurnedInAnnotation = "NO"
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = "RGB"
    dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.tobytes() + bytes(pixels.size % 2)
    dataset["PixelData"].VR = "OB"
