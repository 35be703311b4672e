"""A data set as the bytes of a Part 10 file, the same for the same input."""

from io import BytesIO

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from core.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME


def encode_part10(dataset: Dataset) -> bytes:
    """Return `dataset` in Explicit VR Little Endian with file meta information of our own.

    Source: PS3.10 7.1.
    """
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = UID(dataset.SOPClassUID)
    meta.MediaStorageSOPInstanceUID = UID(dataset.SOPInstanceUID)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    plain = Dataset()
    plain.update(dataset)
    plain.file_meta = meta
    plain.preamble = bytes(128)
    _keep_encoded(plain)
    buffer = BytesIO()
    dcmwrite(buffer, plain, enforce_file_format=True)
    return buffer.getvalue()


def _keep_encoded(dataset: Dataset) -> None:
    """Make pydicom write what is still encoded as it is, instead of decoding it first."""
    for element in list(dataset.values()):
        if isinstance(element.value, Sequence):
            for item in element.value:
                _keep_encoded(item)
    dataset.set_original_encoding(
        is_implicit_vr=False,
        is_little_endian=True,
        character_encoding=dataset._character_set,  # what it compares with, and not public
    )
