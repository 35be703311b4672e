"""Build the application: the only place where its parts meet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry
from starlette.responses import JSONResponse

from api.access import check_covered
from api.auth import Doorkeeper
from api.border import Border
from api.desk import Desk, close_desk, open_desk
from api.handlers import ProblemResponder
from api.metrics import RequestMetrics
from api.openapi import API_VERSION, describe
from api.ports import Ports
from api.rate import RateLimit
from api.routes.audit import audit_routes
from api.routes.detect import detect_routes
from api.routes.health import health_routes
from api.routes.models import model_routes
from api.routes.peers import peer_routes
from api.routes.results import result_routes
from api.routes.studies import study_routes
from api.settings import ApiSettings

RESOURCES = (
    detect_routes,
    study_routes,
    result_routes,
    model_routes,
    peer_routes,
    audit_routes,
    health_routes,
)


def create_app(ports: Ports, settings: ApiSettings, registry: CollectorRegistry) -> FastAPI:
    """Return the application over `ports`.

    Parameters
    ----------
    registry
        What /metrics shows; our own counters are added to it.

    Raises
    ------
    ConfigurationError
        If a route has no line in the access table.
    """
    desk = open_desk(ports, settings, registry)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        close_desk(desk)

    app = FastAPI(
        title="Second Reader",
        version=API_VERSION,
        openapi_url=None,  # served by our own route, behind a key
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # would repeat the path, and with it a UID, in a header
        lifespan=lifespan,
    )
    _add_routes(app, desk)
    responder = ProblemResponder(retry_after_s=settings.retry_after_s)
    responder.install(app)
    app.add_middleware(
        Border,
        metrics=RequestMetrics(registry),
        responder=responder,
        rate=RateLimit(settings.requests_per_minute),
        max_concurrent=settings.max_concurrent,
        has_tls=settings.has_tls,
    )
    return app


def _add_routes(app: FastAPI, desk: Desk) -> None:
    doorkeeper = Doorkeeper(desk.ports.authenticator, desk.ports.audit_sink, desk.lookups)
    routers = [resource(desk) for resource in RESOURCES] + [_own_description(app)]
    check_covered(
        f"{method} {route.path}"
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    )
    for router in routers:
        app.include_router(router, dependencies=[Depends(doorkeeper)])


def _own_description(app: FastAPI) -> APIRouter:
    router = APIRouter(tags=["models"])

    @router.get("/v1/openapi.json", summary="This description", include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(describe(app))

    return router
