"""What the OpenAPI document says beyond what FastAPI derives: problems, keys, examples."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from api.access import ACCESS
from api.errors import MEDIA_TYPE
from api.examples import ANSWERS
from api.schemas import Problem

API_VERSION = "1"
_DESCRIPTIONS = {
    400: "The body is not what its media type says.",
    401: "No valid API key.",
    403: "The key lacks the scope of this route.",
    404: "What was asked for is not here.",
    408: "The body did not arrive in time.",
    409: "The state of the study does not allow it.",
    413: "The body is too large.",
    415: "The body is of a media type that is not read here.",
    422: "A field is wrong, or the content cannot be read.",
    429: "This address or key asks too often; Retry-After says when to try again.",
    500: "A defect, or stored data is damaged.",
    503: "Something is unavailable; Retry-After says when to try again.",
}


def problems(*statuses: int) -> dict[int | str, Any]:
    """Return the documented problems of a route: those of every route with a key, and its own."""
    return {
        status: _problem(status) for status in sorted({401, 403, 422, 429, 500, 503, *statuses})
    }


def request_body(**contents: dict[str, Any]) -> dict[str, Any]:
    """Return `openapi_extra` for a body that the route reads itself."""
    return {"requestBody": {"required": True, "content": contents}}


def inline_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a model that refers to no other."""
    return model.model_json_schema()


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of `app`, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title="Second Reader",
            version=API_VERSION,
            summary="Findings of detection models, for the systems of a hospital.",
            description="Every answer carries X-Request-Id. Errors are problems of RFC 9457.",
            routes=app.routes,
        )
        components = document.setdefault("components", {})
        components.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        _name_keys(document["paths"])
        _add_examples(document["paths"])
        app.openapi_schema = document
    return app.openapi_schema


def _name_keys(paths: dict[str, dict[str, Any]]) -> None:
    """Say of each operation which scope it needs."""
    for path, operations in paths.items():
        for method, operation in operations.items():
            access = ACCESS[f"{method.upper()} {path}"]
            if access.needs_key:
                operation["security"] = [{"bearer": []}, {"header": []}]
                operation["x-scope"] = access.scope


def _add_examples(paths: dict[str, dict[str, Any]]) -> None:
    """Add the examples of answers; FastAPI would drop the nulls in them."""
    for route, example in ANSWERS.items():
        method, _, path = route.partition(" ")
        responses = paths[path][method.lower()]["responses"]
        good = next(status for status in responses if status.startswith("2"))
        responses[good]["content"]["application/json"]["example"] = example


def _problem(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": _DESCRIPTIONS[status],
        "content": {MEDIA_TYPE: {"schema": schema}},
    }
