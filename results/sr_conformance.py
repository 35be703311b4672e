"""What a structured report of ours must be, told from its encoded content alone.

Source: PS3.3 C.17.2, C.17.3; PS3.16 TID 1500, 1410; IHE AIR; what OHIF needs to show it.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping

from pydicom.dataset import Dataset

from core.model import Instance

Concept = tuple[str, str]
"""Code value and scheme."""

REPORT: Concept = ("126000", "DCM")
MEASUREMENTS: Concept = ("126010", "DCM")
GROUP: Concept = ("125007", "DCM")
DETECTIONS: Concept = ("111064", "DCM")
FINDINGS: Concept = ("111017", "DCM")

SUCCEEDED, PARTIAL, FAILED, NOT_ATTEMPTED = "111222", "111223", "111224", "111225"
COMBINATIONS: Mapping[tuple[str, str, bool], str] = {
    (SUCCEEDED, "111242", True): "COMPLETE",
    (PARTIAL, "111244", True): "PARTIAL",
    (SUCCEEDED, "111241", False): "COMPLETE",
    (PARTIAL, "111243", False): "PARTIAL",
    (FAILED, "111245", False): "PARTIAL",
    (NOT_ATTEMPTED, "", False): "PARTIAL",
}
"""Detections, findings summary and presence of findings, and the Completion Flag that is true."""

PROCEDURES = frozenset(
    (
        ("363679005", "SCT"),
        ("25045-6", "LN"),
        ("25056-3", "LN"),
        ("49118-3", "LN"),
        ("44136-0", "LN"),
    )
)
"""Those of CID 100 that say nothing of an algorithm."""

STANDARD_SCHEMES = frozenset(
    ("DCM", "SCT", "UCUM", "LN", "UMLS", "NCIt", "RADLEX", "FMA", "RFC5646", "ISO3166_1")
)
"""Source: PS3.16 8."""

_NEVER = re.compile(r"\bnormal\b", re.IGNORECASE)


def content(item: Dataset) -> Iterator[Dataset]:
    """Yield every content item below `item`, depth first."""
    for child in item.get("ContentSequence") or []:
        yield child
        yield from content(child)


def children(item: Dataset, name: Concept) -> list[Dataset]:
    """Return the content items directly below `item` that have this concept name."""
    return [child for child in item.get("ContentSequence") or [] if concept(child) == name]


def concept(item: Dataset, keyword: str = "ConceptNameCodeSequence") -> Concept:
    """Return the code in an item's code sequence; empty if there is none."""
    for code in item.get(keyword) or []:
        return str(code.get("CodeValue") or ""), str(code.get("CodingSchemeDesignator") or "")
    return "", ""


def _values(document: Dataset, name: Concept) -> list[Concept]:
    return [concept(item, "ConceptCodeSequence") for item in children(document, name)]


def groups(document: Dataset) -> list[Dataset]:
    """Return the measurement groups."""
    return [
        group
        for measurements in children(document, MEASUREMENTS)
        for group in children(measurements, GROUP)
    ]


def _is_a_measurement_report(document: Dataset, _originals: Collection[Instance]) -> str | None:
    templates = [
        item.get("TemplateIdentifier") for item in document.get("ContentTemplateSequence") or []
    ]
    if concept(document) != REPORT or templates != ["1500"] or document.get("Modality") != "SR":
        return "its root is no Imaging Measurement Report of TID 1500"
    return None


def _evidence_is_whole(document: Dataset, originals: Collection[Instance]) -> str | None:
    listed = {
        (
            str(study.get("StudyInstanceUID")),
            str(series.get("SeriesInstanceUID")),
            str(instance.get("ReferencedSOPInstanceUID")),
        )
        for study in document.get("CurrentRequestedProcedureEvidenceSequence") or []
        for series in study.get("ReferencedSeriesSequence") or []
        for instance in series.get("ReferencedSOPSequence") or []
    }
    named = {
        str(reference.get("ReferencedSOPInstanceUID"))
        for item in content(document)
        for reference in item.get("ReferencedSOPSequence") or []
    }
    if not listed or named - {instance for _, _, instance in listed}:
        return "its evidence does not list every referenced instance"
    study = str(document.get("StudyInstanceUID"))
    true = {(study, each.series_instance_uid, each.sop_instance_uid) for each in originals}
    return None if listed <= true else "its evidence names another study or series"


def _regions_select_one_frame(document: Dataset, originals: Collection[Instance]) -> str | None:
    frames = {each.sop_instance_uid: each.number_of_frames for each in originals}
    for region in (item for item in content(document) if item.get("ValueType") == "SCOORD"):
        selected = [
            reference
            for image in region.get("ContentSequence") or []
            if image.get("RelationshipType") == "SELECTED FROM"
            for reference in image.get("ReferencedSOPSequence") or []
        ]
        if len(selected) != 1:
            return "a region is not selected from one image"
        number = selected[0].get("ReferencedFrameNumber")
        several = frames.get(str(selected[0].get("ReferencedSOPInstanceUID")), 1) > 1
        if several and not isinstance(number, int):
            return "a region is not selected from one frame"
        points = list(region.get("GraphicData") or [])
        if region.get("GraphicType") != "POLYLINE" or len(points) < 8 or points[:2] != points[-2:]:
            return "a region is no closed polyline"
    return None


