"""Pictures for people: boxes, captions and a banner drawn over display values."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from core.findings import Box

Picture = NDArray[np.uint8]

_COLOURS = ((255, 210, 0), (0, 220, 255), (255, 90, 200), (120, 255, 90), (255, 140, 40))
_INK, _PAPER = (255, 255, 255), (0, 0, 0)
_LINES_IN_HEIGHT = 26
_SMALLEST_FONT_PX, _LARGEST_FONT_PX = 11, 64


@dataclass(frozen=True)
class Mark:
    """One box with a few words."""

    box: Box
    caption: str
    colour: int = 0
    """Which of the colours; marks of one kind share one."""


def to_rgb(pixels: Picture) -> Picture:
    """Return (rows, columns, 3) from grey or RGB pixels."""
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, axis=2)
    return pixels


def draw(pixels: Picture, marks: Sequence[Mark] = (), *, banner: Sequence[str] = ()) -> Picture:
    """Return the picture with its marks drawn, and lines of text in a strip added below.

    Positions in the picture stay what they were, because the strip covers nothing.

    Returns
    -------
    (rows + height of the strip, columns, 3)
    """
    rgb = to_rgb(pixels)
    rows, columns = rgb.shape[:2]
    font = _font(rows)
    lines = [piece for line in banner for piece in _wrapped(line, font, columns)]
    line_px = _line_height(font)
    strip = len(lines) * line_px + (line_px // 2 if lines else 0)
    canvas = Image.new("RGB", (columns, rows + strip), _PAPER)
    canvas.paste(Image.fromarray(np.ascontiguousarray(rgb)), (0, 0))
    pen = ImageDraw.Draw(canvas)
    for mark in marks:
        _draw_mark(pen, mark, font, (columns, rows))
    for number, line in enumerate(lines):
        pen.text((line_px // 4, rows + line_px // 4 + number * line_px), line, _INK, font)
    return np.asarray(canvas)


def png(pixels: Picture) -> bytes:
    """Return the picture as a PNG file."""
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "PNG", compress_level=6)
    return out.getvalue()


def _draw_mark(
    pen: ImageDraw.ImageDraw, mark: Mark, font: ImageFont.FreeTypeFont, size: tuple[int, int]
) -> None:
    columns, rows = size
    colour = _COLOURS[mark.colour % len(_COLOURS)]
    stroke = max(1, round(min(size) / 250))
    box = mark.box
    # The last row and column that the box still holds: x2 and y2 are exclusive.
    x1, y1 = max(0, round(box.x1)), max(0, round(box.y1))
    x2, y2 = min(columns, round(box.x2)) - 1, min(rows, round(box.y2)) - 1
    pen.rectangle((x1, y1, max(x1, x2), max(y1, y2)), outline=colour, width=stroke)
    width, height = (int(end) for end in pen.textbbox((0, 0), mark.caption, font)[2:])
    text_x = max(0, min(x1, columns - width - 4))
    text_y = y1 - height - 4 if y1 >= height + 4 else min(y1 + stroke, max(0, rows - height - 4))
    pen.rectangle((text_x, text_y, text_x + width + 4, text_y + height + 3), fill=colour)
    pen.text((text_x + 2, text_y + 1), mark.caption, _PAPER, font)


def _font(rows: int) -> ImageFont.FreeTypeFont:
    """Return the font that Pillow brings along, in a size that fits the picture."""
    size = min(_LARGEST_FONT_PX, max(_SMALLEST_FONT_PX, rows // _LINES_IN_HEIGHT))
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _line_height(font: ImageFont.FreeTypeFont) -> int:
    ascent, descent = font.getmetrics()
    return ascent + descent + 2


def _wrapped(line: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break a line between words so that each piece fits; a long word is left to be cut."""
    pieces = [""]
    for word in line.split():
        longer = f"{pieces[-1]} {word}".strip()
        if not pieces[-1] or font.getlength(longer) <= width - 8:
            pieces[-1] = longer
        else:
            pieces.append(word)
    return pieces
