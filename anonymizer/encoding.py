"""Write a data set as bytes. Source: PS3.5 7.1 (elements), 7.5 (sequences), A.4 (fragments).

Most of a released object is passed on as it came, so most of writing is joining: the pixels are
copied once. Elements that pydicom has already parsed are written by pydicom.
"""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element

UNDEFINED = 0xFFFFFFFF
LONGEST_SHORT = 0xFFFF
_LONG_VRS = frozenset(
    ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
)
"""VRs with a 32-bit length in explicit encoding. Source: PS3.5 Table 7.1-1."""
_ITEM, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)


@dataclass(frozen=True)
class Encoding:
    """How a data set is encoded."""

    is_implicit: bool
    is_little: bool

    @property
    def order(self) -> str:
        """The byte order, as `struct` names it."""
        return "<" if self.is_little else ">"


def encode(dataset: Dataset, encoding: Encoding, codecs: list[str]) -> bytes:
    """Return the bytes of `dataset`; `codecs` is what its texts are written in."""
    return b"".join(_Encoder(encoding, codecs).pieces(dataset))


def deflate(encoded: bytes) -> bytes:
    """Deflate an encoded data set, padded to even length. Source: PS3.5 A.5."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = compressor.compress(encoded) + compressor.flush()
    return deflated + b"\0" * (len(deflated) % 2)


class _Encoder:
    def __init__(self, encoding: Encoding, codecs: list[str]) -> None:
        self._encoding = encoding
        self._codecs = codecs
        self._implicit = struct.Struct(f"{encoding.order}HHI")
        self._short = struct.Struct(f"{encoding.order}HH2sH")
        self._long = struct.Struct(f"{encoding.order}HH2sHI")

    def pieces(self, dataset: Dataset) -> Iterable[bytes]:
        """Return the bytes of a data set or item, in pieces."""
        pieces: list[bytes] = []
        for tag in sorted(dataset.keys()):
            element = dataset.get_item(tag)
            if isinstance(element, RawDataElement):
                self._raw(element, pieces)
            elif isinstance(element, DataElement):
                self._parsed(element, pieces)
        return pieces

    def _raw(self, element: RawDataElement, pieces: list[bytes]) -> None:
        value = element.value or b""
        if element.length == UNDEFINED:
            pieces += (
                self._header(element.tag, element.VR or "OB", UNDEFINED),
                value,
                self._implicit.pack(*_SEQUENCE_END, 0),
            )
        else:
            pieces += (self._header(element.tag, element.VR or "UN", len(value)), value)

    def _parsed(self, element: DataElement, pieces: list[bytes]) -> None:
        if element.VR != "SQ":
            target = DicomBytesIO()
            target.is_implicit_VR = self._encoding.is_implicit
            target.is_little_endian = self._encoding.is_little
            write_data_element(target, element, self._codecs)
            pieces.append(target.getvalue())
            return
        content: list[bytes] = []
        for item in element.value:
            encoded = b"".join(self.pieces(item))
            content += (self._implicit.pack(*_ITEM, len(encoded)), encoded)
        pieces.append(self._header(element.tag, "SQ", sum(map(len, content))))
        pieces += content

    def _header(self, tag: int, vr: str, length: int) -> bytes:
        group, number = tag >> 16, tag & 0xFFFF
        if self._encoding.is_implicit:
            return self._implicit.pack(group, number, length)
        if vr not in _LONG_VRS and length > LONGEST_SHORT:
            vr = "UN"  # PS3.5 6.2.2, note 4
        if vr in _LONG_VRS:
            return self._long.pack(group, number, vr.encode(), 0, length)
        return self._short.pack(group, number, vr.encode(), length)
