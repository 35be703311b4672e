"""Pixels back into an object. Source: PS3.5 8.1.1, 8.2 (native encoding)."""

import numpy as np
from numpy.typing import NDArray


def native_pixel_data(pixels: NDArray[np.uint8]) -> bytes:
    """Return the value of Pixel Data for 8-bit pixels, Planar Configuration 0, of even length.

    Parameters
    ----------
    pixels : (rows, columns[, 3]) or (frames, rows, columns[, 3])
    """
    encoded = np.ascontiguousarray(pixels).tobytes()
    return encoded + b"\x00" * (len(encoded) % 2)
