"""How good a detector is: average precision, FROC, sensitivity, by size. Pure numpy.

Average precision follows COCO: within a frame, detections by falling score take the best box that
is still free and overlaps by at least the threshold; precision is made monotone and sampled at 101
recalls. One class at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""Source: COCO detection evaluation, mAP50-95."""

RECALLS = np.linspace(0, 1, 101)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class FrameResult:
    """What was on one frame, and what the detector said; one class."""

    truth: Floats
    """(objects, 4) x1, y1, x2, y2, exclusive."""
    found: Floats
    """(detections, 4)"""
    scores: Floats
    """(detections,)"""


@dataclass(frozen=True)
class Matches:
    """Every detection of a set of frames, by falling score, and whether it hit."""

    scores: Floats
    hits: Flags
    """(detections,) False where the detection hit nothing that was not hit already."""
    objects: int
    frames: int

    @property
    def recall(self) -> Floats:
        """(detections,) Share of objects found down to this score."""
        return np.cumsum(self.hits) / max(self.objects, 1)

    @property
    def precision(self) -> Floats:
        """(detections,) Share of detections that hit, down to this score."""
        return np.cumsum(self.hits) / np.arange(1, len(self.hits) + 1)

    @property
    def false_positives_per_frame(self) -> Floats:
        """(detections,) Down to this score."""
        return np.cumsum(~self.hits) / max(self.frames, 1)


def overlaps(truth: Floats, found: Floats) -> Floats:
    """Return intersection over union, (objects, detections)."""
    top_left = np.maximum(truth[:, None, :2], found[None, :, :2])
    bottom_right = np.minimum(truth[:, None, 2:], found[None, :, 2:])
    shared = (bottom_right - top_left).clip(min=0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (truth, found)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return np.asarray(shared / np.maximum(union, np.finfo(np.float64).tiny))


def match(frames: Sequence[FrameResult], iou_threshold: float) -> Matches:
    """Match detections to objects in each frame, then put them in one order by score."""
    scores = [frame.scores for frame in frames]
    hits = [_hits(frame, iou_threshold) for frame in frames]
    every_score = np.concatenate([np.empty(0), *scores])
    order = np.argsort(-every_score, kind="stable")
    return Matches(
        scores=every_score[order],
        hits=np.concatenate([np.empty(0, dtype=np.bool_), *hits])[order],
        objects=sum(len(frame.truth) for frame in frames),
        frames=len(frames),
    )


def average_precision(matches: Matches) -> float:
    """Return the mean of the monotone precision at 101 recalls; 0 where nothing was to be found."""
    if matches.objects == 0 or len(matches.hits) == 0:
        return 0.0
    envelope = np.maximum.accumulate(matches.precision[::-1])[::-1]
    at = np.searchsorted(matches.recall, RECALLS - 1e-12, side="left")
    reached = at < len(envelope)
    return float(np.where(reached, envelope[at.clip(max=len(envelope) - 1)], 0.0).mean())


def mean_average_precision(
    frames: Sequence[FrameResult], thresholds: Sequence[float] = IOU_THRESHOLDS
) -> float:
    """Return the average precision, averaged over `thresholds`."""
    return float(np.mean([average_precision(match(frames, level)) for level in thresholds]))


def sensitivity_at(matches: Matches, false_positives: float) -> float:
    """Return the share of objects found at the lowest score that allows so many a frame. FROC."""
    allowed = matches.false_positives_per_frame <= false_positives
    return float(matches.recall[allowed].max()) if allowed.any() else 0.0


def at_score(matches: Matches, threshold: float) -> tuple[float, float]:
    """Return sensitivity and false positives a frame, counting detections of that score or more."""
    counted = int((matches.scores >= threshold).sum())
    if counted == 0:
        return 0.0, 0.0
    last = counted - 1
    return float(matches.recall[last]), float(matches.false_positives_per_frame[last])


def scores_of_objects(frame: FrameResult, iou_threshold: float) -> Floats:
    """Return for each object the score of the detection that took it, 0 where none did."""
    scores = np.zeros(len(frame.truth))
    for detection, taken in _assign(frame, iou_threshold):
        scores[taken] = frame.scores[detection]
    return scores


def _hits(frame: FrameResult, iou_threshold: float) -> Flags:
    hits = np.zeros(len(frame.scores), dtype=np.bool_)
    hits[[detection for detection, _ in _assign(frame, iou_threshold)]] = True
    return hits


def _assign(frame: FrameResult, iou_threshold: float) -> Iterator[tuple[int, int]]:
    """Yield each detection that takes an object, and which. Source: COCO, `evaluateImg`."""
    if not len(frame.truth) or not len(frame.scores):
        return
    free = overlaps(frame.truth, frame.found)
    for detection in np.argsort(-frame.scores, kind="stable"):
        best = int(free[:, detection].argmax())
        if free[best, detection] >= iou_threshold:
            yield int(detection), best
            free[best] = -1.0
