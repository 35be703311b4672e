"""Part 10 files to data sets and back, every fault told as one of ours. Source: PS3.10 7."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from pydicom import Dataset
from pydicom.dataset import FileDataset

from anonymizer import text
from anonymizer.encoding import Encoding, deflate, encode
from anonymizer.text import Element
from core.errors import MalformedInstanceError, ServiceError
from core.limits import MAX_DEPTH, DataSetLimits
from core.part10 import parse_file

MAGIC = b"DICM"
PREAMBLE_BYTES = 128
_META = Encoding(is_implicit=False, is_little=True)
"""File Meta Information is always so. Source: PS3.10 7.1."""


@contextmanager
def guarded(doing: str) -> Iterator[None]:
    """Tell whatever the DICOM reader or writer lets escape as a malformed object."""
    try:
        yield
    except ServiceError:
        raise
    except RecursionError:
        raise MalformedInstanceError(f"sequences are nested deeper than {MAX_DEPTH}") from None
    except Exception as error:  # noqa: BLE001 - pydicom lets a dozen types escape
        # The chain is cut: the text of a decoder's error may hold the value.
        raise MalformedInstanceError(
            f"{doing} failed ({type(error).__name__})",
            remedy="The object is damaged or breaks PS3.5; ask its sender for a sound copy",
        ) from None


def element_of(dataset: Dataset, tag: int) -> Element | None:
    """Return one element as it came; None if it is not there."""
    with guarded(f"reading the element {tag:08X}"):
        return dataset.get_item(tag) if tag in dataset else None


def read(source: BinaryIO, limits: DataSetLimits | None = None) -> FileDataset:
    """Read a Part 10 file, or a bare data set that has no header.

    Raises
    ------
    MalformedInstanceError
        If it cannot be read, or inflates beyond the limits.
    """
    with guarded("reading the object"):
        return parse_file(source, limits)


def write(released: FileDataset) -> bytes:
    """Write a released object as a Part 10 file.

    Raises
    ------
    MalformedInstanceError
        If a value that was kept as it came cannot be written.
    """
    with guarded("writing the released object"):
        syntax = released.file_meta.TransferSyntaxUID
        meta = encode(released.file_meta, _META, text.UTF_8)
        length = struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(meta))
        encoding = Encoding(syntax.is_implicit_VR, syntax.is_little_endian)
        body = encode(released, encoding, text.UTF_8)
        if syntax.is_deflated:
            body = deflate(body)
        return b"".join((bytes(PREAMBLE_BYTES), MAGIC, length, meta, body))
