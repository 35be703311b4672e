"""Boxes and words over pixels."""

import io

import numpy as np
from PIL import Image

from core.findings import Box
from imaging.encode import native_pixel_data
from imaging.render import Mark, draw, png, to_rgb
from tests.imaging.objects import gradient


def test_nothing_drawn_is_the_picture_itself() -> None:
    assert np.array_equal(draw(gradient()), gradient())


def test_grey_becomes_three_equal_colours() -> None:
    grey = gradient()[:, :, 0]
    assert np.array_equal(draw(grey), np.stack([grey] * 3, axis=-1))


def test_a_box_is_drawn_on_the_pixels_it_holds() -> None:
    """x2 and y2 are exclusive."""
    black = np.zeros((200, 200, 3), np.uint8)
    drawn = draw(black, [Mark(Box(50, 60, 100, 120), "")])
    rows, columns = np.nonzero(drawn[58:].max(axis=2))
    assert (columns.min(), columns.max()) == (50, 99)
    assert rows.max() + 58 == 119


def test_a_caption_stays_in_the_picture() -> None:
    for box in (Box(0, 0, 20, 20), Box(180, 0, 200, 20), Box(180, 180, 200, 200)):
        drawn = draw(np.zeros((200, 200, 3), np.uint8), [Mark(box, "polyp 0.93")])
        assert drawn.shape == (200, 200, 3)
        assert (drawn == (255, 210, 0)).all(axis=2).sum() > 400


def test_the_banner_covers_nothing() -> None:
    drawn = draw(gradient(100, 120), banner=["Not for diagnosis", "polyp 1.0.0"])
    assert np.array_equal(drawn[:100], gradient(100, 120))
    assert drawn.shape[0] > 120
    assert drawn[100:].max() == 255


def test_a_long_banner_is_broken_between_words() -> None:
    short, long = (draw(gradient(50, 120), banner=["many words " * n]) for n in (1, 10))
    assert long.shape[0] > short.shape[0]


def test_png_keeps_every_pixel() -> None:
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(gradient())))), gradient())


def test_pixel_data_has_an_even_length() -> None:
    """PS3.5 8.1.1."""
    assert native_pixel_data(np.ones((1, 1, 3), np.uint8)) == b"\x01\x01\x01\x00"
    assert native_pixel_data(to_rgb(np.ones((1, 2), np.uint8))) == b"\x01" * 6
