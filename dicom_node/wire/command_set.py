"""The command sets of C-STORE, read and written without a data set being built for each.

Strict: what is not the encoding is refused, and nothing is read that is not needed. Commands other
than C-STORE-RQ are pynetdicom's.

Source: PS3.7 6.3.1, 9.3.1, E.1
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from dicom_node.wire.fragments import ProtocolError

_ELEMENT = struct.Struct("<HHL")
_LENGTH = struct.Struct("<HHLL")
_VALUE = struct.Struct(">LBB")
_PDU = struct.Struct(">BBL")
_NUMBER = struct.Struct("<H")

_SOP_CLASS, _COMMAND, _MESSAGE_ID, _ANSWERED_ID = 0x0002, 0x0100, 0x0110, 0x0120
_DATA_SET_TYPE, _STATUS, _COMMENT, _SOP_INSTANCE = 0x0800, 0x0900, 0x0902, 0x1000
"""Elements of group 0000. Source: PS3.7 E.1"""
_STORE_REQUEST, _STORE_RESPONSE = b"\x01\x00", b"\x01\x80"
_NO_DATA_SET = b"\x01\x01"
_UID = re.compile(rb"[0-9.]{1,64}\0?")


@dataclass(frozen=True)
class StoreRequest:
    """A C-STORE-RQ. The UIDs are as they came, padding and all."""

    message_id: bytes
    sop_class_uid: bytes
    sop_instance_uid: bytes
    has_data_set: bool


def store_request(command_set: bytes) -> StoreRequest | None:
    """Return the request if it is a C-STORE-RQ.

    Raises
    ------
    ProtocolError
        If it is one, but cannot be read.
    """
    elements = dict(_elements(command_set))
    if elements.get(_COMMAND) != _STORE_REQUEST:
        return None
    message_id, data_set_type = (
        elements.get(number, b"") for number in (_MESSAGE_ID, _DATA_SET_TYPE)
    )
    if len(message_id) != _NUMBER.size or len(data_set_type) != _NUMBER.size:
        raise ProtocolError("a C-STORE without an ID, or that does not say whether data follow")
    return StoreRequest(
        message_id,
        elements.get(_SOP_CLASS, b""),
        elements.get(_SOP_INSTANCE, b""),
        has_data_set=data_set_type != _NO_DATA_SET,
    )


def store_response(request: StoreRequest, status: int, comment: str) -> bytes:
    """Return the C-STORE-RSP to a request."""
    text = comment.encode("ascii", "replace")
    elements = b"".join(
        _element(number, value)
        for number, value in (
            (_SOP_CLASS, _echoed(request.sop_class_uid)),
            (_COMMAND, _STORE_RESPONSE),
            (_ANSWERED_ID, request.message_id),
            (_DATA_SET_TYPE, _NO_DATA_SET),
            (_STATUS, _NUMBER.pack(status)),
            (_COMMENT, text + b" " * (len(text) % 2)),
            (_SOP_INSTANCE, _echoed(request.sop_instance_uid)),
        )
        if value
    )
    return _LENGTH.pack(0x0000, 0x0000, 4, len(elements)) + elements


def command_pdus(context_id: int, command_set: bytes, max_pdu_bytes: int) -> bytes:
    """Return a command set as P-DATA-TF PDUs, none longer than the peer takes (0: any length)."""
    room = max(2, max_pdu_bytes - _VALUE.size) if max_pdu_bytes else len(command_set)
    pdus = []
    for start in range(0, len(command_set), room):
        piece = command_set[start : start + room]
        control = 0x03 if start + room >= len(command_set) else 0x01
        value = _VALUE.pack(len(piece) + 2, context_id, control)
        pdus.append(_PDU.pack(0x04, 0, len(value) + len(piece)) + value + piece)
    return b"".join(pdus)


def text_of(uid: bytes) -> str:
    """Return a UID as text, without its padding."""
    return uid.rstrip(b"\0 ").decode("ascii", "replace")


def _elements(command_set: bytes) -> Iterator[tuple[int, bytes]]:
    position, size, before = 0, len(command_set), -1
    while position < size:
        if size - position < _ELEMENT.size:
            raise ProtocolError("a command set that is cut off")
        group, number, length = _ELEMENT.unpack_from(command_set, position)
        position += _ELEMENT.size
        if group != 0 or number <= before or length > size - position:
            raise ProtocolError("a command set that cannot be read")
        yield number, command_set[position : position + length]
        position += length
        before = number


def _element(number: int, value: bytes) -> bytes:
    return _ELEMENT.pack(0x0000, number, len(value)) + value


def _echoed(uid: bytes) -> bytes:
    """Return a UID as it came; nothing of what is none."""
    return uid if len(uid) % 2 == 0 and _UID.fullmatch(uid) else b""
