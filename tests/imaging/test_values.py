"""Stored to modality to display values. Expected values are worked out from PS3.3 C.11."""

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian

from core.errors import InputError, MalformedInstanceError, UnsupportedPixelsError
from imaging.facts import Window, WindowKind
from imaging.stored import StoredFrame
from imaging.values import Voi, display_frame, frame_parameters
from tests.imaging.objects import grey_parameters


def shown(
    stored: list[int] | NDArray[np.generic], dataset: Dataset, window: Window | None = None
) -> list[int]:
    """Return the display values of one row of grey pixels."""
    values = np.asarray(stored)
    if values.dtype == np.int64:
        signed = dataset.PixelRepresentation == 1
        values = values.astype(f"{'i' if signed else 'u'}{dataset.BitsAllocated // 8}")
    frame = StoredFrame(1, values[None], dataset.PhotometricInterpretation)
    return [int(one) for one in display_frame(frame, dataset, window or Window())[0]]


def item(**elements: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def table(first: int, entries: list[int], bits: int = 16) -> Dataset:
    return item(LUTDescriptor=[len(entries), first, bits], LUTData=entries)


def deep(**elements: object) -> Dataset:
    """Return a 16-bit signed data set."""
    return grey_parameters(
        BitsAllocated=16, BitsStored=16, HighBit=15, PixelRepresentation=1, **elements
    )


def test_eight_bits_without_a_window_are_shown_as_they_are() -> None:
    assert shown([0, 1, 128, 255], grey_parameters()) == [0, 1, 128, 255]


def test_monochrome1_shows_its_lowest_value_white() -> None:
    dataset = grey_parameters(PhotometricInterpretation="MONOCHROME1")
    assert shown([0, 55, 255], dataset) == [255, 200, 0]


@pytest.mark.parametrize(
    ("photometric", "shape", "expected"),
    [
        ("MONOCHROME2", "INVERSE", [255, 0]),
        ("MONOCHROME1", "INVERSE", [255, 0]),
        ("MONOCHROME2", "IDENTITY", [0, 255]),
    ],
)
def test_presentation_lut_shape_settles_what_is_white(
    photometric: str, shape: str, expected: list[int]
) -> None:
    """PS3.3 C.11.6.1.2."""
    dataset = grey_parameters(PhotometricInterpretation=photometric, PresentationLUTShape=shape)
    assert shown([0, 255], dataset) == expected


def test_linear_window_is_that_of_the_standard() -> None:
    """PS3.3 C.11.2.1.2.1, the example of centre 2048 and width 4096, and that of 0 and 100."""
    wide = Voi(2048, 4096, "LINEAR")
    assert wide(np.array([0.0, 4095.0])).tolist() == [0, 1]
    narrow = Voi(0, 100, "LINEAR")
    assert narrow(np.array([-50.0, 49.0])).tolist() == [0, 1]
    assert narrow(np.array([-0.5]))[0] == pytest.approx(0.5)


def test_linear_exact_window_is_that_of_the_standard() -> None:
    """PS3.3 C.11.2.1.3.2."""
    exact = Voi(2048, 4096, "LINEAR_EXACT")
    assert exact(np.array([0.0, 2048.0, 4096.0])).tolist() == [0, 0.5, 1]


def test_sigmoid_window_is_that_of_the_standard() -> None:
    """PS3.3 C.11.2.1.3.1."""
    sigmoid = Voi(100, 40, "SIGMOID")
    assert sigmoid(np.array([100.0]))[0] == pytest.approx(0.5)
    assert sigmoid(np.array([110.0]))[0] == pytest.approx(1 / (1 + np.exp(-1)))


def test_rescale_comes_before_the_window() -> None:
    dataset = deep(RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=0, WindowWidth=201)
    assert shown([400, 450, 500, 550, 600], dataset) == [0, 1, 128, 255, 255]


def test_the_second_window_is_shown_when_asked_for() -> None:
    dataset = deep(WindowCenter=[0, 1000], WindowWidth=[2, 2])
    assert shown([500], dataset) == [255]
    assert shown([500], dataset, Window(index=1)) == [0]
    with pytest.raises(InputError, match="no view 3"):
        shown([500], dataset, Window(index=2))


def test_a_window_without_width_is_none() -> None:
    assert shown([0, 1000], deep(WindowCenter=5, WindowWidth=0)) == [0, 255]


def test_more_than_eight_bits_without_a_window_span_the_frame_but_for_its_padding() -> None:
    dataset = deep(PixelPaddingValue=-2000)
    assert shown([-2000, 100, 150, 200], dataset) == [0, 0, 128, 255]


def test_percentiles_leave_out_what_is_rare() -> None:
    window = Window(WindowKind.PERCENTILE, low=1, high=99)
    stored = np.array([0] * 500 + [100] * 499 + [30000], np.int16)
    assert shown(stored, deep(), window)[-2:] == [255, 255]


def test_modality_lut_maps_and_holds_its_ends() -> None:
    """PS3.3 C.11.1.1."""
    dataset = deep(
        ModalityLUTSequence=[table(10, [100, 200, 300])], WindowCenter=200.5, WindowWidth=201
    )
    assert shown([-5, 10, 11, 12, 99], dataset) == [0, 0, 128, 255, 255]


def test_voi_lut_wins_over_the_window() -> None:
    dataset = deep(
        VOILUTSequence=[table(0, [0, 65535])],
        WindowCenter=0,
        WindowWidth=1,
        RescaleIntercept=-1,
        RescaleSlope=1,
    )
    assert shown([0, 1, 2, 9], dataset) == [0, 0, 255, 255]


def test_voi_lut_may_begin_below_zero() -> None:
    """The first value mapped, 65534, is -2 where modality values are signed. PS3.3 C.11.2.1.1."""
    dataset = deep(VOILUTSequence=[table(65534, [0, 1023, 2047, 4095], bits=12)])
    assert shown([-2, -1, 0, 1], dataset) == [0, 64, 127, 255]


def test_a_lut_of_words_is_read_in_the_order_of_its_syntax() -> None:
    lut = item(LUTDescriptor=[2, 0, 16])
    lut.add_new("LUTData", "OW", b"\x00\x10\xff\xff")
    dataset = deep(VOILUTSequence=[lut])
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    assert shown([0, 1], dataset) == [0, 255]


def test_a_lut_that_is_too_short_is_refused() -> None:
    lut = item(LUTDescriptor=[8, 0, 16])
    lut.add_new("LUTData", "OW", b"\x00\x10")
    with pytest.raises(MalformedInstanceError, match="fewer entries"):
        shown([0], deep(VOILUTSequence=[lut]))


def test_thirty_two_bits_and_floats_are_shown_between_their_ends() -> None:
    dataset = grey_parameters(BitsAllocated=32, BitsStored=32)
    assert shown([0, 2_000_000_000, 4_000_000_000], dataset) == [0, 128, 255]
    floats = np.array([-1.0, np.nan, 0.0, 1.0], np.float32)
    assert shown(floats, dataset) == [0, 0, 128, 255]


def test_functional_groups_of_a_frame_come_before_shared_ones() -> None:
    """PS3.3 C.7.6.16.2.9 and C.7.6.16.2.10."""
    rescale = [item(RescaleSlope=3, RescaleIntercept=7)]
    dataset = deep(
        WindowCenter=1,
        WindowWidth=2,
        SharedFunctionalGroupsSequence=[
            item(
                PixelValueTransformationSequence=rescale,
                FrameVOILUTSequence=[item(WindowCenter=30, WindowWidth=40)],
            )
        ],
        PerFrameFunctionalGroupsSequence=[
            item(FrameVOILUTSequence=[item(WindowCenter=50, WindowWidth=60)]),
            item(),
        ],
    )
    first, second = frame_parameters(dataset, 1), frame_parameters(dataset, 2)
    assert (first.RescaleSlope, first.WindowCenter, first.WindowWidth) == (3, 50, 60)
    assert (second.RescaleIntercept, second.WindowCenter, second.WindowWidth) == (7, 30, 40)


def palette(entries: list[int], bits: int, first: int = 0) -> Dataset:
    dataset = grey_parameters(PhotometricInterpretation="PALETTE COLOR")
    packed = np.array(entries, np.uint16).tobytes()
    if bits == 8:
        packed = np.array(entries, np.uint8).tobytes()
    for colour in ("Red", "Green", "Blue"):
        descriptor = f"{colour}PaletteColorLookupTableDescriptor"
        setattr(dataset, descriptor, [len(entries), first, bits])
        setattr(dataset, f"{colour}PaletteColorLookupTableData", packed)
    return dataset


@pytest.mark.parametrize(
    ("entries", "bits", "expected"),
    [
        ([0, 0x8000, 0xFFFF, 0xFFFF], 16, [0, 128, 255]),
        ([0, 128, 255, 255], 8, [0, 128, 255]),
        ([0, 128, 255, 255], 16, [0, 128, 255]),  # 8 bits under a descriptor that says 16
    ],
)
def test_palettes_give_colours(entries: list[int], bits: int, expected: list[int]) -> None:
    frame = StoredFrame(1, np.array([[0, 1, 2]], np.uint8), "PALETTE COLOR")
    colours = display_frame(frame, palette(entries, bits))
    assert colours.shape == (1, 3, 3)
    assert colours[0, :, 0].tolist() == expected


def test_an_object_without_its_palette_is_refused() -> None:
    frame = StoredFrame(1, np.array([[0]], np.uint8), "PALETTE COLOR")
    with pytest.raises(MalformedInstanceError, match="lookup table"):
        display_frame(frame, grey_parameters(PhotometricInterpretation="PALETTE COLOR"))


def test_colours_of_sixteen_bits_are_brought_to_eight() -> None:
    dataset = grey_parameters(BitsAllocated=16, BitsStored=16)
    frame = StoredFrame(1, np.array([[[0, 0x8000, 0xFFFF]]], np.uint16), "RGB")
    assert display_frame(frame, dataset)[0, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("kind", ["HSV", "CMYK", ""])
def test_a_colour_space_that_we_do_not_know_is_refused(kind: str) -> None:
    frame = StoredFrame(1, np.zeros((1, 1, 3), np.uint8), kind)
    with pytest.raises(UnsupportedPixelsError):
        display_frame(frame, grey_parameters())
