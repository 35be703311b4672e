"""The picture of a secondary capture: a frame with its regions and a caption below it.

The frame keeps its place and its pixels at the top left; the caption is added beneath, so that
nothing of the image is hidden by text. What is written is from `wording` only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from core.findings import Box, Region

Rgb = NDArray[np.uint8]
"""(rows, columns, 3) display values, 0 to 255."""

MIN_COLUMNS = 480
"""A caption on a narrower picture could not be read; the frame is then padded with black."""

_INK = (255, 255, 0)
_SHADOW = (0, 0, 0)
_PAPER = (0, 0, 0)
_TEXT = (255, 255, 255)
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Mark:
    """A region and what stands beside it."""

    region: Region
    label: str


def draw_capture(frame: Rgb | None, marks: Sequence[Mark], caption: Sequence[str]) -> Rgb:
    """Return `frame` with its marks and a caption; without a frame, the caption alone."""
    rows, columns = frame.shape[:2] if frame is not None else (0, 0)
    width = max(columns, MIN_COLUMNS)
    font = _font(max(14, width // 48))
    lines = [line for text in caption for line in _wrapped(text, font, width - 16)]
    step = round(font.size * 1.35) if isinstance(font, ImageFont.FreeTypeFont) else 16
    picture = Image.new("RGB", (width, rows + step * len(lines) + 16), _PAPER)
    if frame is not None:
        picture.paste(Image.fromarray(np.ascontiguousarray(frame), "RGB"), (0, 0))
    pen = ImageDraw.Draw(picture)
    for mark in marks:
        _draw_mark(pen, mark, font, (columns, rows))
    for index, line in enumerate(lines):
        pen.text((8, rows + 8 + index * step), line, fill=_TEXT, font=font)
    return np.asarray(picture, np.uint8)


def _draw_mark(pen: ImageDraw.ImageDraw, mark: Mark, font: _Font, size: tuple[int, int]) -> None:
    """Draw an outline in two colours, so that it shows on any background, and its label."""
    points = _outline(mark.region)
    closed = [*points, points[0]]
    thickness = max(1, round(max(size) / 400))
    pen.line(closed, fill=_SHADOW, width=thickness + 2, joint="curve")
    pen.line(closed, fill=_INK, width=thickness, joint="curve")
    left, top, right, bottom = pen.textbbox((0, 0), mark.label, font=font)
    rightmost = max(0.0, size[0] - (right - left) - 2)
    x = min(rightmost, *(x for x, _ in points))
    above = min(y for _, y in points) - bottom - 3
    below = max(y for _, y in points) + 3
    y = above if above >= 0 else min(below, max(0.0, size[1] - bottom - 2))
    pen.rectangle((x, y + top - 1, x + right - left + 2, y + bottom + 1), fill=_SHADOW)
    pen.text((x + 1, y), mark.label, fill=_INK, font=font)


def _outline(region: Region) -> list[tuple[float, float]]:
    """Return the centres of the pixels on the border: x2 and y2 are exclusive."""
    if isinstance(region, Box):
        x2, y2 = max(region.x1, region.x2 - 1), max(region.y1, region.y2 - 1)
        return [(region.x1, region.y1), (x2, region.y1), (x2, y2), (region.x1, y2)]
    return list(region.points)


def _wrapped(text: str, font: _Font, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _font(size: int) -> _Font:
    return ImageFont.load_default(size)
