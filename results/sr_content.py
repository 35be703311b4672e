"""The content tree of our structured reports. Source: PS3.16 TID 1500, 1410, 1501, 1600."""

from collections.abc import Iterable, Mapping

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    CodedConcept,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    ImageContentItem,
    LanguageOfContentItemAndDescendants,
    NumContentItem,
    ObservationContext,
    ObserverContext,
    RelationshipTypeValues,
    ScoordContentItem,
    TextContentItem,
    TrackingIdentifier,
)
from numpy.typing import NDArray

from core import codes
from core.codes import Code
from core.findings import Algorithm, Box, Conclusion, Finding, Outcome, Polygon, Reading, Region
from results import wording
from results.provenance import (
    MANUFACTURER,
    MODEL_NAME,
    ResultContext,
    SourceInstance,
    StudySources,
)

PROCEDURES: Mapping[str, Code] = {
    "CT": codes.CT_PROCEDURE,
    "MR": codes.MR_PROCEDURE,
    "NM": codes.NM_PROCEDURE,
    "PT": codes.PET_PROCEDURE,
}
"""Procedure Reported by modality; for all others CID 100 has only the general concept."""

SUMMARIES: Mapping[tuple[Conclusion, bool], tuple[Code, Code | None]] = {
    (Conclusion.FINDINGS, True): (codes.SUCCEEDED, codes.ALL_SUCCEEDED_WITH),
    (Conclusion.FINDINGS, False): (codes.PARTIALLY_SUCCEEDED, codes.SOME_SUCCEEDED_WITH),
    (Conclusion.NO_FINDING, True): (codes.SUCCEEDED, codes.ALL_SUCCEEDED_WITHOUT),
    (Conclusion.NOT_EVALUATED, True): (codes.NOT_ATTEMPTED, None),
}
"""How a conclusion is coded, by whether every selected instance was evaluated (CID 6042, 6047)."""

_WHOLE_SLIDE_MICROSCOPY = "1.2.840.10008.5.1.4.1.1.77.1.6"
_CONTAINS = RelationshipTypeValues.CONTAINS
_MODIFIES = RelationshipTypeValues.HAS_CONCEPT_MOD


def report(
    reading: Reading, sources: StudySources, context: ResultContext, notes: Iterable[str] = ()
) -> ContainerContentItem:
    """Return the root of the report, `notes` being further sentences for its reader."""
    root = ContainerContentItem(_code(codes.IMAGING_MEASUREMENT_REPORT), template_id="1500")
    content = ContentSequence()
    content.extend(LanguageOfContentItemAndDescendants(_code(codes.ENGLISH)))
    content.extend(_observer(context))
    content.append(
        _coded(codes.PROCEDURE_REPORTED, procedure_reported(sources.instances), _MODIFIES)
    )
    library = _image_library(reading, sources)
    if library is not None:
        content.append(library)
    content.append(_measurements(reading, sources, context))
    content.append(_evaluations(reading, context, notes))
    root.ContentSequence = content
    return root


def procedure_reported(instances: Iterable[SourceInstance]) -> Code:
    """Return what was done to the patient, which is not what we do. Source: CID 100."""
    modalities = {instance.modality for instance in instances if instance.is_image}
    if len(modalities) != 1:
        return codes.IMAGING_PROCEDURE
    return PROCEDURES.get(modalities.pop(), codes.IMAGING_PROCEDURE)


def summary(reading: Reading) -> tuple[Code, Code | None]:
    """Return Summary of Detections and, if anything was tried, the findings summary."""
    if reading.conclusion is Conclusion.COULD_NOT_PROCESS:
        if reading.evaluated:
            return codes.PARTIALLY_SUCCEEDED, codes.SOME_SUCCEEDED_WITHOUT
        return codes.FAILED, codes.NONE_SUCCEEDED
    return SUMMARIES[reading.conclusion, reading.is_complete]


def polyline(region: Region, source: SourceInstance) -> NDArray[np.float32]:
    """Return a closed outline, (points, 2) column and row, within the source's pixel matrix.

    Our coordinates are the standard's: the top left corner of the top left pixel is 0.0, 0.0.
    Source: PS3.3 C.18.6.1.1.
    """
    if isinstance(region, Polygon):
        points = [*region.points, region.points[0]]
    elif isinstance(region, Box):
        corners = (region.x1, region.y1), (region.x2, region.y1), (region.x2, region.y2)
        points = [*corners, (region.x1, region.y2), (region.x1, region.y1)]
    outline = np.asarray(points, np.float32)
    return np.clip(outline, 0, np.asarray([source.columns, source.rows], np.float32))


def _observer(context: ResultContext) -> ObservationContext:
    device = DeviceObserverIdentifyingAttributes(
        uid=context.device_uid,
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=MODEL_NAME,
        serial_number=context.equipment.device_serial_number,
    )
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=_code(codes.DEVICE), observer_identifying_attributes=device
        )
    )


def _image_library(reading: Reading, sources: StudySources) -> ContainerContentItem | None:
    """List the images that the model saw, if only to some frame. Source: TID 1600."""
    seen = {
        evaluation.instance_key
        for evaluation in reading.evaluations
        if evaluation.outcome is Outcome.EVALUATED or evaluation.frames
    }
    images = [
        instance
        for instance in sources.instances
        if instance.is_image and instance.instance_key in seen
    ]
    if not images:
        return None
    group = _container(codes.IMAGE_LIBRARY_GROUP, [_image(image, _CONTAINS) for image in images])
    return _container(codes.IMAGE_LIBRARY, [group])


