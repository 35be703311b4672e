"""What is asked of a decoder, and what it says about an object before it decodes anything."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MIB = 1024 * 1024


@dataclass(frozen=True)
class DecoderLimits:
    """What one decoder child may take, and how many there may be."""

    memory_mib: int = 2048
    """Address space of one child; what it starts with takes some 150."""
    deadline_s: float = 30.0
    """Longest wait for the next frame, and processor time for one object or picture."""
    frame_mib: int = 256
    """Size of one decoded frame as the object declares it, checked before it is decoded."""
    object_mib: int = 64 * 1024
    """Size of all decoded frames together, as the object declares them."""
    encoded_mib: int = 512
    """Size of the object or picture itself; a child holds it twice while it parses."""
    children: int = 2
    """How many objects are decoded at the same time."""
    jobs_per_child: int = 200
    """After so many a child is replaced."""
    idle_s: float = 60.0
    """After so long without work all children are ended, to give their memory back; 0 keeps
    them."""


class WindowKind(StrEnum):
    """Where the window comes from that turns modality values into display values."""

    OBJECT = "object"
    """The object's own; without one, all of an 8-bit range, else each frame's own range."""
    FIXED = "fixed"
    PERCENTILE = "percentile"
    """Of each frame by itself."""


@dataclass(frozen=True)
class Window:
    """Which range of modality values becomes black to white. Source: PS3.3 C.11.2."""

    kind: WindowKind = WindowKind.OBJECT
    index: int = 0
    """Which of the object's alternative views."""
    center: float = 0.0
    width: float = 0.0
    low: float = 1.0
    """Percentile that becomes black."""
    high: float = 99.0
    """Percentile that becomes white."""

    @classmethod
    def fixed(cls, center: float, width: float) -> "Window":
        """Return a window in modality units (Hounsfield units for CT)."""
        return cls(WindowKind.FIXED, center=center, width=width)


@dataclass(frozen=True)
class PixelFacts:
    """What the header of an object says about its pixels; empty or 0 where it says nothing."""

    sop_class_uid: str
    transfer_syntax_uid: str
    modality: str
    photometric_interpretation: str
    samples_per_pixel: int
    rows: int
    columns: int
    number_of_frames: int
    bits_allocated: int
    bits_stored: int
    has_pixels: bool

    @property
    def frame_bytes(self) -> int:
        """Size of one decoded frame."""
        sample = max(1, (self.bits_allocated + 7) // 8)
        return self.rows * self.columns * max(1, self.samples_per_pixel) * sample


class DisplayFrame(NamedTuple):
    """One frame as a person would see it."""

    number: int
    """1 for the first, as in Referenced Frame Number (0008,1160)."""
    pixels: NDArray[np.uint8]
    """(rows, columns) grey or (rows, columns, 3) RGB; 0 is black."""