def _findings_are_tracked(document: Dataset, _originals: Collection[Instance]) -> str | None:
    seen: set[str] = set()
    for group in groups(document):
        names = children(group, ("112039", "DCM"))
        uids = [str(item.get("UID") or "") for item in children(group, ("112040", "DCM"))]
        if len(names) != 1 or not names[0].get("TextValue") or len(uids) != 1 or not uids[0]:
            return "a measurement group has no tracking identifier or UID"
        if uids[0] in seen:
            return "two measurement groups have one tracking UID"
        seen.add(uids[0])
        if len(children(group, ("121071", "DCM"))) != 1:
            return "a measurement group does not say what was found"
    return None


def _algorithm_is_named(document: Dataset, _originals: Collection[Instance]) -> str | None:
    observers = [
        concept(item, "ConceptCodeSequence") for item in children(document, ("121005", "DCM"))
    ]
    if observers != [("121007", "DCM")] or len(children(document, ("121012", "DCM"))) != 1:
        return "its observer is no device"
    for measurements in children(document, MEASUREMENTS):
        texts = [
            [item.get("TextValue") for item in children(measurements, (code, "DCM"))]
            for code in ("111001", "111003", "111002")
        ]
        if all(values and all(values) for values in texts):
            return None
    return "its algorithm has no name, version or parameters"


def _procedure_is_imaging(document: Dataset, _originals: Collection[Instance]) -> str | None:
    reported = [
        concept(item, "ConceptCodeSequence") for item in children(document, ("121058", "DCM"))
    ]
    if len(reported) != 1 or reported[0] not in PROCEDURES:
        return "Procedure Reported is no imaging procedure of CID 100"
    return None


def _conclusion_is_coded(document: Dataset, _originals: Collection[Instance]) -> str | None:
    if _completion(document) is None:
        return "its conclusion is not coded as one of our kinds, or does not fit its findings"
    texts = [str(item.get("TextValue") or "") for item in content(document)]
    if any(_NEVER.search(text) for text in texts):
        return "it calls something normal"
    told = [item for item in content(document) if concept(item) == ("121077", "DCM")]
    return None if len(told) == 1 and told[0].get("TextValue") else "its conclusion is not told"


def _flags_are_true(document: Dataset, _originals: Collection[Instance]) -> str | None:
    expected = {
        "VerificationFlag": "UNVERIFIED",
        "PreliminaryFlag": "PRELIMINARY",
        "CompletionFlag": _completion(document),
    }
    wrong = [name for name, value in expected.items() if document.get(name) != value]
    if wrong:
        return f"{', '.join(wrong)} is not true"
    if document.get("VerifyingObserverSequence"):
        return "it names a verifying observer"
    return None if document.get("CompletionFlagDescription") else "its completion is not described"


def _codes_are_standard(document: Dataset, _originals: Collection[Instance]) -> str | None:
    declared = {
        str(item.get("CodingSchemeDesignator"))
        for item in document.get("CodingSchemeIdentificationSequence") or []
    }
    for code in _codes(document):
        scheme = str(code.get("CodingSchemeDesignator") or "")
        if not code.get("CodeValue") or not code.get("CodeMeaning"):
            return "a code has no value or no meaning"
        if scheme not in STANDARD_SCHEMES and not scheme.startswith("99"):
            return "a code is of a scheme that is neither standard nor private"
        if scheme.startswith("99") and scheme not in declared:
            return "a private coding scheme is not identified"
    return None


def _codes(document: Dataset) -> Iterator[Dataset]:
    """Yield the codes of the content tree; those of patient and study are the source's own."""
    for item in (document, *content(document)):
        yield from item.get("ConceptNameCodeSequence") or []
        yield from item.get("ConceptCodeSequence") or []
        for measured in item.get("MeasuredValueSequence") or []:
            yield from measured.get("MeasurementUnitsCodeSequence") or []


def _completion(document: Dataset) -> str | None:
    """Return the Completion Flag that the coded conclusion makes true; None if there is none."""
    values: dict[Concept, list[str]] = {DETECTIONS: [], FINDINGS: []}
    for item in content(document):
        if concept(item) in values:
            values[concept(item)].append(concept(item, "ConceptCodeSequence")[0])
    if len(values[DETECTIONS]) != 1 or len(values[FINDINGS]) > 1:
        return None
    summary = values[FINDINGS][0] if values[FINDINGS] else ""
    return COMBINATIONS.get((values[DETECTIONS][0], summary, bool(groups(document))))


STATEMENTS: Mapping[str, Callable[[Dataset, Collection[Instance]], str | None]] = {
    "A1": _is_a_measurement_report,
    "A3": _evidence_is_whole,
    "A4": _regions_select_one_frame,
    "A5": _findings_are_tracked,
    "A6": _algorithm_is_named,
    "A7": _procedure_is_imaging,
    "A8": _conclusion_is_coded,
    "A9": _flags_are_true,
    "A12": _codes_are_standard,
}
"""By name; each returns how it is broken, None if it holds."""
