"""`/v1/audit`: search the audit log; the search itself is in it."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.desk import Desk
from api.errors import InvalidFieldError
from api.events import AuditPage, AuditQuery
from api.openapi import problems
from api.query import canonical
from api.schemas import AuditFilter, AuditList


def audit_routes(desk: Desk) -> APIRouter:
    """Return the route about the audit log."""
    router = APIRouter(tags=["audit"])

    @router.get(
        "/v1/audit",
        summary="Audit records of a span of time, oldest first",
        responses=problems(),
    )
    async def search(request: Request, asked: Annotated[AuditFilter, Query()]) -> AuditList:
        query = _query(asked)
        page: AuditPage = await desk.trail.answer(
            request,
            lambda: desk.ports.audit.search(query),
            crew=desk.lookups,
            query=canonical(asked),
        )
        return AuditList.model_validate(page)

    return router


def _query(asked: AuditFilter) -> AuditQuery:
    if asked.at_from >= asked.at_to:
        raise InvalidFieldError("the parameter from must be before the parameter to")
    return AuditQuery(
        at_from=asked.at_from,
        at_to=asked.at_to,
        event=asked.event,
        user=asked.user,
        outcome=asked.outcome,
        limit=asked.limit,
        cursor=asked.cursor,
    )
