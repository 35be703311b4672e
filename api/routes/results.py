"""`/v1/studies/{uid}/results`: what was found in one study."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.desk import Desk
from api.errors import HeldStudyError, NoResultYetError
from api.openapi import problems
from api.query import lookup
from api.schemas import (
    Concept,
    Finding,
    Measurement,
    ModelReference,
    NoParameters,
    ReadingAnswer,
    ResultObject,
    ResultsAnswer,
    StudyUid,
)
from api.views import ResultFinding, ResultReading, StudyResults
from api.wording import bounding_box, outline, statement
from core.states import RevisionState


def result_routes(desk: Desk) -> APIRouter:
    """Return the route about results."""
    router = APIRouter(tags=["studies"])
    results = desk.ports.results

    @router.get(
        "/v1/studies/{uid}/results",
        summary="What was found in one study",
        responses=problems(404, 409),
    )
    async def show(
        request: Request, uid: StudyUid, _: Annotated[NoParameters, Query()]
    ) -> ResultsAnswer:
        found = await desk.trail.answer(
            request,
            lambda: _released(results.results(uid)),
            crew=desk.lookups,
            about=lambda found: (found.identity,),
            query=lookup(uid),
        )
        return _results(found)

    return router


def _released(found: StudyResults) -> StudyResults:
    """Return the results, or refuse: nothing leaves while a study is held or has none."""
    # An open revision that has a reason will be held as soon as it is complete.
    will_be_held = found.state is RevisionState.OPEN and found.hold_reason is not None
    if found.state is RevisionState.HELD or will_be_held:
        raise HeldStudyError(
            f"the study is held: {found.hold_reason}",
            remedy="A person decides with `second-reader study retry` or `study cancel`",
        )
    if not found.readings:
        raise NoResultYetError(
            f"the study has no result yet; its state is {found.state}",
            remedy="GET /v1/studies/{uid} says how far it is",
        )
    return found


def _results(found: StudyResults) -> ResultsAnswer:
    patient = found.identity.patient
    return ResultsAnswer(
        study_instance_uid=found.identity.study_instance_uid,
        accession_number=found.identity.accession_number,
        patient_id=patient.patient_id,
        issuer_of_patient_id=patient.issuer_of_patient_id,
        revision=found.revision,
        newest_revision=found.newest_revision,
        state=found.state,
        completeness_rule=found.completeness_rule,
        number_of_instances=found.number_of_instances,
        readings=tuple(_reading(one, found.number_of_instances) for one in found.readings),
        objects=tuple(ResultObject.model_validate(one) for one in found.objects),
    )


def _reading(reading: ResultReading, received: int) -> ReadingAnswer:
    algorithm = reading.algorithm
    return ReadingAnswer(
        model=ModelReference.model_validate(algorithm),
        threshold=algorithm.threshold,
        labels=algorithm.labels,
        conclusion=reading.conclusion,
        statement=statement(
            reading.conclusion,
            threshold=algorithm.threshold,
            evaluated=reading.number_evaluated,
            received=received,
        ),
        number_evaluated=reading.number_evaluated,
        number_failed=reading.number_failed,
        reasons=reading.reasons,
        findings=tuple(_finding(finding) for finding in reading.findings),
    )


def _finding(finding: ResultFinding) -> Finding:
    return Finding(
        bbox=bounding_box(finding.region),
        outline=outline(finding.region),
        tracking_uid=finding.tracking_uid,
        label=finding.label,
        concept=Concept.model_validate(finding.concept),
        score=finding.score,
        probability=finding.probability,
        series_instance_uid=finding.series_instance_uid,
        sop_instance_uid=finding.sop_instance_uid,
        frame=finding.frame,
        measurements=tuple(Measurement.model_validate(one) for one in finding.measurements),
    )
