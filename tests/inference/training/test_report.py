import numpy as np
import pytest

from core.errors import InputError
from inference.training.metrics import FrameResult
from inference.training.report import EvaluatedFrame, report

SMALL, LARGE = (0.0, 0.0, 10.0, 10.0), (20.0, 20.0, 80.0, 80.0)


def evaluated(
    truth: list[tuple[float, ...]], found: list[tuple[float, ...]], scores: list[float]
) -> EvaluatedFrame:
    objects, boxes = (np.array(rows, dtype=np.float64).reshape(-1, 4) for rows in (truth, found))
    return EvaluatedFrame(100 * 100, {"polyp": FrameResult(objects, boxes, np.array(scores))})


def test_a_report_counts_by_size_at_the_models_threshold() -> None:
    frames = [
        evaluated([SMALL, LARGE], [SMALL, LARGE], [0.2, 0.9]),
        evaluated([LARGE], [LARGE, SMALL], [0.8, 0.3]),
    ]
    found = report("polyp 1.0.0", "00", frames, threshold=0.25)
    assert (found.frames, found.objects) == (2, 3)
    assert found.by_size["small"].sensitivity == 0.0
    assert found.by_size["medium"].sensitivity is None
    assert found.by_size["large"].sensitivity == 1.0
    assert found.sensitivity == pytest.approx(2 / 3)
    assert found.false_positives_per_frame == 0.5
    assert found.froc[1.0] == 1.0


def test_the_json_has_the_keys_that_scripts_rely_on() -> None:
    plain = report("polyp 1.0.0", "00", [evaluated([LARGE], [LARGE], [0.9])], 0.25).as_json()
    assert plain["mAP50"] == pytest.approx(1.0)
    assert plain["mAP50-95"] == pytest.approx(1.0)
    assert plain["mAP50_interval_95_percent"] == pytest.approx([1.0, 1.0])
    assert plain["sensitivity_at_1_false_positive_per_frame"] == 1.0


def test_a_class_that_is_not_annotated_does_not_lower_the_mean() -> None:
    nothing = np.empty((0, 4))
    other = FrameResult(nothing, np.array([LARGE]), np.array([0.9]))
    one = evaluated([LARGE], [LARGE], [0.9])
    both = EvaluatedFrame(one.pixels, {**one.classes, "ulcer": other})
    assert report("m 1", "00", [both], 0.25).map50 == pytest.approx(1.0)


def test_frames_without_any_annotation_measure_nothing() -> None:
    with pytest.raises(InputError, match="nothing is annotated"):
        report("polyp 1.0.0", "00", [evaluated([], [LARGE], [0.9])], 0.25)
