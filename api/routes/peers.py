"""`/v1/peers`: who may connect over DICOM, and who was refused."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.desk import Desk
from api.openapi import problems
from api.peer_schemas import CallerItem, CallerList, PeerList
from api.schemas import NoParameters

Nothing = Annotated[NoParameters, Query()]


def peer_routes(desk: Desk) -> APIRouter:
    """Return the routes about peers."""
    router = APIRouter(tags=["peers"])
    peers = desk.ports.peers

    @router.get("/v1/peers", summary="The peers of config.yaml", responses=problems())
    async def find(request: Request, _: Nothing) -> PeerList:
        roll = await desk.trail.answer(request, peers.peers, crew=desk.lookups)
        return PeerList.model_validate(roll)

    @router.get(
        "/v1/peers/unknown",
        summary="Who was refused over DICOM, newest first, and what would let it in",
        responses=problems(),
    )
    async def unknown(request: Request, _: Nothing) -> CallerList:
        found = await desk.trail.answer(request, peers.refused, crew=desk.lookups)
        return CallerList(callers=tuple(CallerItem.model_validate(one) for one in found))

    return router
