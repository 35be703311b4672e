"""Stored to modality to display values: three different numbers. Source: PS3.3 C.11."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import convert_color_space

from core.errors import InputError, MalformedInstanceError, UnsupportedPixelsError
from imaging.facts import Window, WindowKind
from imaging.lookup import LookupTable, palette_of, table_of
from imaging.stored import StoredFrame, transfer_syntax

Values = NDArray[Any]
Display = NDArray[np.uint8]
_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_ROWS_AT_ONCE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Voi:
    """A range of modality values and how it becomes black to white. Source: PS3.3 C.11.2.1."""

    center: float
    width: float
    function: str = "LINEAR_EXACT"

    @classmethod
    def spanning(cls, low: float, high: float) -> "Voi":
        """Return the window whose black is `low` and whose white is `high`."""
        return cls((low + high) / 2, max(high - low, 1e-12))

    def __call__(self, modality: Values) -> Values:
        """Return `modality` as numbers from 0 (black) to 1 (white)."""
        if self.function == "SIGMOID":
            power = np.clip(-4 * (modality - self.center) / self.width, -700, 700)
            return 1 / (1 + np.exp(power))
        if self.function == "LINEAR" and self.width > 1:
            scaled = (modality - (self.center - 0.5)) / (self.width - 1) + 0.5
        else:
            scaled = (modality - self.center) / self.width + 0.5
        return np.clip(scaled, 0, 1)


@dataclass(frozen=True)
class Rescale:
    """Modality values as a line through the stored ones. Source: PS3.3 C.11.1."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, stored: Values) -> Values:
        """Return modality values, as float64."""
        return stored.astype(np.float64) * self.slope + self.intercept


@dataclass(frozen=True)
class Grey:
    """Everything about one frame of grey values but its window."""

    modality: Rescale | LookupTable
    is_inverse: bool
    bits_stored: int
    is_signed: bool
    padding: tuple[int, int] | None
    """Stored values from and up to which a pixel is outside the image."""


def display_frame(
    frame: StoredFrame,
    dataset: Dataset,
    window: Window = Window(),  # noqa: B008 - frozen
) -> Display:
    """Return what a person would see of `frame`.

    Returns
    -------
    (rows, columns) for grey values, (rows, columns, 3) RGB for colours

    Raises
    ------
    InputError
        If the object has no such window, or its tables are malformed.
    UnsupportedPixelsError
        If the colours are of a kind that we do not know.
    """
    if frame.photometric_interpretation in _GREY:
        return _display_grey(frame, frame_parameters(dataset, frame.number), window)
    if frame.photometric_interpretation == "PALETTE COLOR":
        tables = palette_of(
            dataset, is_signed=_is_signed(dataset), is_little_endian=_is_little_endian(dataset)
        )
        planes = [_to_8_bits(table(frame.values), table.bits) for table in tables]
        return np.stack(planes, axis=-1)
    return _display_colour(frame, dataset)


def frame_parameters(dataset: Dataset, number: int) -> Dataset:
    """Return the value transformations of one frame of a multi-frame object, gathered.

    Those of the frame come before those shared by all, and those before the object's own.
    Source: PS3.3 C.7.6.16.2.9, C.7.6.16.2.10
    """
    gathered = Dataset()
    shared = _items(dataset, "SharedFunctionalGroupsSequence")[:1]
    per_frame = _items(dataset, "PerFrameFunctionalGroupsSequence")[number - 1 : number]
    groups = [
        item
        for group in (*shared, *per_frame)
        for keyword in ("PixelValueTransformationSequence", "FrameVOILUTSequence")
        for item in _items(group, keyword)[:1]
    ]
    for source in (dataset, *groups):
        _replace(gathered, source, ("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"))
        _replace(
            gathered,
            source,
            ("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"),
        )
    _replace(gathered, dataset, _OBJECT_KEYWORDS)
    gathered.file_meta = dataset.file_meta
    return gathered


_OBJECT_KEYWORDS = (
    "PhotometricInterpretation",
    "PixelRepresentation",
    "BitsStored",
    "BitsAllocated",
    "PresentationLUTShape",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
)


