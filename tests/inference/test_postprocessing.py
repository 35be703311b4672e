"""A network's output to detections."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.codes import LESION
from core.findings import Box
from inference.package import Label, ModelCard, OutputContract, Thresholds
from inference.postprocessing import detections, suppress
from inference.preprocessing import Geometry
from tests.inference.test_package import card

AS_IT_IS = Geometry(64, 64, 0, 0, 64, 64)


def overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return float(shared / (sum(areas) - shared))


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.sampled_from([0.3, 0.7]))
@settings(max_examples=40)
def test_of_boxes_that_overlap_the_best_stays(seed: int, count: int, iou: float) -> None:
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 50, (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(1, 40, (count, 2))], axis=1)
    scores, labels = random.uniform(0, 1, count), random.integers(0, 2, count)
    kept = suppress(boxes, scores, labels, iou=iou)
    assert list(scores[kept]) == sorted(scores[kept], reverse=True)
    for index in range(count):
        rivals = [k for k in kept if labels[k] == labels[index] and k != index]
        doubles = [k for k in rivals if overlap(boxes[k], boxes[index]) > iou]
        if index in kept:
            assert doubles == []
        else:
            assert any(scores[k] >= scores[index] for k in doubles)


def yolo(*candidates: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(candidates, np.float32).T


def two_labels() -> ModelCard:
    return card(labels=tuple(Label(name=name, concept=LESION) for name in ("a", "b")))


def test_yolo_boxes_are_centre_and_size() -> None:
    output = yolo((20, 30, 10, 20, 0.9))
    (found,) = detections(output, card(), AS_IT_IS, threshold=0.25)
    assert found.box == Box(15, 20, 25, 40)
    assert found.score == pytest.approx(0.9)


def test_of_several_labels_the_best_counts() -> None:
    output = yolo((20, 30, 10, 20, 0.3, 0.8))
    (found,) = detections(output, two_labels(), AS_IT_IS, threshold=0.25)
    assert found.label == 1


def test_doubles_of_another_label_stay() -> None:
    output = yolo((20, 30, 10, 20, 0.9, 0), (20, 30, 10, 20, 0, 0.8), (21, 30, 10, 20, 0.7, 0))
    found = detections(output, two_labels(), AS_IT_IS, threshold=0.25)
    assert [(one.label, round(one.score, 1)) for one in found] == [(0, 0.9), (1, 0.8)]


def test_a_score_at_the_threshold_counts() -> None:
    output = yolo((20, 30, 10, 20, 0.5), (50, 50, 10, 20, 0.49))
    assert len(detections(output, card(), AS_IT_IS, threshold=0.5)) == 1


def test_no_more_than_the_card_allows_are_kept() -> None:
    output = yolo(*((x * 8 + 4, 4, 8, 8, 0.5 + x / 100) for x in range(8)))
    found = detections(output, card(max_detections=3), AS_IT_IS, threshold=0.25)
    assert [round(one.score, 2) for one in found] == [0.57, 0.56, 0.55]


def test_end_to_end_heads_have_corners_and_no_doubles_removed() -> None:
    chosen = card(output=OutputContract(head="yolo_end_to_end"), thresholds=Thresholds(iou=0.1))
    rows = [[1, 2, 11, 12, 0.8, 0], [1, 2, 11, 12, 0.7, 0], [0, 0, 5, 5, 0.9, 7], [0] * 6]
    found = detections(np.array(rows, np.float32), chosen, AS_IT_IS, threshold=0.25)
    assert [one.box for one in found] == [Box(1, 2, 11, 12)] * 2


def test_boxes_outside_the_picture_are_no_detections() -> None:
    geometry = Geometry(64, 32, 0, 16, 64, 32)
    output = yolo((32, 6, 8, 8, 0.9), (32, 32, 8, 8, 0.8))
    (found,) = detections(output, card(), geometry, threshold=0.25)
    assert found.box == Box(28, 12, 36, 20)


def test_nothing_is_nothing() -> None:
    assert detections(yolo((0, 0, 0, 0, 0.1)), card(), AS_IT_IS, threshold=0.25) == ()
