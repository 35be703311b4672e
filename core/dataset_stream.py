"""Check and index a data set while it arrives, in constant memory.

The scanner walks the elements of an encoded data set as its bytes come in: it proves that the
encoding is whole (every length is honoured, every sequence ends) and keeps the short elements of
the leading groups, from which `Instance.parse` reads the index. Values that nobody asked for,
pixels above all, pass by without being held.

Source: PS3.5 7.1 (elements), 7.5 (sequences), A.4 (encapsulated pixel data).
"""

import struct
from dataclasses import dataclass

from pydicom._dicom_dict import DicomDictionary
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from core.errors import MalformedInstanceError
from core.inflation import DEFLATED_TRANSFER_SYNTAXES, Inflater
from core.limits import DataSetLimits

MAX_KEPT_BYTES = 64 * 1024
"""A leading element longer than this is not kept; none that we index comes near."""

LAST_KEPT_GROUP = 0x0028
UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXEL_DATA = 0x7FE00010
_FOREIGN_GROUPS = frozenset(range(4))
"""Command sets and file meta information. At the begin of a data set that is kept behind a file's
head they would be read as part of that, and could name another transfer syntax."""
_FOREIGN_IN_BIG_ENDIAN = _FOREIGN_GROUPS | {0x0200}
"""The head is always little endian: read so, 0200 is 0002. Source: PS3.10 7.1."""
_LONG_VRS = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
"""VRs with a 32-bit length in explicit encoding. Source: PS3.5 Table 7.1-1."""


@dataclass
class _Level:
    """One open data set, sequence or run of fragments."""

    holds: str
    """`elements`, `items` or `fragments`."""
    end: int | None
    """Offset at which it ends; None if a delimiter ends it."""
    is_implicit: bool


