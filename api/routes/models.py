"""`/v1/models`: which models read here."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.desk import Desk
from api.openapi import problems
from api.schemas import ModelItem, ModelList, NoParameters
from api.views import ModelCard


def model_routes(desk: Desk) -> APIRouter:
    """Return the route about models."""
    router = APIRouter(tags=["models"])

    @router.get("/v1/models", summary="The models that are loaded", responses=problems())
    async def find(_: Annotated[NoParameters, Query()]) -> ModelList:
        cards = await desk.lookups.run(desk.ports.models.models)
        return ModelList(models=tuple(_item(card) for card in cards))

    return router


def _item(card: ModelCard) -> ModelItem:
    fields = {name: getattr(card, name) for name in ModelItem.model_fields}
    return ModelItem.model_validate(fields | {"performance": dict(card.performance)})
