"""A network's output to detections: thresholds and suppression of doubles."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.findings import Box
from inference.package import ModelCard
from inference.ports import Tensor
from inference.preprocessing import Geometry

MOST_CANDIDATES = 3000
"""Of one frame, the best by score; more are noise under a threshold set too low."""


class Detection(NamedTuple):
    """One thing the model found in one picture."""

    label: int
    """Number of the label in the card."""
    score: float
    box: Box
    """In pixels of the picture."""


class _Candidates(NamedTuple):
    boxes: NDArray[np.float64]
    """(n, 4) x1, y1, x2, y2 in pixels of the input."""
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]


def detections(
    output: Tensor, card: ModelCard, geometry: Geometry, *, threshold: float
) -> tuple[Detection, ...]:
    """Return what the output of one picture means, best first; the order is the same every time.

    Parameters
    ----------
    output : (4 + labels, candidates) or (detections, 6), as the card's head says
    """
    if card.output.head == "yolo_end_to_end":
        found = _above(_from_end_to_end(output, len(card.labels)), threshold)
        kept = np.arange(len(found.scores))
    else:
        found = _above(_from_yolo(output), threshold)
        kept = suppress(found.boxes, found.scores, found.labels, iou=card.thresholds.iou)
    boxes = geometry.to_source(found.boxes)
    result = (
        Detection(
            int(found.labels[i]), float(found.scores[i]), Box(*(float(end) for end in boxes[i]))
        )
        for i in kept[: card.max_detections]
    )
    return tuple(one for one in result if one.box.x2 > one.box.x1 and one.box.y2 > one.box.y1)


def suppress(
    boxes: NDArray[np.float64],
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    *,
    iou: float,
) -> NDArray[np.int64]:
    """Return which boxes stay, best first: of two of one label that overlap more than `iou`, one.

    Parameters
    ----------
    boxes : (n, 4) x1, y1, x2, y2
    """
    order = np.lexsort((np.arange(len(scores)), -scores))
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        corner = np.maximum(boxes[best, :2], boxes[rest, :2])
        opposite = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.prod(np.maximum(opposite - corner, 0), axis=1)
        union = areas[best] + areas[rest] - shared
        overlap = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        order = rest[(overlap <= iou) | (labels[rest] != labels[best])]
    return np.asarray(kept, dtype=np.int64)


def _from_yolo(output: Tensor) -> _Candidates:
    scores = output[4:]
    labels = scores.argmax(axis=0)
    centre, half = output[:2].T.astype(np.float64), output[2:4].T.astype(np.float64) / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    return _Candidates(boxes, scores.max(axis=0).astype(np.float64), labels.astype(np.int64))


def _from_end_to_end(output: Tensor, labels: int) -> _Candidates:
    known = output[(output[:, 5] >= 0) & (output[:, 5] < labels)].astype(np.float64)
    return _Candidates(known[:, :4], known[:, 4], known[:, 5].astype(np.int64))


def _above(candidates: _Candidates, threshold: float) -> _Candidates:
    """Keep what reaches the threshold, best first, and not more than we can compare."""
    chosen = np.flatnonzero(candidates.scores >= threshold)
    order = np.lexsort((chosen, -candidates.scores[chosen]))[:MOST_CANDIDATES]
    best = chosen[order]
    return _Candidates(candidates.boxes[best], candidates.scores[best], candidates.labels[best])
