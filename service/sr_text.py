"""A structured report as plain text, for whoever has no workstation at hand. Source: PS3.3 C.17."""

from collections.abc import Iterator

from pydicom import Dataset

_HEADING = (
    "PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "StudyInstanceUID",
    "SeriesDescription", "Manufacturer", "ManufacturerModelName", "CompletionFlag",
    "VerificationFlag", "PreliminaryFlag", "ContentDate", "ContentTime",
)  # fmt: skip


def sr_text(report: Dataset) -> str:
    """Return heading and content tree, one line for each content item."""
    heading = [f"{keyword}: {report.get(keyword, '')}" for keyword in _HEADING if keyword in report]
    return "\n".join([*heading, "", *_lines(report, 0)]) + "\n"


def _lines(item: Dataset, depth: int) -> Iterator[str]:
    relation = f"{item.RelationshipType.lower()}: " if "RelationshipType" in item else ""
    name = _meaning(item, "ConceptNameCodeSequence")
    parts = [part for part in (name, _value(item)) if part]
    yield f"{'  ' * depth}{relation}{' = '.join(parts) or item.get('ValueType', '')}"
    for child in item.get("ContentSequence", ()):
        yield from _lines(child, depth + 1)


def _value(item: Dataset) -> str:
    kind = str(item.get("ValueType", ""))
    if kind == "CODE":
        return _meaning(item, "ConceptCodeSequence")
    if kind == "NUM":
        return " ".join(
            f"{value.NumericValue} {_meaning(value, 'MeasurementUnitsCodeSequence')}"
            for value in item.get("MeasuredValueSequence", ())
        )
    if kind in {"IMAGE", "COMPOSITE"}:
        return _references(item)
    if kind in {"SCOORD", "SCOORD3D"}:
        points = ", ".join(f"{float(number):g}" for number in item.get("GraphicData", ()))
        return f"{item.get('GraphicType', '')} ({points})"
    texts = ("TextValue", "UID", "PersonName", "Date", "Time", "DateTime")
    return next((str(item.get(keyword)) for keyword in texts if keyword in item), "")


def _references(item: Dataset) -> str:
    return ", ".join(
        f"{one.ReferencedSOPInstanceUID}"
        + (f" frame {one.ReferencedFrameNumber}" if "ReferencedFrameNumber" in one else "")
        for one in item.get("ReferencedSOPSequence", ())
    )


def _meaning(item: Dataset, keyword: str) -> str:
    codes = item.get(keyword) or ()
    return str(codes[0].CodeMeaning) if codes else ""
