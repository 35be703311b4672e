"""Part 10 files: the head, rebuilt by us, and whole files as data sets, inflated within bounds.

What a sender put into a head is never kept.

Source: PS3.10 7.1.
"""

import struct
from collections.abc import Collection
from io import BytesIO
from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filereader import _at_pixel_data, _read_file_meta_info, read_dataset, read_preamble
from pydicom.tag import BaseTag, Tag

from core.errors import CorruptionError
from core.inflation import DEFLATED_TRANSFER_SYNTAXES, inflated
from core.limits import DataSetLimits
from core.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_PREAMBLE = bytes(128) + b"DICM"
_GROUP_LENGTH = struct.Struct("<HH2sHI")
_GROUP_LENGTH_BEGIN = struct.pack("<HH2sH", 0x0002, 0x0000, b"UL", 4)
_LENGTH_END = len(_PREAMBLE) + _GROUP_LENGTH.size


def file_head(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Return preamble, prefix and meta information, after which the data set follows."""
    elements = b"".join(
        (
            struct.pack("<HH2s2xI2s", 0x0002, 0x0001, b"OB", 2, b"\x00\x01"),
            _short(0x0002, b"UI", sop_class_uid, b"\0"),
            _short(0x0003, b"UI", sop_instance_uid, b"\0"),
            _short(0x0010, b"UI", transfer_syntax_uid, b"\0"),
            _short(0x0012, b"UI", IMPLEMENTATION_CLASS_UID, b"\0"),
            _short(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME, b" "),
        )
    )
    return _PREAMBLE + _GROUP_LENGTH.pack(0x0002, 0x0000, b"UL", 4, len(elements)) + elements


def data_set_of(file: bytes) -> memoryview:
    """Return the data set of a file whose head `file_head` made."""
    if not file.startswith(_PREAMBLE) or len(file) < _LENGTH_END:
        raise CorruptionError("a stored object does not begin as we write it")
    length = _GROUP_LENGTH.unpack_from(file, len(_PREAMBLE))[-1]
    return memoryview(file)[_LENGTH_END + length :]


def parse_file(
    source: BinaryIO,
    limits: DataSetLimits | None = None,
    *,
    tags: Collection[str] | None = None,
    with_pixels: bool = True,
) -> FileDataset:
    """Return the data set of a file, of a file that lost its head, or of a bare data set.

    pydicom inflates a deflated data set without a bound, so it never gets to see one. What else it
    lets escape is not translated here.

    Parameters
    ----------
    tags
        Keywords of the elements to read; None for all.
    with_pixels
        False stops before the pixels.

    Raises
    ------
    InflationError, MalformedInstanceError
        If it is deflated, and inflates to more than the limits allow or not at all.
    """
    wanted: list[BaseTag | int] | None = None if tags is None else [Tag(tag) for tag in tags]
    start = source.tell()
    preamble = read_preamble(source, force=True)
    meta = _meta(source)
    if str(meta.get("TransferSyntaxUID") or "") not in DEFLATED_TRANSFER_SYNTAXES:
        source.seek(start)
        return dcmread(source, force=True, stop_before_pixels=not with_pixels, specific_tags=wanted)
    content = inflated(source.read(), limits)
    stop = None if with_pixels else _at_pixel_data
    dataset = read_dataset(content, False, True, stop_when=stop, specific_tags=wanted)
    file = FileDataset(content, dataset, preamble, meta, False, True)
    file.set_original_encoding(False, True, dataset._character_set)
    return file


def meta_of(source: BinaryIO) -> FileMetaDataset:
    """Return the meta information of a file; what its reader lets escape is not translated."""
    read_preamble(source, force=True)
    return _meta(source)


def _meta(source: BinaryIO) -> FileMetaDataset:
    """Read the meta information by its length: what follows may look like more of it."""
    start = source.tell()
    first = source.read(_GROUP_LENGTH.size)
    if first.startswith(_GROUP_LENGTH_BEGIN):
        length = _GROUP_LENGTH.unpack(first.ljust(_GROUP_LENGTH.size, b"\0"))[-1]
        return _read_file_meta_info(BytesIO(first + source.read(length)))
    source.seek(start)
    return _read_file_meta_info(source)


def _short(element: int, vr: bytes, text: str, pad: bytes) -> bytes:
    value = text.encode("ascii", "replace")
    value += pad * (len(value) % 2)
    return struct.pack("<HH2sH", 0x0002, element, vr, len(value)) + value
