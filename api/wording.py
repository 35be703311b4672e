"""Findings to their wire shape: places in pixels, and the conclusion as a sentence."""

from api.schemas import Pixels, Point
from core.findings import Box, Conclusion, Polygon, Region


def bounding_box(region: Region | None) -> Pixels | None:
    """Return [x1, y1, x2, y2] around `region`."""
    if region is None:
        return None
    if isinstance(region, Box):
        return region.x1, region.y1, region.x2, region.y2
    xs, ys = zip(*region.points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def outline(region: Region | None) -> tuple[Point, ...] | None:
    """Return the points of `region` where it is more than a box."""
    return region.points if isinstance(region, Polygon) else None


def statement(conclusion: Conclusion, *, threshold: float, evaluated: int, received: int) -> str:
    """Say what a reading says, with how much of the study it has seen; never "normal"."""
    what = {
        Conclusion.FINDINGS: f"Findings above {threshold:g}",
        Conclusion.NO_FINDING: f"No finding above {threshold:g}",
        Conclusion.NOT_EVALUATED: "Not evaluated",
        Conclusion.COULD_NOT_PROCESS: "Could not process",
    }[conclusion]
    return f"{what}; {evaluated} of {received} instances evaluated."
