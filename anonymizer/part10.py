"""Part 10 files to data sets and back, every fault told as one of ours. Source: PS3.10 7."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataset import FileDataset

from core.errors import MalformedInstanceError, ServiceError

MAGIC = b"DICM"
PREAMBLE_BYTES = 128


@contextmanager
def guarded(doing: str) -> Iterator[None]:
    """Tell whatever the DICOM reader or writer lets escape as a malformed object."""
    try:
        yield
    except ServiceError:
        raise
    except Exception as error:  # noqa: BLE001 - pydicom lets a dozen types escape
        # The chain is cut: the text of a decoder's error may hold the value.
        raise MalformedInstanceError(
            f"{doing} failed ({type(error).__name__})",
            remedy="The object is damaged or breaks PS3.5; ask its sender for a sound copy",
        ) from None


def read(source: BinaryIO) -> FileDataset:
    """Read a Part 10 file, or a bare data set that has no header.

    Raises
    ------
    MalformedInstanceError
        If it cannot be read.
    """
    with guarded("reading the object"):
        return dcmread(source, force=True)


def write(released: FileDataset) -> bytes:
    """Write a released object as a Part 10 file.

    Raises
    ------
    MalformedInstanceError
        If a value that was kept as it came cannot be written.
    """
    buffer = BytesIO()
    with guarded("writing the released object"):
        released.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
