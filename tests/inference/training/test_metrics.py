import numpy as np
import pytest
from numpy.typing import NDArray

from inference.training.metrics import (
    IOU_THRESHOLDS,
    FrameResult,
    at_score,
    average_precision,
    match,
    mean_average_precision,
    overlaps,
    sensitivity_at,
)


def boxes(*rows: tuple[float, float, float, float]) -> NDArray[np.float64]:
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def frame(
    truth: NDArray[np.float64], found: NDArray[np.float64], scores: list[float]
) -> FrameResult:
    return FrameResult(truth, found, np.array(scores, dtype=np.float64))


A, B, FAR = (0.0, 0.0, 10.0, 10.0), (20.0, 20.0, 30.0, 30.0), (50.0, 50.0, 60.0, 60.0)


def test_overlap_is_shared_area_over_union() -> None:
    assert overlaps(boxes(A), boxes((5, 0, 15, 10), A, FAR)).tolist() == [[50 / 150, 1.0, 0.0]]


def test_perfect_detections_have_average_precision_one() -> None:
    result = [frame(boxes(A, B), boxes(A, B), [0.9, 0.8])]
    assert mean_average_precision(result) == pytest.approx(1.0)


def test_a_false_alarm_between_two_hits_counts_from_its_place_on() -> None:
    """Precision 1 up to recall 0.5 (51 of the 101 samples), then 2/3; worked out by hand."""
    result = [frame(boxes(A, B), boxes(A, FAR, B), [0.9, 0.8, 0.7])]
    assert average_precision(match(result, 0.5)) == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_recall_that_is_never_reached_counts_as_zero_precision() -> None:
    result = [frame(boxes(A, B), boxes(A), [0.9])]
    assert average_precision(match(result, 0.5)) == pytest.approx(51 / 101)


def test_a_second_detection_of_the_same_object_is_a_false_alarm() -> None:
    matches = match([frame(boxes(A), boxes(A, A), [0.8, 0.9])], 0.5)
    assert matches.hits.tolist() == [True, False]


def test_a_detection_takes_the_free_box_it_overlaps_most() -> None:
    near = (1.0, 0.0, 11.0, 10.0)
    matches = match([frame(boxes(A, near), boxes(near, A), [0.9, 0.8])], 0.5)
    assert matches.hits.tolist() == [True, True]


def test_detections_of_all_frames_stand_in_one_order() -> None:
    result = [frame(boxes(A), boxes(FAR), [0.5]), frame(boxes(A), boxes(A), [0.9])]
    assert match(result, 0.5).hits.tolist() == [True, False]


def test_sensitivity_at_one_false_positive_a_frame() -> None:
    result = [
        frame(boxes(A), boxes(FAR, B, A), [0.9, 0.8, 0.7]),
        frame(boxes(A, B), boxes(A), [0.6]),
    ]
    matches = match(result, 0.5)
    assert sensitivity_at(matches, 1.0) == pytest.approx(2 / 3)
    assert sensitivity_at(matches, 0.0) == 0.0
    assert list(at_score(matches, 0.65)) == pytest.approx([1 / 3, 1.0])


def test_frames_without_objects_and_detections_give_zero_not_an_error() -> None:
    nothing = match([frame(boxes(), boxes(), [])], 0.5)
    assert average_precision(nothing) == 0.0
    assert sensitivity_at(nothing, 1.0) == 0.0
    assert at_score(nothing, 0.5) == (0.0, 0.0)


@pytest.mark.parametrize("seed", range(10))
def test_average_precision_agrees_with_ultralytics(seed: int, torch_runtime: None) -> None:
    """It interpolates between recalls and integrates; we step, as COCO does: alike to 0.02."""
    theirs = pytest.importorskip("ultralytics.utils.metrics").ap_per_class
    rng = np.random.default_rng(seed)
    frames = [_random_frame(rng) for _ in range(40)]
    by_level = [match(frames, level) for level in IOU_THRESHOLDS]
    hits = np.stack([matches.hits for matches in by_level], 1)
    classes = np.zeros(len(hits))
    expected = theirs(hits, by_level[0].scores, classes, np.zeros(by_level[0].objects))[5][0]
    ours = [average_precision(matches) for matches in by_level]
    assert ours == pytest.approx(expected.tolist(), abs=0.02)


def _random_frame(rng: np.random.Generator) -> FrameResult:
    corners = rng.uniform(0, 200, (rng.integers(1, 4), 2))
    truth = np.concatenate([corners, corners + rng.uniform(20, 80, corners.shape)], 1)
    shifted = truth + rng.normal(0, 5, truth.shape)
    false = rng.uniform(0, 100, (rng.integers(0, 3), 2))
    alarms = np.concatenate([false, false + 30], 1)
    found = np.concatenate([shifted[rng.random(len(shifted)) < 0.9], alarms])
    return FrameResult(truth, found, rng.random(len(found)))
