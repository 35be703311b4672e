"""Evaluate a model package as the service reads: DICOM, our decoder, our weights, our boxes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from core.errors import InputError
from core.findings import Box
from imaging.decode import Decoder
from inference.model import Model, load_model
from inference.package import ModelPackage
from inference.postprocessing import Detection
from inference.training.dataset import AnnotatedFrame, annotated_frames, boxes_of
from inference.training.metrics import Floats, FrameResult
from inference.training.report import EvaluatedFrame, EvaluationReport, report
from inference.training.wrapped import wrapped

LOWEST_SCORE = 0.001
"""Average precision asks for every detection, not only those above the model's threshold."""


def evaluate(
    package: ModelPackage,
    data: Path,
    on_frame: Callable[[int, int], None] = lambda _done, _of: None,
) -> EvaluationReport:
    """Measure `package` on annotated frames; `on_frame` hears how many of how many are read.

    Parameters
    ----------
    data
        Folder with images/ and masks/ (or labels/).

    Raises
    ------
    InputError
        If the folder holds no annotated frames, or a frame cannot be read.
    ModelPackageError
        If the package's weights are not what its card says.
    """
    frames = annotated_frames(data)
    model = load_model(package)
    evaluated: list[EvaluatedFrame] = []
    try:
        with Decoder() as decoder:
            for frame in frames:
                evaluated.append(_evaluated(frame, model, decoder))
                on_frame(len(evaluated), len(frames))
    finally:
        model.close()
    card = package.card
    return report(f"{card.name} {card.version}", package.digest, evaluated, card.thresholds.score)


def _evaluated(frame: AnnotatedFrame, model: Model, decoder: Decoder) -> EvaluatedFrame:
    pixels = decoder.display_frames(wrapped(frame.picture), window=model.window)[0]
    rows, columns = pixels.shape[:2]
    labels = model.package.card.labels
    truth = boxes_of(frame, columns, rows)
    if any(label >= len(labels) for label, _ in truth):
        raise InputError(
            f"{frame.annotation} has a class that {model.package.card.name} does not know",
            remedy=f"Its labels are {', '.join(label.name for label in labels)}, from 0 on",
        )
    found = model.detect(pixels, threshold=LOWEST_SCORE)
    classes = {
        label.name: _result(
            [box for known, box in truth if known == number],
            [one for one in found if one.label == number],
        )
        for number, label in enumerate(labels)
    }
    return EvaluatedFrame(rows * columns, classes)


def _result(truth: Sequence[Box], found: Sequence[Detection]) -> FrameResult:
    return FrameResult(
        truth=_corners(truth),
        found=_corners([detection.box for detection in found]),
        scores=np.array([detection.score for detection in found], dtype=np.float64),
    )


def _corners(boxes: Sequence[Box]) -> Floats:
    rows = [(box.x1, box.y1, box.x2, box.y2) for box in boxes]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)
