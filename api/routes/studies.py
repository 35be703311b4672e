"""`/v1/studies`: where every study is on its way."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.desk import Desk
from api.openapi import problems
from api.query import canonical, lookup
from api.schemas import (
    NoParameters,
    StudyAnswer,
    StudyFilter,
    StudyItem,
    StudyList,
    StudyUid,
)
from api.views import StudyPage, StudyQuery

Nothing = Annotated[NoParameters, Query()]


def study_routes(desk: Desk) -> APIRouter:
    """Return the routes about studies."""
    router = APIRouter(tags=["studies"])
    studies = desk.ports.studies

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
    async def show(request: Request, uid: StudyUid, _: Nothing) -> StudyAnswer:
        detail = await desk.trail.answer(
            request,
            lambda: studies.study(uid),
            crew=desk.lookups,
            about=lambda study: (study.identity,),
            query=lookup(uid),
        )
        return StudyAnswer.model_validate(detail)

    @router.post(
        "/v1/studies/{uid}/retry",
        summary="Process the newest revision once more",
        status_code=202,
        responses=problems(404, 409),
    )
    async def retry(request: Request, uid: StudyUid, _: Nothing) -> StudyItem:
        summary = await desk.trail.act(
            request,
            lambda event: studies.retry(uid, event),
            crew=desk.lookups,
            query=lookup(uid),
        )
        return StudyItem.model_validate(summary)

    return router


def _query(asked: StudyFilter) -> StudyQuery:
    return StudyQuery(
        states=frozenset(asked.state),
        modality=asked.modality,
        received_from=asked.received_from,
        received_to=asked.received_to,
        limit=asked.limit,
        cursor=asked.cursor,
    )