def _measurements(
    reading: Reading, sources: StudySources, context: ResultContext
) -> ContainerContentItem:
    """Return the algorithm and its findings, if any. Source: TID 1500 row 6.

    The algorithm is named here, and not beside the conclusion, because PixelMed's validator takes
    any text beside the evaluations for one of them.
    """
    groups = [
        _group(reading.algorithm, finding, sources, context, ordinal)
        for ordinal, finding in enumerate(reading.findings, start=1)
    ]
    return _container(
        codes.IMAGING_MEASUREMENTS, [*algorithm_identification(reading.algorithm), *groups]
    )


def algorithm_identification(algorithm: Algorithm) -> AlgorithmIdentification:
    """Name the model so exactly that the same answer could be had again. Source: TID 4019."""
    parameters = [
        f"threshold={algorithm.threshold:g}",
        f"labels={','.join(algorithm.labels)}",
        f"sha256={algorithm.digest}",
        *(f"{name}={value}" for name, value in algorithm.parameters if name != "threshold"),
    ]
    return AlgorithmIdentification(
        name=algorithm.name, version=algorithm.version, parameters=parameters
    )


def _group(
    algorithm: Algorithm,
    finding: Finding,
    sources: StudySources,
    context: ResultContext,
    ordinal: int,
) -> ContainerContentItem:
    """Return one finding as a measurement group. Source: TID 1410, or 1501 without a region."""
    source = sources.instance(finding.frame.instance_key)
    items: list[ContentItem] = [
        *TrackingIdentifier(
            uid=context.uid(algorithm, "tracking", ordinal),
            identifier=wording.tracking_identifier(finding, ordinal),
        ),
        _coded(codes.FINDING, finding.concept, _CONTAINS),
    ]
    if algorithm.finding_site is not None:
        items.append(FindingSite(_code(algorithm.finding_site)))
    items += _numbers(finding)
    if finding.region is None:
        items.append(_image(source, _CONTAINS, finding.frame.frame))
        return _container(codes.MEASUREMENT_GROUP, items, template="1501")
    items.append(_region(finding.region, source, finding.frame.frame))
    return _container(codes.MEASUREMENT_GROUP, items, template="1410")


def _numbers(finding: Finding) -> list[NumContentItem]:
    numbers = [(codes.SCORE, finding.score, codes.NO_UNITS)]
    if finding.probability is not None:
        numbers.append((codes.PROBABILITY, finding.probability, codes.NO_UNITS))
    numbers += [(each.concept, each.value, each.unit) for each in finding.measurements]
    return [
        NumContentItem(_code(concept), value, _code(unit), relationship_type=_CONTAINS)
        for concept, value, unit in numbers
    ]


def _region(region: Region, source: SourceInstance, frame: int) -> ScoordContentItem:
    is_tiled = source.sop_class_uid == _WHOLE_SLIDE_MICROSCOPY
    item = ScoordContentItem(
        _code(codes.IMAGE_REGION),
        "POLYLINE",
        polyline(region, source),
        pixel_origin_interpretation="FRAME" if is_tiled else None,
        relationship_type=_CONTAINS,
    )
    selected = _image(source, RelationshipTypeValues.SELECTED_FROM, frame)
    item.ContentSequence = ContentSequence([selected])
    return item


def _evaluations(
    reading: Reading, context: ResultContext, notes: Iterable[str]
) -> ContainerContentItem:
    """Return what the reading as a whole says, coded and in words. Source: TID 1500 row 12."""
    detections, findings = summary(reading)
    items = [_coded(codes.SUMMARY_OF_DETECTIONS, detections, _CONTAINS)]
    if findings is not None:
        items.append(_coded(codes.FINDINGS_SUMMARY, findings, _CONTAINS))
    items.append(_text(codes.CONCLUSION, wording.conclusion(reading)))
    items += [
        _text(codes.COMMENT, sentence)
        for sentence in (
            f"{wording.DISCLAIMER}. {wording.RESEARCH_ONLY}",
            wording.extent(reading),
            wording.completeness(context.completed_by),
            *notes,
        )
    ]
    return _container(codes.QUALITATIVE_EVALUATIONS, items)


def _container(
    concept: Code, items: Iterable[ContentItem], *, template: str | None = None
) -> ContainerContentItem:
    container = ContainerContentItem(
        _code(concept), template_id=template, relationship_type=_CONTAINS
    )
    container.ContentSequence = ContentSequence(items)
    return container


def _image(
    source: SourceInstance, relationship: RelationshipTypeValues, frame: int | None = None
) -> ImageContentItem:
    return ImageContentItem(
        _code(codes.SOURCE),
        source.sop_class_uid,
        source.sop_instance_uid,
        referenced_frame_numbers=frame if source.number_of_frames > 1 else None,
        relationship_type=relationship,
    )


def _coded(concept: Code, value: Code, relationship: RelationshipTypeValues) -> CodeContentItem:
    return CodeContentItem(_code(concept), _code(value), relationship_type=relationship)


def _text(concept: Code, text: str) -> TextContentItem:
    return TextContentItem(_code(concept), text, relationship_type=_CONTAINS)


def _code(code: Code) -> CodedConcept:
    return CodedConcept(code.value, code.scheme, code.meaning)
