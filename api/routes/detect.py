"""`POST /v1/detect`: one picture or instance, read at once, and nothing stored."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.body import BodyLimits, body_of
from api.desk import Desk
from api.errors import UnreadableError
from api.examples import DETECT_REQUEST
from api.openapi import inline_schema, problems, request_body
from api.pictures import Sent, read_detection
from api.schemas import DetectAnswer, DetectBody, Detection, ModelReference, NoParameters, Picture
from api.trace import trace_of
from api.views import DetectionAnswer
from api.wording import bounding_box, outline
from core.findings import Conclusion, Finding
from core.model import StudyIdentity

_FORM_SCHEMA = {
    "type": "object",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "JPEG, PNG or DICOM."},
        "model": {"type": "string"},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
    },
}


def detect_routes(desk: Desk) -> APIRouter:
    """Return the route for one-off reads."""
    router = APIRouter(tags=["detect"])
    limits = BodyLimits(desk.settings.max_body_bytes, desk.settings.body_timeout_s)

    @router.post(
        "/v1/detect",
        summary="Read one picture or DICOM instance; nothing of it is stored",
        responses=problems(400, 404, 408, 413, 415),
        openapi_extra=request_body(
            **{
                "multipart/form-data": {"schema": _FORM_SCHEMA},
                "application/json": {
                    "schema": inline_schema(DetectBody),
                    "example": DETECT_REQUEST,
                },
            }
        ),
    )
    async def detect(request: Request, _: Annotated[NoParameters, Query()]) -> DetectAnswer:
        async with body_of(request, limits, desk.budget) as pieces:
            sent = await read_detection(
                request.headers.get("content-type", ""),
                pieces,
                max_bytes=limits.max_bytes,
                timeout_s=desk.settings.detection_timeout_s,
            )
            answer = await desk.trail.answer(
                request, lambda: _read(desk, sent), crew=desk.detections, about=_whose
            )
        return _wire(answer, trace_of(request).request_id)

    return router


def _read(desk: Desk, sent: Sent) -> DetectionAnswer:
    answer = desk.ports.detector.detect(sent.request())
    reading = answer.reading
    if reading.conclusion in {Conclusion.NOT_EVALUATED, Conclusion.COULD_NOT_PROCESS}:
        # An empty list would read like "no finding".
        reasons = {evaluation.reason for evaluation in reading.evaluations} - {""}
        raise UnreadableError(
            f"{reading.algorithm.name}: {reading.conclusion}: {'; '.join(sorted(reasons))}",
            remedy="GET /v1/models says what each model accepts",
        )
    return answer


def _whose(answer: DetectionAnswer) -> tuple[StudyIdentity, ...]:
    return () if answer.identity is None else (answer.identity,)


def _wire(answer: DetectionAnswer, request_id: str) -> DetectAnswer:
    algorithm = answer.reading.algorithm
    return DetectAnswer(
        detections=tuple(_detection(finding) for finding in answer.reading.findings),
        processed_at=answer.processed_at,
        model_version=f"{algorithm.name} {algorithm.version}",
        model=ModelReference.model_validate(algorithm),
        threshold=algorithm.threshold,
        conclusion=answer.reading.conclusion,
        image=Picture.model_validate(answer),
        request_id=request_id,
    )


def _detection(finding: Finding) -> Detection:
    return Detection.model_validate(
        {
            "bbox": bounding_box(finding.region),
            "outline": outline(finding.region),
            "confidence": finding.score,
            "class": finding.label,
            "frame": finding.frame.frame,
        }
    )