class DataSetScanner:
    """Push the bytes of one encoded data set through `feed`, then call `finish`."""

    def __init__(self, transfer_syntax_uid: str, limits: DataSetLimits | None = None) -> None:
        syntax = UID(transfer_syntax_uid)
        if not syntax.is_transfer_syntax or syntax.is_private:
            raise MalformedInstanceError("the transfer syntax is not one that we know")
        self._limits = limits or DataSetLimits()
        is_deflated = transfer_syntax_uid in DEFLATED_TRANSFER_SYNTAXES
        self._inflater = Inflater(self._limits) if is_deflated else None
        implicit = syntax.is_implicit_VR
        self._little = syntax.is_little_endian
        order = "<" if self._little else ">"
        self._foreign_groups = _FOREIGN_GROUPS if self._little else _FOREIGN_IN_BIG_ENDIAN
        self._tag, self._short, self._long = (
            struct.Struct(order + code) for code in ("HH", "H", "I")
        )
        self._levels = [_Level("elements", None, implicit)]
        self._buffer = bytearray()
        self._offset = 0
        self._skip = 0
        self.elements = 0
        """How many elements and items have begun; what a parser makes of them costs memory."""
        self._kept: dict[BaseTag, RawDataElement] = {}

    @property
    def size(self) -> int:
        """How many bytes of the data set have arrived, after inflation."""
        return self._offset + len(self._buffer)

    def leading(self, tag: int) -> bytes | None:
        """Return the encoded value of an element that was kept, if it has arrived."""
        element = self._kept.get(Tag(tag))
        return None if element is None else element.value

    def feed(self, piece: bytes | memoryview) -> None:
        """Take the next bytes.

        Raises
        ------
        MalformedInstanceError
            As soon as the bytes cannot be a data set of this transfer syntax, or one that costs
            its readers more than the limits allow.
        """
        if self._inflater is None:
            self._feed(piece)
            return
        for inflated in self._inflater.pieces(piece):
            self._feed(inflated)

    def _feed(self, piece: bytes | memoryview) -> None:
        if self._skip >= len(piece) and not self._buffer:
            self._skip -= len(piece)
            self._offset += len(piece)
            return
        self._buffer += piece
        position = self._drop_skipped(0)
        while self._skip == 0:
            taken = self._element(position)
            if taken == 0:
                break
            self._count()
            position = self._drop_skipped(position + taken)
        del self._buffer[:position]
        self._offset += position

    def finish(self) -> Dataset:
        """Return the short elements of the leading groups, once the data set is whole.

        Raises
        ------
        MalformedInstanceError
            If the data set ends inside an element, a sequence or a run of fragments.
        """
        if self._inflater is not None:
            self._inflater.finish()
        self._close_ended(self._offset)
        if self._skip or self._buffer or len(self._levels) > 1:
            raise MalformedInstanceError(
                f"the data set is cut off after {self.size} bytes",
                remedy="Send the object again; if it stays so, the sender holds a damaged copy",
            )
        return Dataset(dict[BaseTag, DataElement | RawDataElement](self._kept))

    def _drop_skipped(self, position: int) -> int:
        taken = min(self._skip, len(self._buffer) - position)
        self._skip -= taken
        return position + taken

    def _element(self, position: int) -> int:
        """Read one header at `position`; return how many bytes to step over, 0 to wait for more."""
        self._close_ended(self._offset + position)
        available = len(self._buffer) - position
        if available < 8:
            return 0
        group, element = self._tag.unpack_from(self._buffer, position)
        tag = group << 16 | element
        level = self._levels[-1]
        if group == 0xFFFE:
            length = self._long.unpack_from(self._buffer, position + 4)[0]
            self._delimiter(tag, length, level, self._offset + position + 8)
            return 8
        if level.holds != "elements":
            raise MalformedInstanceError(f"an item was expected at byte {self._offset + position}")
        return self._plain_element(tag, position, available, level)

    def _count(self) -> None:
        self.elements += 1
        if self.elements > self._limits.max_elements:
            raise MalformedInstanceError(
                f"the data set has more than {self._limits.max_elements} elements and items",
                remedy="By C-STORE an object may have as many as archive.max_elements says",
            )

    def _plain_element(self, tag: int, position: int, available: int, level: _Level) -> int:
        vr, length, header = self._header(tag, position, available, level.is_implicit)
        if header == 0:
            return 0
        start = self._offset + position + header
        if tag >> 16 in self._foreign_groups:
            raise MalformedInstanceError(
                f"an element of a command or of a file's head is at byte {start - header}"
            )
        if vr == b"SQ" or (length == UNDEFINED and tag != _PIXEL_DATA and vr not in {b"OB", b"OW"}):
            implicit = level.is_implicit or vr == b"UN"  # PS3.5 6.2.2, note 2
            self._open("items", start, length, implicit)
            return header
        if length == UNDEFINED:
            self._open("fragments", start, length, level.is_implicit)
            return header
        if level.end is not None and start + length > level.end:
            raise MalformedInstanceError(f"an element at byte {start} is longer than its item")
        if self._is_kept(tag, length):
            if available < header + length:
                return 0
            value = bytes(self._buffer[position + header : position + header + length])
            self._keep(tag, vr, value, level.is_implicit)
            return header + length
        self._skip = length
        return header

    def _header(
        self, tag: int, position: int, available: int, is_implicit: bool
    ) -> tuple[bytes, int, int]:
        """Return VR, length and header size; size 0 if more bytes are needed."""
        if is_implicit:
            known = DicomDictionary.get(tag)
            vr = known[0].encode() if known else b"UN"
            return vr, self._long.unpack_from(self._buffer, position + 4)[0], 8
        vr = bytes(self._buffer[position + 4 : position + 6])
        if not (vr.isalpha() and vr.isupper()):
            raise MalformedInstanceError(
                f"no value representation at byte {self._offset + position + 4}",
                remedy="The bytes are not of the transfer syntax that was agreed on",
            )
        if vr not in _LONG_VRS:
            return vr, self._short.unpack_from(self._buffer, position + 6)[0], 8
        if available < 12:
            return vr, 0, 0
        return vr, self._long.unpack_from(self._buffer, position + 8)[0], 12

    def _delimiter(self, tag: int, length: int, level: _Level, start: int) -> None:
        if tag == _ITEM and level.holds == "items":
            self._open("elements", start, length, level.is_implicit)
        elif tag == _ITEM and level.holds == "fragments":
            self._skip = length
        elif tag == _SEQUENCE_END and level.holds != "elements":
            self._levels.pop()  # some senders close even a sequence of defined length
        elif tag == _ITEM_END and len(self._levels) > 1 and level.holds == "elements":
            self._levels.pop()
        else:
            raise MalformedInstanceError(f"a delimiter at byte {start - 8} ends nothing")

    def _open(self, holds: str, start: int, length: int, is_implicit: bool) -> None:
        if len(self._levels) >= 2 * self._limits.max_depth:
            raise MalformedInstanceError(
                f"sequences are nested deeper than {self._limits.max_depth}"
            )
        end = None if length == UNDEFINED else start + length
        outer = self._levels[-1].end
        if end is not None and outer is not None and end > outer:
            raise MalformedInstanceError(
                f"a sequence or item at byte {start} is longer than its outer one"
            )
        self._levels.append(_Level(holds, end, is_implicit))

    def _close_ended(self, offset: int) -> None:
        while len(self._levels) > 1 and self._levels[-1].end == offset:
            self._levels.pop()

    def _is_kept(self, tag: int, length: int) -> bool:
        return len(self._levels) == 1 and tag >> 16 <= LAST_KEPT_GROUP and length <= MAX_KEPT_BYTES

    def _keep(self, tag: int, vr: bytes, value: bytes, is_implicit: bool) -> None:
        key = Tag(tag)
        if key in self._kept:  # two readers could see two patients (PS3.5 7.1: at most once)
            raise MalformedInstanceError(f"the element {key} appears twice")
        name = None if is_implicit else vr.decode()
        self._kept[key] = RawDataElement(key, name, len(value), value, 0, is_implicit, self._little)
