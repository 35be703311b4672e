"""Stored values out of an object, in whatever transfer syntax it came. Runs in a decoder child.

Source: PS3.5 8 and A.4 (encodings), PS3.3 C.7.6.3 (Image Pixel Module)
"""

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID

from core.errors import MalformedInstanceError, ServiceError, UnsupportedPixelsError
from core.limits import DataSetLimits
from core.part10 import parse_file
from imaging.errors import NoPixelsError, PixelBudgetError
from imaging.facts import MIB, DecoderLimits, PixelFacts

PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


class StoredFrame(NamedTuple):
    """One decoded frame."""

    number: int
    values: NDArray[Any]
    """(rows, columns) or (rows, columns, samples), sign settled, colour by pixel."""
    photometric_interpretation: str
    """Of the values, which may differ from the object's: decoders turn YBR into RGB."""


def read_object(part10: BinaryIO, limits: DecoderLimits) -> Dataset:
    """Parse a Part 10 file; one that lost its preamble is read, too.

    Raises
    ------
    MalformedInstanceError
        If it is none, cannot be read to its end, or inflates to more than `encoded_mib`.
    """
    # Whether it is a bomb was judged when it came; here the length counts, and the address space.
    bound = DataSetLimits(max_inflated_bytes=limits.encoded_mib * MIB, max_inflation_ratio=1032)
    try:
        dataset = parse_file(part10, bound)
    except RecursionError:
        raise MalformedInstanceError("sequences are nested too deeply") from None
    except (ServiceError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - pydicom lets a dozen types escape (NET-7)
        raise MalformedInstanceError(f"the object cannot be read ({_kind(error)})") from None
    if transfer_syntax(dataset) is None:
        raise MalformedInstanceError(
            "the object names no transfer syntax",
            remedy="Send Part 10 files with a file meta group",
        )
    dataset.buffer = None  # it holds on to the file, whose pixels are in the data set now
    return dataset


def pixel_facts(dataset: Dataset) -> PixelFacts:
    """Return what the header says about the pixels.

    Raises
    ------
    MalformedInstanceError
        If it says something that is no number where one belongs.
    """
    bits_allocated = _integer(dataset, "BitsAllocated")
    return PixelFacts(
        sop_class_uid=_text(dataset, "SOPClassUID"),
        transfer_syntax_uid=str(transfer_syntax(dataset) or ""),
        modality=_text(dataset, "Modality"),
        photometric_interpretation=_text(dataset, "PhotometricInterpretation"),
        samples_per_pixel=_integer(dataset, "SamplesPerPixel", 1),
        rows=_integer(dataset, "Rows"),
        columns=_integer(dataset, "Columns"),
        number_of_frames=max(1, _integer(dataset, "NumberOfFrames", 1)),
        bits_allocated=bits_allocated,
        bits_stored=_integer(dataset, "BitsStored", bits_allocated),
        has_pixels=any(keyword in dataset for keyword in PIXEL_KEYWORDS),
    )


def check_budget(facts: PixelFacts, limits: DecoderLimits) -> None:
    """Refuse pixels that are too large, before any of them is decoded.

    Raises
    ------
    NoPixelsError
        If there are none.
    PixelBudgetError
        If rows x columns x samples x bytes, or that times the frames, is beyond the limit.
    """
    if not facts.has_pixels or facts.frame_bytes == 0:
        raise NoPixelsError("the object holds no pixels")
    size = f"{facts.columns} x {facts.rows} pixels of {facts.samples_per_pixel} samples"
    if facts.frame_bytes > limits.frame_mib * MIB:
        raise PixelBudgetError(
            f"a frame of {size} takes more than {limits.frame_mib} MiB",
            remedy="If such frames are meant to be read, raise inference.decoder.frame_mib",
        )
    if facts.frame_bytes * facts.number_of_frames > limits.object_mib * MIB:
        raise PixelBudgetError(
            f"{facts.number_of_frames} frames of {size} take more than {limits.object_mib} MiB",
            remedy="If such objects are meant to be read, raise inference.decoder.object_mib",
        )


def stored_frames(
    dataset: Dataset, facts: PixelFacts, numbers: Sequence[int] | None = None
) -> Iterator[StoredFrame]:
    """Decode the frames of these numbers (1 for the first; None for all), one at a time.

    Raises
    ------
    UnsupportedPixelsError
        If no decoder here can, or the pixels end before the last frame.
    """
    wanted = range(1, facts.number_of_frames + 1) if numbers is None else numbers
    if not wanted or min(wanted) < 1 or max(wanted) > facts.number_of_frames:
        raise NoPixelsError(f"the object has the frames 1 to {facts.number_of_frames} only")
    found = 0
    try:
        decoded = _arrays(dataset, facts, None if numbers is None else [n - 1 for n in wanted])
        for number, (values, properties) in zip(wanted, decoded, strict=False):
            found += 1
            yield StoredFrame(
                number,
                _aligned(values, dataset, facts),
                str(properties.get("photometric_interpretation", "")),
            )
    except (ServiceError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - a decoder may fail in any way
        raise UnsupportedPixelsError(
            f"no decoder here reads these pixels ({_syntax_name(facts)}: {_kind(error)})"
        ) from None
    if found < len(wanted):
        raise UnsupportedPixelsError(f"the pixels end after {found} of {len(wanted)} frames")


def transfer_syntax(dataset: Dataset) -> UID | None:
    """Return the transfer syntax that the file names."""
    meta = getattr(dataset, "file_meta", None)
    value = None if meta is None else meta.get("TransferSyntaxUID")
    return value if isinstance(value, UID) else None


def _arrays(
    dataset: Dataset, facts: PixelFacts, indices: list[int] | None
) -> Iterator[tuple[NDArray[Any], dict[str, str | int]]]:
    decoder = get_decoder(UID(facts.transfer_syntax_uid))
    as_stored = _is_shifted(dataset, facts)
    return decoder.iter_array(dataset, indices=indices, correct_unused_bits=not as_stored)


def _is_shifted(dataset: Dataset, facts: PixelFacts) -> bool:
    """Return whether the stored bits end above bit 0, a retired but living habit."""
    high_bit = _integer(dataset, "HighBit", facts.bits_stored - 1)
    is_native = not UID(facts.transfer_syntax_uid).is_compressed
    return is_native and facts.bits_stored <= high_bit < facts.bits_allocated


def _aligned(values: NDArray[Any], dataset: Dataset, facts: PixelFacts) -> NDArray[Any]:
    """Move the stored bits down to bit 0. Source: PS3.5 8.1.1."""
    if not _is_shifted(dataset, facts) or values.dtype.kind not in "iu":
        return values
    above = values.dtype.itemsize * 8 - 1 - _integer(dataset, "HighBit")
    below = values.dtype.itemsize * 8 - facts.bits_stored
    return (values << above) >> below  # the right shift extends the sign of a signed type


def _syntax_name(facts: PixelFacts) -> str:
    syntax = UID(facts.transfer_syntax_uid)
    if not syntax or syntax.is_private or not syntax.is_transfer_syntax:
        return "unknown transfer syntax"
    return syntax.name


def _text(dataset: Dataset, keyword: str) -> str:
    value = _get(dataset, keyword)
    if isinstance(value, Items | bytes):  # its text would be that of everything inside
        raise MalformedInstanceError(f"{keyword} is no text")
    return "" if value is None else str(value).strip(" \0")


def _integer(dataset: Dataset, keyword: str, default: int = 0) -> int:
    value = _get(dataset, keyword)
    if value is None or value == "":
        return default
    try:
        return int(value)
    except (TypeError, ValueError):
        raise MalformedInstanceError(f"{keyword} is no number") from None


def _get(dataset: Dataset, keyword: str) -> Any:  # noqa: ANN401 - pydicom's own type
    try:
        return dataset.get(keyword)
    except Exception as error:  # noqa: BLE001 - pydicom lets a dozen types escape (NET-7)
        # The chain is cut: the text of a decoder's error may hold the value.
        raise MalformedInstanceError(f"{keyword} cannot be read ({_kind(error)})") from None


def _kind(error: Exception) -> str:
    return type(error).__name__
