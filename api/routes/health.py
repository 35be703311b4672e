"""`/livez`, `/readyz`, `/metrics`: for supervisors and Prometheus; no key, no patient data."""

import asyncio
import time

from fastapi import APIRouter, Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from api.crew import Crew
from api.desk import Desk
from api.ports import HealthReporter
from api.schemas import Liveness, PartHealth, Readiness

_FRESH_S = 1.0
"""A look at every part costs; anybody may ask, so it is not done more often than this."""


def health_routes(desk: Desk) -> APIRouter:
    """Return the routes about the service's own state."""
    router = APIRouter(tags=["health"])
    readiness = _Readiness(desk.ports.health, desk.lookups)

    @router.get("/livez", summary="Whether the process answers")
    async def livez() -> Liveness:
        return Liveness()

    @router.get(
        "/readyz",
        summary="Whether every part can do its work, and why not",
        responses={
            503: {"model": Readiness, "description": "At least one part is not ready."},
        },
    )
    async def readyz(response: Response) -> Readiness:
        answer = await readiness.look()
        if answer.status != _READY:
            response.status_code = 503
        return answer

    @router.get(
        "/metrics",
        summary="Counts for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        text = await desk.lookups.run(lambda: generate_latest(desk.registry))
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return router


_READY, _NOT_READY = "ready", "not ready"


class _Readiness:
    """The last look at every part, shared by all who ask within a moment."""

    def __init__(self, reporter: HealthReporter, crew: Crew) -> None:
        self._reporter = reporter
        self._crew = crew
        self._lock = asyncio.Lock()
        self._looked_at = -_FRESH_S
        self._last: Readiness | None = None

    async def look(self) -> Readiness:
        """Return how every part is, or was a moment ago."""
        async with self._lock:
            if self._last is None or time.monotonic() - self._looked_at >= _FRESH_S:
                self._last = _answer(await self._crew.run(self._reporter.report))
                self._looked_at = time.monotonic()
            return self._last


def _answer(parts: tuple[object, ...]) -> Readiness:
    items = tuple(PartHealth.model_validate(part) for part in parts)
    all_ready = all(item.is_ready for item in items)
    return Readiness(status=_READY if all_ready else _NOT_READY, parts=items)