def _replace(target: Dataset, source: Dataset, keywords: tuple[str, ...]) -> None:
    """Copy these elements, all of them or none: an inner group replaces an outer one whole."""
    found = [keyword for keyword in keywords if keyword in source]
    if not found:
        return
    for keyword in keywords:
        if keyword in target:
            del target[keyword]
    for keyword in found:
        target[keyword] = source[keyword]


def _display_grey(frame: StoredFrame, parameters: Dataset, window: Window) -> Display:
    grey = _grey(parameters)
    voi = _voi(parameters, grey, frame.values, window)

    def shown(stored: Values) -> Display:
        level = voi(grey.modality(stored))
        if isinstance(voi, LookupTable):
            level = level / (2.0**voi.bits - 1)
        if grey.is_inverse:
            level = 1 - level
        return np.nan_to_num(np.asarray(level * 255 + 0.5)).astype(np.uint8)

    return _by_value(frame.values, shown)


def _by_value(stored: Values, shown: Callable[[Values], Display]) -> Display:
    """Apply `shown` once to each possible value where that is cheaper, else strip by strip."""
    if stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2:
        unsigned = np.dtype(f"u{stored.dtype.itemsize}")
        native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
        possible = np.arange(2 ** (8 * unsigned.itemsize), dtype=unsigned).view(native.dtype)
        table = shown(possible)
        return np.asarray(table[np.ascontiguousarray(native).view(unsigned)])
    out = np.empty(stored.shape, np.uint8)
    strip = max(1, _ROWS_AT_ONCE_BYTES // max(1, stored[0].nbytes))
    for start in range(0, len(stored), strip):
        out[start : start + strip] = shown(stored[start : start + strip])
    return out


def _grey(parameters: Dataset) -> Grey:
    is_signed = _is_signed(parameters)
    modality: Rescale | LookupTable = Rescale(
        _number(parameters, "RescaleSlope", 1.0), _number(parameters, "RescaleIntercept", 0.0)
    )
    for item in _tables(parameters, "ModalityLUTSequence")[:1]:
        modality = table_of(
            item, is_signed=is_signed, is_little_endian=_is_little_endian(parameters)
        )
    return Grey(
        modality,
        is_inverse=_is_inverse(parameters),
        bits_stored=int(_number(parameters, "BitsStored", _number(parameters, "BitsAllocated", 8))),
        is_signed=is_signed,
        padding=_padding(parameters),
    )


def _is_inverse(parameters: Dataset) -> bool:
    """Return whether the lowest value is white. Source: PS3.3 C.11.6.1.2, C.7.6.3.1.2."""
    shape = parameters.get("PresentationLUTShape")
    if shape in {"IDENTITY", "INVERSE"}:
        return bool(shape == "INVERSE")
    return bool(parameters.get("PhotometricInterpretation") == "MONOCHROME1")


def _voi(
    parameters: Dataset, grey: Grey, stored: Values, window: Window
) -> Callable[[Values], Values]:
    if window.kind is WindowKind.FIXED:
        return Voi(window.center, window.width, "LINEAR")
    if window.kind is WindowKind.PERCENTILE:
        return _percentiles(grey, stored, window)
    of_object = _object_voi(parameters, grey, window.index)
    if of_object is not None:
        return of_object
    if stored.dtype.kind in "iu" and grey.bits_stored <= 8:
        return Voi.spanning(*_modality_range(grey, *_stored_range(grey)))
    inside = _inside(grey, stored)
    return Voi.spanning(*_modality_range(grey, inside.min(), inside.max()))


def _object_voi(parameters: Dataset, grey: Grey, index: int) -> Callable[[Values], Values] | None:
    """Return the object's own view of this index: its LUTs first, then its windows."""
    tables = _tables(parameters, "VOILUTSequence")
    if index < len(tables):
        # The modality values that the table maps are signed as soon as they can be negative.
        is_signed = min(_modality_range(grey, *_stored_range(grey))) < 0
        return table_of(
            tables[index],
            is_signed=is_signed,
            is_little_endian=_is_little_endian(parameters),
        )
    centers, widths = _numbers(parameters, "WindowCenter"), _numbers(parameters, "WindowWidth")
    windows = [pair for pair in zip(centers, widths, strict=False) if pair[1] > 0]
    if index - len(tables) < len(windows):
        center, width = windows[index - len(tables)]
        return Voi(center, width, str(parameters.get("VOILUTFunction") or "LINEAR"))
    if index:
        raise InputError(f"the object has no view {index + 1}")
    return None


def _percentiles(grey: Grey, stored: Values, window: Window) -> Voi:
    low, high = np.percentile(_inside(grey, stored), [window.low, window.high])
    return Voi.spanning(*_modality_range(grey, low, high))


def _inside(grey: Grey, stored: Values) -> Values:
    """Return the values that are not padding; all of them if nothing else is there."""
    values = stored[np.isfinite(stored)] if stored.dtype.kind == "f" else stored
    if grey.padding is not None:
        low, high = grey.padding
        inside = values[(values < low) | (values > high)]
        values = inside if inside.size else values
    if not values.size:
        raise UnsupportedPixelsError("the frame holds no finite value")
    return values


def _modality_range(grey: Grey, low: float, high: float) -> tuple[float, float]:
    ends = grey.modality(np.array([low, high], dtype=np.float64))
    if isinstance(grey.modality, LookupTable):
        between = grey.modality(np.linspace(low, high, 4096))
        return float(between.min()), float(between.max())
    return float(ends.min()), float(ends.max())


def _stored_range(grey: Grey) -> tuple[int, int]:
    bits = grey.bits_stored
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if grey.is_signed else (0, 2**bits - 1)


def _display_colour(frame: StoredFrame, dataset: Dataset) -> Display:
    values, kind = frame.values, frame.photometric_interpretation
    if values.ndim != 3 or values.shape[2] != 3 or values.dtype.kind not in "iu":
        raise UnsupportedPixelsError("the colours are not three whole numbers a pixel")
    bits = int(_number(dataset, "BitsStored", 8 * values.dtype.itemsize))
    levels = _to_8_bits(values, bits)
    if kind in {"YBR_FULL", "YBR_FULL_422"}:
        return np.asarray(convert_color_space(levels, "YBR_FULL", "RGB"))
    if kind not in {"RGB", "YBR_ICT", "YBR_RCT"}:  # the last two are undone by their decoder
        raise UnsupportedPixelsError("the colour space is none that we can show")
    return levels


def _to_8_bits(values: Values, bits: int) -> Display:
    if bits == 8:
        return values.astype(np.uint8)
    if bits > 16:
        return np.asarray(values >> (bits - 8)).astype(np.uint8)
    top = 2**bits - 1
    return np.asarray((values.astype(np.uint32) * 255 + top // 2) // top).astype(np.uint8)


def _padding(parameters: Dataset) -> tuple[int, int] | None:
    """Return the range of Pixel Padding Values. Source: PS3.3 C.7.5.1.1.2."""
    if parameters.get("PixelPaddingValue") is None:
        return None
    first = int(_number(parameters, "PixelPaddingValue", 0))
    last = int(_number(parameters, "PixelPaddingRangeLimit", first))
    return min(first, last), max(first, last)


def _is_signed(parameters: Dataset) -> bool:
    return bool(parameters.get("PixelRepresentation") == 1)


def _is_little_endian(parameters: Dataset) -> bool:
    syntax = transfer_syntax(parameters)
    return syntax is None or bool(syntax.is_little_endian)


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    return list(dataset.get(keyword) or ())


def _tables(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Return the items that hold a table; some writers leave an empty one."""
    return [item for item in _items(dataset, keyword) if item.get("LUTDescriptor") is not None]


def _number(parameters: Dataset, keyword: str, default: float) -> float:
    numbers = _numbers(parameters, keyword)
    return numbers[0] if numbers else default


def _numbers(parameters: Dataset, keyword: str) -> list[float]:
    value: Any = parameters.get(keyword)
    several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    try:
        return [float(one) for one in several if one is not None and one != ""]
    except (TypeError, ValueError):
        raise MalformedInstanceError(f"{keyword} is no number") from None
