"""Display values out of objects and pictures, and named refusals out of everything else."""

import csv
import io
from collections.abc import Iterator
from contextlib import suppress
from random import Random

import numpy as np
import pytest
from PIL import Image

from core.errors import InputError, MalformedInstanceError
from imaging.decode import Decoder
from imaging.errors import (
    DecoderCrashError,
    DecoderTimeoutError,
    MalformedPictureError,
    NoPixelsError,
)
from imaging.facts import DecoderLimits, Window
from tests.imaging.objects import colour_object, gradient, multiframe_object, part10
from tests.support.builders import ct_image
from tests.support.data import data_folder


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(DecoderLimits(deadline_s=20)) as shared:
        yield shared


def test_colours_come_back_as_they_were(decoder: Decoder) -> None:
    (pixels,) = decoder.display_frames(colour_object())
    assert np.array_equal(pixels, gradient())


def test_facts_are_known_before_anything_is_decoded(decoder: Decoder) -> None:
    facts = decoder.facts(multiframe_object(3))
    assert (facts.modality, facts.photometric_interpretation) == ("ES", "RGB")
    assert (facts.rows, facts.columns, facts.number_of_frames) == (16, 16, 3)


def test_frames_are_numbered_from_one_and_can_be_chosen(decoder: Decoder) -> None:
    chosen = list(decoder.iter_display_frames(multiframe_object(5), frames=[2, 5]))
    assert [(frame.number, int(frame.pixels.max())) for frame in chosen] == [(2, 2), (5, 5)]


@pytest.mark.parametrize("numbers", [[0], [4], []])
def test_a_frame_that_is_not_there_is_refused(decoder: Decoder, numbers: list[int]) -> None:
    with pytest.raises(NoPixelsError, match="frames 1 to 3 only"):
        decoder.display_frames(multiframe_object(3), frames=numbers)


def test_many_frames_stream_and_may_be_left_half_way(decoder: Decoder) -> None:
    frames = decoder.iter_display_frames(multiframe_object(1000, side=64))
    assert [next(frames).number for _ in range(3)] == [1, 2, 3]
    frames.close()  # type: ignore[attr-defined] # a generator, as everybody who stops early knows
    assert len(decoder.display_frames(colour_object())) == 1


def test_one_object_can_be_shown_with_several_windows(decoder: Decoder) -> None:
    stored = np.array([[1024, 1064]], np.int16).repeat(2, axis=0)
    encoded = part10(ct_image(stored))
    with decoder.open_object((encoded,), len(encoded)) as opened:
        soft = next(iter(list(opened.frames(window=Window.fixed(40, 400)))))
        narrow = next(iter(list(opened.frames(window=Window.fixed(40, 2)))))
    assert soft.pixels[0].tolist() == [102, 128]
    assert narrow.pixels[0].tolist() == [0, 255]


def test_an_object_may_come_in_pieces(decoder: Decoder) -> None:
    encoded = colour_object()
    pieces = (encoded[start : start + 7] for start in range(0, len(encoded), 7))
    with decoder.open_object(pieces, len(encoded)) as opened:
        assert opened.facts.columns == 40


@pytest.mark.parametrize("junk", [b"", b"junk", b"\0" * 128 + b"DICM", bytes(1000)])
def test_what_is_no_object_is_refused(decoder: Decoder, junk: bytes) -> None:
    with pytest.raises(MalformedInstanceError):
        decoder.display_frames(junk)


@pytest.mark.parametrize(("mode", "shape"), [("RGB", (24, 40, 3)), ("L", (24, 40))])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_pictures_are_decoded(
    decoder: Decoder, kind: str, mode: str, shape: tuple[int, ...]
) -> None:
    out = io.BytesIO()
    picture = Image.fromarray(gradient()).convert(mode)
    picture.save(out, kind, **({"quality": 95, "subsampling": 0} if kind == "JPEG" else {}))
    pixels = decoder.picture(out.getvalue())
    assert pixels.shape == shape
    assert np.abs(pixels.astype(int) - np.asarray(picture).astype(int)).max() <= 8


@pytest.mark.parametrize("junk", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a"])
def test_what_is_no_picture_is_refused(decoder: Decoder, junk: bytes) -> None:
    with pytest.raises(MalformedPictureError):
        decoder.picture(junk)


def test_every_readable_file_of_the_corpus_is_shown_and_the_others_are_refused_by_name(
    decoder: Decoder,
) -> None:
    folder = data_folder() / "dicom"
    with (folder / "INDEX.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    wrong = []
    for row in rows:
        shown = 0
        try:
            shown = sum(1 for _ in decoder.iter_display_frames((folder / row["file"]).read_bytes()))
        except InputError as error:
            if isinstance(error, DecoderCrashError | DecoderTimeoutError):
                wrong.append(f"{row['file']}: {error}")
        expected = int(row["frames"] or 1) if row["pydicom_decode"] == "ok" else 0
        if shown < expected:
            wrong.append(f"{row['file']}: {shown} frames of {expected}")
    assert rows
    assert wrong == []


@pytest.mark.parametrize("seed", range(8))
def test_damaged_objects_end_in_pixels_or_in_a_refusal(decoder: Decoder, seed: int) -> None:
    """Nothing but our own errors escapes, whatever bytes come."""
    random = Random(seed)
    names = ["transfer_syntax", "photometric_bits", "objects", "modality"]
    files = sorted(
        path
        for name in names
        for path in (data_folder() / "dicom" / name).rglob("*.dcm")
        if path.stat().st_size < 100_000
    )
    for _ in range(15):
        damaged = bytearray(random.choice(files).read_bytes())
        for _ in range(random.choice([1, 3, 30])):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        with suppress(InputError):
            decoder.display_frames(damaged[: random.randrange(len(damaged)) or None])
