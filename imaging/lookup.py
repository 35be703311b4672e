"""Lookup tables as objects carry them: modality, VOI and palette.

Source: PS3.3 C.11.1.1, C.7.6.3.1.5
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_color_lut

from core.errors import MalformedInstanceError

PALETTE_COLOURS = ("Red", "Green", "Blue")


@dataclass(frozen=True)
class LookupTable:
    """A table from one range of whole numbers to entries."""

    first: int
    """The value that the first entry belongs to."""
    entries: NDArray[np.uint16]
    bits: int
    """How many bits an entry has."""

    def __call__(self, values: NDArray[Any]) -> NDArray[np.uint16]:
        """Return the entries of `values`; those outside get the first or the last entry."""
        index = np.rint(values).astype(np.int64) - self.first
        return np.asarray(self.entries[np.clip(index, 0, len(self.entries) - 1)])


def table_of(item: Dataset, *, is_signed: bool, is_little_endian: bool) -> LookupTable:
    """Read the table of one item of a Modality or VOI LUT Sequence.

    Raises
    ------
    MalformedInstanceError
        If descriptor and data do not fit each other.
    """
    count, first, bits = _descriptor(item.get("LUTDescriptor"), is_signed=is_signed)
    data = item.get("LUTData")
    if isinstance(data, bytes):
        entries = _entries(data, count, is_little_endian=is_little_endian)
    else:
        entries = np.asarray(data if isinstance(data, list) else list(data or ()), dtype=np.uint16)
    return _checked(first, entries[:count], bits)


def palette_of(
    dataset: Dataset, *, is_signed: bool, is_little_endian: bool
) -> tuple[LookupTable, LookupTable, LookupTable]:
    """Read the red, green and blue table of a PALETTE COLOR image, segmented ones included.

    Raises
    ------
    MalformedInstanceError
        If there are none, or descriptor and data do not fit each other.
    """
    count, first, bits = _descriptor(
        dataset.get("RedPaletteColorLookupTableDescriptor"), is_signed=is_signed
    )
    if "SegmentedRedPaletteColorLookupTableData" in dataset:
        if bits == 8 and count > 256:
            raise MalformedInstanceError("a segmented palette of 8 bits has too many entries")
        expanded = apply_color_lut(np.arange(first, first + count), dataset)
        entries = [expanded[:, colour] for colour in range(3)]
    else:
        data = [dataset.get(f"{name}PaletteColorLookupTableData") for name in PALETTE_COLOURS]
        entries = [_entries(plane, count, is_little_endian=is_little_endian) for plane in data]
    if bits == 16 and max(int(plane.max(initial=0)) for plane in entries) < 256:
        bits = 8  # entries of 8 bits under a descriptor that says 16, seen in the field
    red, green, blue = (_checked(first, plane.astype(np.uint16), bits) for plane in entries)
    return red, green, blue


def _descriptor(value: Any, *, is_signed: bool) -> tuple[int, int, int]:  # noqa: ANN401
    """Return number of entries, first value mapped, bits. Source: PS3.3 C.11.1.1."""
    try:
        count, first, bits = (int(number) for number in value)
    except (TypeError, ValueError):
        raise MalformedInstanceError("the descriptor of a lookup table is no triple") from None
    if first > 0x7FFF and is_signed:
        first -= 0x10000  # the element's VR follows the pixels' sign, its reader may not
    return (count & 0xFFFF) or 0x10000, first, bits


def _entries(data: object, count: int, *, is_little_endian: bool) -> NDArray[np.uint16]:
    """Read entries of 8 or 16 bits from words; which of both, their number tells."""
    if not isinstance(data, bytes) or len(data) < count:
        raise MalformedInstanceError("a lookup table has fewer entries than it announces")
    words = np.frombuffer(data[: len(data) // 2 * 2], dtype="<u2" if is_little_endian else ">u2")
    if len(words) >= count:
        return words[:count].astype(np.uint16)
    low_first = words.astype("<u2").view(np.uint8)
    padded = low_first if len(low_first) >= count else np.frombuffer(data, np.uint8)
    return padded[:count].astype(np.uint16)


def _checked(first: int, entries: NDArray[np.uint16], bits: int) -> LookupTable:
    if not len(entries):
        raise MalformedInstanceError("a lookup table is empty")
    needed = int(entries.max()).bit_length()
    return LookupTable(first, entries, max(bits, needed, 1))
