"""A reading as plain JSON data for REST, with the UIDs of the originals."""

from typing import Any

from core.codes import Code
from core.findings import Algorithm, Box, Evaluation, Finding, Reading, Region
from results import wording
from results.provenance import StudySources


def json_report(reading: Reading, sources: StudySources, *, completed_by: str) -> dict[str, Any]:
    """Return everything a reading says; only what `json.dumps` can write.

    Boxes and points are in pixels of the source image, as in `core.findings`.
    """
    return {
        "conclusion": reading.conclusion.value,
        "text": wording.conclusion(reading),
        "disclaimer": f"{wording.DISCLAIMER}. {wording.RESEARCH_ONLY}",
        "complete": wording.is_complete(reading),
        "completed_by": completed_by,
        "instances": {
            "received": len(reading.evaluations),
            "evaluated": reading.evaluated,
            "could_not_process": reading.failed,
        },
        "algorithm": _algorithm(reading.algorithm),
        "findings": [
            _finding(finding, sources, ordinal)
            for ordinal, finding in enumerate(reading.findings, start=1)
        ],
        "evaluations": [_evaluation(evaluation, sources) for evaluation in reading.evaluations],
    }


def _algorithm(algorithm: Algorithm) -> dict[str, Any]:
    return {
        "name": algorithm.name,
        "version": algorithm.version,
        "manufacturer": algorithm.manufacturer,
        "sha256": algorithm.digest,
        "threshold": algorithm.threshold,
        "labels": list(algorithm.labels),
        "parameters": dict(algorithm.parameters),
    }


def _finding(finding: Finding, sources: StudySources, ordinal: int) -> dict[str, Any]:
    source = sources.instance(finding.frame.instance_key)
    return {
        "tracking_identifier": wording.tracking_identifier(finding, ordinal),
        "class": finding.label,
        "concept": _code(finding.concept),
        "score": finding.score,
        "probability": finding.probability,
        "instance_key": finding.frame.instance_key,
        "series_instance_uid": source.series_instance_uid,
        "sop_instance_uid": source.sop_instance_uid,
        "frame": finding.frame.frame,
        **_region(finding.region),
        "measurements": [
            {"concept": _code(each.concept), "value": each.value, "unit": each.unit.value}
            for each in finding.measurements
        ],
    }


def _region(region: Region | None) -> dict[str, Any]:
    if region is None:
        return {}
    if isinstance(region, Box):
        return {"bbox": [region.x1, region.y1, region.x2, region.y2]}
    return {"polygon": [list(point) for point in region.points]}


def _evaluation(evaluation: Evaluation, sources: StudySources) -> dict[str, Any]:
    return {
        "instance_key": evaluation.instance_key,
        "sop_instance_uid": sources.instance(evaluation.instance_key).sop_instance_uid,
        "outcome": evaluation.outcome.value,
        "frames": evaluation.frames,
        "reason": evaluation.reason,
    }


def _code(code: Code) -> dict[str, str]:
    return {"value": code.value, "scheme": code.scheme, "meaning": code.meaning}
