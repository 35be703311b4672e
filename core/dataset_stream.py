"""Check and index a data set while it arrives, in constant memory.

The scanner walks the elements of an encoded data set as its bytes come in: it proves that the
encoding is whole (every length is honoured, every sequence ends) and keeps the short elements of
the leading groups, from which `Instance.parse` reads the index. Values that nobody asked for,
pixels above all, pass by without being held.

Source: PS3.5 7.1 (elements), 7.5 (sequences), A.4 (encapsulated pixel data).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from pydicom._dicom_dict import DicomDictionary
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID

from core.errors import MalformedInstanceError
from core.inflation import DEFLATED_TRANSFER_SYNTAXES, Inflater
from core.limits import DataSetLimits

MAX_KEPT_BYTES = 64 * 1024
"""A leading element longer than this is not kept; none that we index comes near."""

MAX_KEPT_IN_ALL = 16 * 1024 * 1024
"""What is kept of one data set may take no more; its element headers count, too."""

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

_SHORT_VRS = {
    vr.encode(): vr
    for vr in (
        *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO"),
        *("LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"),
    )
}
"""VRs with a 16-bit length. Source: PS3.5 Table 7.1-2."""

_FORMATS = {
    is_little: tuple(struct.Struct(order + code) for code in ("HH", "H", "I", "HH2sH"))
    for is_little, order in ((True, "<"), (False, ">"))
}
_KEPT_HEADER_BYTES = 256
"""About what a kept element takes beside its value."""

_TAKEN_AT_ONCE = 64 * 1024
"""Of a long piece, which is mostly pixels, no more than this is copied to be looked at."""

_MOST_TAGS = 4096
_TAGS: dict[int, BaseTag] = {}


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
        implicit, self._little = _encoding(transfer_syntax_uid)
        self._limits = limits or DataSetLimits()
        is_deflated = transfer_syntax_uid in DEFLATED_TRANSFER_SYNTAXES
        self._inflater = Inflater(self._limits) if is_deflated else None
        self._foreign_groups = _FOREIGN_GROUPS if self._little else _FOREIGN_IN_BIG_ENDIAN
        self._tag, self._short, self._long, self._header_of_short = _FORMATS[self._little]
        self._levels = [_Level("elements", None, implicit)]
        self._buffer = bytearray()
        self._offset = 0
        self._skip = 0
        self.elements = 0
        """How many elements and items have begun; what a parser makes of them costs memory."""
        self._kept: dict[BaseTag, RawDataElement] = {}
        self._kept_bytes = 0

    @property
    def size(self) -> int:
        """How many bytes of the data set have arrived, after inflation."""
        return self._offset + len(self._buffer)

    def leading(self, tag: int) -> bytes | None:
        """Return the encoded value of an element that was kept, if it has arrived."""
        element = self._kept.get(_tag(tag))
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
        with memoryview(piece) as view:
            start = 0
            while start < len(view):
                rest = len(view) - start
                if self._skip >= rest and not self._buffer:
                    self._skip -= rest
                    self._offset += rest
                    return
                self._take(view[start : start + _TAKEN_AT_ONCE])
                start += _TAKEN_AT_ONCE

    def _take(self, piece: memoryview) -> None:
        self._buffer += piece
        position = self._drop_skipped(0)
        while self._skip == 0:
            position = self._leading_elements(position)
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
        return Dataset(dict[BaseTag, DataElement | RawDataElement](self.elements_when_whole()))

    def elements_when_whole(self) -> Mapping[BaseTag, RawDataElement]:
        """Do as `finish` does, and return the elements as they came."""
        if self._inflater is not None:
            self._inflater.finish()
        self._close_ended(self._offset)
        if self._skip or self._buffer or len(self._levels) > 1:
            raise MalformedInstanceError(
                f"the data set is cut off after {self.size} bytes",
                remedy="Send the object again; if it stays so, the sender holds a damaged copy",
            )
        return self._kept

    def _leading_elements(self, position: int) -> int:
        """Step over whole short elements of the leading groups; stop at whatever is not one.

        Nearly all that is kept is such an element, and this way costs a fifth of the other.
        """
        if len(self._levels) > 1 or self._levels[0].is_implicit:
            return position
        buffer, kept, available = self._buffer, self._kept, len(self._buffer)
        while position + 8 <= available and self.elements < self._limits.max_elements:
            group, element, vr, length = self._header_of_short.unpack_from(buffer, position)
            name, end = _SHORT_VRS.get(vr), position + 8 + length
            number = group << 16 | element
            tag = _TAGS.get(number) or _tag(number)
            is_plain = name is not None and group not in self._foreign_groups and tag not in kept
            if not is_plain or group > LAST_KEPT_GROUP or end > available:
                break
            value = bytes(buffer[position + 8 : end])
            kept[tag] = RawDataElement(tag, name, length, value, 0, False, self._little)
            self.elements += 1
            self._count_kept(length)
            position = end
        return position

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
        if group in self._foreign_groups:
            raise MalformedInstanceError(
                f"an element of a command or of a file's head is at byte {self._offset + position}"
            )
        return self._plain_element(tag, position, available, level)

    def _count(self) -> None:
        self.elements += 1
        if self.elements > self._limits.max_elements:
            raise MalformedInstanceError(
                f"the data set has more than {self._limits.max_elements} elements and items",
                remedy="By C-STORE an object may have as many as archive.max_elements says",
            )

    def _count_kept(self, length: int) -> None:
        self._kept_bytes += length + _KEPT_HEADER_BYTES
        if self._kept_bytes > MAX_KEPT_IN_ALL:
            raise MalformedInstanceError(
                f"the elements before the pixels take more than {MAX_KEPT_IN_ALL} bytes"
            )

    def _plain_element(self, tag: int, position: int, available: int, level: _Level) -> int:
        vr, length, header = self._header(tag, position, available, level.is_implicit)
        if header == 0:
            return 0
        start = self._offset + position + header
        holds = _content_of(tag, vr, length)
        if holds != "value":
            implicit = level.is_implicit or vr == b"UN"  # PS3.5 6.2.2, note 2
            self._open(holds, start, length, implicit)
            return header
        if length == UNDEFINED:
            raise MalformedInstanceError(
                f"an element at byte {start - header} is of undefined length, and neither a "
                "sequence nor pixels"
            )
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
        key = _tag(tag)
        if key in self._kept:  # two readers could see two patients (PS3.5 7.1: at most once)
            raise MalformedInstanceError(f"the element {key} appears twice")
        name = None if is_implicit else vr.decode()
        self._count_kept(len(value))
        self._kept[key] = RawDataElement(key, name, len(value), value, 0, is_implicit, self._little)


def _content_of(tag: int, vr: bytes, length: int) -> str:
    """Return what stands in an element instead of a value, if anything.

    Of undefined length only sequences may be, and pixels in fragments; a reader that takes another
    element for a value would pass on whole what another takes for items. Source: PS3.5 7.1.1, A.4.
    """
    if vr == b"SQ":
        return "items"
    if length != UNDEFINED:
        return "value"
    if tag == _PIXEL_DATA or (vr in {b"OB", b"OW"} and tag >> 16 & 1):
        return "fragments"
    return "items" if vr == b"UN" else "value"


def _tag(tag: int) -> BaseTag:
    """Return one and the same object for the same tag: pydicom compares tags slowly."""
    known = _TAGS.get(tag)
    if known is None:
        known = BaseTag(tag)
        if len(_TAGS) < _MOST_TAGS:
            _TAGS[tag] = known
    return known


@lru_cache(maxsize=128)
def _encoding(transfer_syntax_uid: str) -> tuple[bool, bool]:
    """Return whether VRs are implicit, and whether bytes are little endian."""
    syntax = UID(transfer_syntax_uid)
    if not syntax.is_transfer_syntax or syntax.is_private:
        raise MalformedInstanceError("the transfer syntax is not one that we know")
    return syntax.is_implicit_VR, syntax.is_little_endian
