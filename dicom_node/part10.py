"""Objects on their way out: from Part 10 files, in the encoding they have or one we can make."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from core.dataset_stream import DataSetScanner
from core.errors import MalformedInstanceError, UnavailableError

_PREFIX = b"DICM"
_META_START = 132
_GROUP_LENGTH_END = _META_START + 12
_MAX_META_BYTES = 64 * 1024
_READ_BYTES = 256 * 1024

_UID = re.compile(r"[0-9.]{1,64}")

_META_UIDS = ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID")

_SWAPPED_WORDS = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
"""VRs whose bytes pydicom leaves as they are when the byte order changes. Source: PS3.5 7.3."""


@dataclass(frozen=True)
class OutgoingObject:
    """One object to send."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    read: Callable[[], Iterable[bytes]]
    """Opens the encoded data set, without preamble and meta information; called once an attempt."""


def from_part10(read_file: Callable[[], Iterable[bytes]]) -> OutgoingObject:
    """Return the object in a Part 10 file that is read in pieces. Source: PS3.10 7.1.

    Raises
    ------
    MalformedInstanceError
        If it is no Part 10 file, or does not say what it holds.
    """
    meta, _ = _split(read_file())
    sop_class, sop_instance, syntax = (_uid(meta, keyword) for keyword in _META_UIDS)
    return OutgoingObject(sop_class, sop_instance, syntax, lambda: _split(read_file())[1])


def from_file(path: Path) -> OutgoingObject:
    """Return the object in a Part 10 file on disk.

    Raises
    ------
    MalformedInstanceError
        As `from_part10`.
    UnavailableError
        If the file cannot be read.
    """
    return from_part10(lambda: _chunks(path))


def reencoded(outgoing: OutgoingObject, transfer_syntax_uid: str) -> bytes:
    """Return the data set of an uncompressed object in another uncompressed encoding.

    Raises
    ------
    MalformedInstanceError
        If the data set cannot be read.
    """
    old, new = UID(outgoing.transfer_syntax_uid), UID(transfer_syntax_uid)
    encoded = b"".join(outgoing.read())
    scanner = DataSetScanner(outgoing.transfer_syntax_uid)
    scanner.feed(encoded)
    scanner.finish()  # pydicom would read a data set that is cut off, and say nothing
    try:
        dataset = read_dataset(BytesIO(encoded), old.is_implicit_VR, old.is_little_endian)
        dataset.walk(_decode)
        if old.is_little_endian != new.is_little_endian:
            dataset.walk(_swap)
        return _encoded(dataset, new)
    except Exception as error:  # noqa: BLE001 - pydicom lets a dozen types escape (NET-7)
        # The chain is cut: the text of a decoder's error may hold a value.
        raise MalformedInstanceError(
            f"the data set cannot be encoded anew ({type(error).__name__})"
        ) from None


def _encoded(dataset: Dataset, syntax: UID) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = syntax.is_implicit_VR
    buffer.is_little_endian = syntax.is_little_endian
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def _decode(dataset: Dataset, element: Any) -> None:  # noqa: ANN401 - pydicom's own type
    """Touch the element: what stays raw would be written as it was read."""
    _ = dataset[element.tag].value


def _swap(dataset: Dataset, element: Any) -> None:  # noqa: ANN401 - pydicom's own type
    width = _SWAPPED_WORDS.get(element.VR)
    if width is not None and isinstance(element.value, bytes):
        value = bytearray(element.value)
        for offset in range(width // 2):
            low, high = slice(offset, None, width), slice(width - 1 - offset, None, width)
            value[low], value[high] = value[high], value[low]
        dataset[element.tag].value = bytes(value)


def _uid(meta: FileMetaDataset, keyword: str) -> str:
    """Return a UID; what is none would be refused by the library in words that quote it."""
    try:
        value = str(meta.get(keyword) or "")
    except Exception as error:  # noqa: BLE001 - pydicom lets a dozen types escape
        raise MalformedInstanceError(
            f"{keyword} of the file cannot be read ({type(error).__name__})"
        ) from None
    if not value:
        raise MalformedInstanceError(
            f"the file meta information lacks one of {', '.join(_META_UIDS)}"
        )
    if not _UID.fullmatch(value):
        raise MalformedInstanceError(f"{keyword} of the file is no UID")
    return value


def _split(chunks: Iterable[bytes]) -> tuple[FileMetaDataset, Iterator[bytes]]:
    """Return the meta information, and the rest of the file as an iterator."""
    iterator = iter(chunks)
    head = _at_least(bytearray(), iterator, _GROUP_LENGTH_END)
    if head[128:132] != _PREFIX or head[132:140] != b"\x02\x00\x00\x00UL\x04\x00":
        raise MalformedInstanceError("not a DICOM file: it lacks prefix and meta information")
    end = _GROUP_LENGTH_END + int.from_bytes(head[140:144], "little")
    if end > _MAX_META_BYTES:
        raise MalformedInstanceError("the file meta information is too long")
    head = _at_least(head, iterator, end)
    try:
        parsed = dcmread(BytesIO(bytes(head[:end])), force=True, stop_before_pixels=True)
    except Exception as error:  # noqa: BLE001 - pydicom lets a dozen types escape
        raise MalformedInstanceError(
            f"the file meta information cannot be read ({type(error).__name__})"
        ) from None
    return parsed.file_meta, _rest(bytes(head[end:]), iterator)


def _at_least(head: bytearray, iterator: Iterator[bytes], size: int) -> bytearray:
    while len(head) < size:
        chunk = next(iterator, None)
        if chunk is None:
            raise MalformedInstanceError("not a DICOM file: it ends before its data set")
        head += chunk
    return head


def _rest(first: bytes, iterator: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from iterator


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(_READ_BYTES):
                yield chunk
    except OSError as error:
        raise UnavailableError(f"a file cannot be read ({error.strerror})") from None
