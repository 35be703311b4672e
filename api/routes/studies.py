"""`/v1/studies`: where every study is on its way, and what was found in it."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request

from api.desk import Desk
from api.errors import HeldStudyError, NoResultYetError
from api.openapi import problems
from api.query import canonical
from api.schemas import (
    UID_PATTERN,
    Concept,
    Finding,
    Measurement,
    ModelReference,
    NoParameters,
    ReadingAnswer,
    ResultObject,
    ResultsAnswer,
    StudyAnswer,
    StudyFilter,
    StudyItem,
    StudyList,
)
from api.views import ResultFinding, ResultReading, StudyPage, StudyQuery, StudyResults
from api.wording import bounding_box, outline, statement
from core.states import RevisionState

Uid = Annotated[
    str,
    Path(pattern=UID_PATTERN, description="Study Instance UID.", examples=["2.25.99999999"]),
]
Nothing = Annotated[NoParameters, Query()]


def study_routes(desk: Desk) -> APIRouter:
    """Return the routes about studies."""
    router = APIRouter(tags=["studies"])
    studies, results = desk.ports.studies, desk.ports.results

    @router.get("/v1/studies", summary="Studies, newest first", responses=problems())
    async def find(request: Request, asked: Annotated[StudyFilter, Query()]) -> StudyList:
        query = _query(asked)
        page: StudyPage = await desk.trail.answer(
            request,
            lambda: studies.find(query),
            crew=desk.lookups,
            about=lambda page: tuple(study.identity for study in page.studies),
            query=canonical(asked),
        )
        return StudyList.model_validate(page)

    @router.get(
        "/v1/studies/{uid}",
        summary="Where one study is on its way",
        responses=problems(404),
    )
    async def show(request: Request, uid: Uid, _: Nothing) -> StudyAnswer:
        detail = await desk.trail.answer(
            request,
            lambda: studies.study(uid),
            crew=desk.lookups,
            about=lambda study: (study.identity,),
            query=_lookup(uid),
        )
        return StudyAnswer.model_validate(detail)

    @router.get(
        "/v1/studies/{uid}/results",
        summary="What was found in one study",
        responses=problems(404, 409),
    )
    async def show_results(request: Request, uid: Uid, _: Nothing) -> ResultsAnswer:
        found = await desk.trail.answer(
            request,
            lambda: _released(results.results(uid)),
            crew=desk.lookups,
            about=lambda found: (found.identity,),
            query=_lookup(uid),
        )
        return _results(found)

    @router.post(
        "/v1/studies/{uid}/retry",
        summary="Process the newest revision once more",
        status_code=202,
        responses=problems(404, 409),
    )
    async def retry(request: Request, uid: Uid, _: Nothing) -> StudyItem:
        summary = await desk.trail.act(
            request,
            lambda event: studies.retry(uid, event),
            crew=desk.lookups,
            query=_lookup(uid),
        )
        return StudyItem.model_validate(summary)

    return router


def _lookup(uid: str) -> str:
    return urlencode({"study_instance_uid": uid})


def _query(asked: StudyFilter) -> StudyQuery:
    return StudyQuery(
        states=frozenset(asked.state),
        modality=asked.modality,
        received_from=asked.received_from,
        received_to=asked.received_to,
        limit=asked.limit,
        cursor=asked.cursor,
    )


def _released(found: StudyResults) -> StudyResults:
    """Return the results, or refuse: nothing leaves while a study is held or has none."""
    if found.state is RevisionState.HELD:
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
