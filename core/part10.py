"""The head of a Part 10 file, rebuilt by us; what a sender put there is never kept.

Source: PS3.10 7.1.
"""

import struct

from core.errors import CorruptionError
from core.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_PREAMBLE = bytes(128) + b"DICM"
_GROUP_LENGTH = struct.Struct("<HH2sHI")
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


def _short(element: int, vr: bytes, text: str, pad: bytes) -> bytes:
    value = text.encode("ascii", "replace")
    value += pad * (len(value) % 2)
    return struct.pack("<HH2sH", 0x0002, element, vr, len(value)) + value
