"""What an evaluation found, in the words and figures of a model card."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import InputError
from inference.training.metrics import (
    FrameResult,
    Matches,
    at_score,
    average_precision,
    match,
    mean_average_precision,
    scores_of_objects,
    sensitivity_at,
)

FALSE_POSITIVES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Where the FROC curve is read: false positives a frame."""

SIZES = (("small", 0.0, 0.02), ("medium", 0.02, 0.10), ("large", 0.10, 1.01))
"""Share of the frame that the object's box covers, from and below."""

RESAMPLES = 500
IOU = 0.5


@dataclass(frozen=True)
class SizeFigures:
    """How often objects of one size are found at the model's threshold."""

    objects: int
    sensitivity: float | None
    """None where there were none."""


@dataclass(frozen=True)
class EvaluationReport:
    """How a model package did on annotated frames, through the service's own pixel path."""

    model: str
    digest: str
    frames: int
    objects: int
    map50: float
    map50_interval: tuple[float, float]
    """95 % interval, frames drawn anew with replacement."""
    map50_95: float
    froc: Mapping[float, float]
    """Sensitivity by false positives a frame."""
    threshold: float
    sensitivity: float
    """At the model's threshold."""
    false_positives_per_frame: float
    """At the model's threshold."""
    by_size: Mapping[str, SizeFigures]

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values; `mAP50` is relied on by name."""
        return {
            "model": self.model,
            "digest": self.digest,
            "frames": self.frames,
            "objects": self.objects,
            "mAP50": round(self.map50, 4),
            "mAP50_interval_95_percent": [round(bound, 4) for bound in self.map50_interval],
            "mAP50-95": round(self.map50_95, 4),
            "sensitivity_at_1_false_positive_per_frame": round(self.froc[1.0], 4),
            "froc": [
                {"false_positives_per_frame": rate, "sensitivity": round(found, 4)}
                for rate, found in self.froc.items()
            ],
            "at_threshold": {
                "threshold": self.threshold,
                "sensitivity": round(self.sensitivity, 4),
                "false_positives_per_frame": round(self.false_positives_per_frame, 4),
            },
            "by_size": {
                name: {
                    "objects": figures.objects,
                    "sensitivity": None
                    if figures.sensitivity is None
                    else round(figures.sensitivity, 4),
                }
                for name, figures in self.by_size.items()
            },
        }


@dataclass(frozen=True)
class EvaluatedFrame:
    """One frame with the model's answer, class by class."""

    pixels: int
    """Columns times rows."""
    classes: Mapping[str, FrameResult]


def report(
    model: str, digest: str, frames: Sequence[EvaluatedFrame], threshold: float
) -> EvaluationReport:
    """Sum `frames` up; figures over several classes are means, counts are sums.

    A class of which nothing is annotated has no figures and does not count.

    Raises
    ------
    InputError
        If nothing at all is annotated.
    """
    names = sorted({name for frame in frames for name in frame.classes})
    every = {name: [frame.classes[name] for frame in frames] for name in names}
    by_class = {
        name: results for name, results in every.items() if any(len(one.truth) for one in results)
    }
    matches = {name: match(results, IOU) for name, results in by_class.items()}
    if not by_class:
        raise InputError("nothing is annotated on these frames, so nothing can be measured")
    points = [at_score(found, threshold) for found in matches.values()]
    return EvaluationReport(
        model=model,
        digest=digest,
        frames=len(frames),
        objects=sum(found.objects for found in matches.values()),
        map50=_mean(average_precision(found) for found in matches.values()),
        map50_interval=_interval(by_class, len(frames)),
        map50_95=_mean(mean_average_precision(results) for results in by_class.values()),
        froc={rate: _mean(_sensitivities(matches, rate)) for rate in FALSE_POSITIVES},
        threshold=threshold,
        sensitivity=_mean(sensitivity for sensitivity, _ in points),
        false_positives_per_frame=sum(rate for _, rate in points),
        by_size=_by_size(frames, threshold),
    )


def _sensitivities(matches: Mapping[str, Matches], rate: float) -> list[float]:
    return [sensitivity_at(found, rate) for found in matches.values()]


def _interval(by_class: Mapping[str, Sequence[FrameResult]], frames: int) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, frames, frames) for _ in range(RESAMPLES)]
    values = [
        _mean(
            average_precision(match([results[index] for index in indices], IOU))
            for results in by_class.values()
        )
        for indices in drawn
    ]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _by_size(frames: Sequence[EvaluatedFrame], threshold: float) -> dict[str, SizeFigures]:
    shares: list[float] = []
    scores: list[float] = []
    for frame in frames:
        for result in frame.classes.values():
            areas = (result.truth[:, 2:] - result.truth[:, :2]).prod(1)
            shares += (areas / frame.pixels).tolist()
            scores += scores_of_objects(result, IOU).tolist()
    figures = {}
    for name, low, high in SIZES:
        chosen = [s for share, s in zip(shares, scores, strict=True) if low <= share < high]
        hit = sum(score >= threshold for score in chosen)
        figures[name] = SizeFigures(len(chosen), hit / len(chosen) if chosen else None)
    return figures


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
