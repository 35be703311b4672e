"""Turn what was raised into problem documents. Source: RFC 9457."""

import logging
from collections.abc import Mapping
from typing import cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from api.errors import (
    MEDIA_TYPE,
    AmbiguousLengthError,
    RateLimitError,
    invalid_fields,
    problem,
    problem_document,
    status_of,
)
from api.trace import trace_of
from core.errors import CorruptionError, ServiceError

log = logging.getLogger(__name__)

_PLACES = {"query": "parameter", "path": "part of the address", "header": "header"}
_HTTP_DETAILS = {
    404: ("not-found", "there is nothing at this address", "GET /v1/openapi.json lists all"),
    405: ("method-not-allowed", "this address does not know that method", ""),
}


class ProblemResponder:
    """Answers with problem documents."""

    def __init__(self, *, retry_after_s: int) -> None:
        self._retry_after_s = retry_after_s

    def install(self, app: FastAPI) -> None:
        """Answer for `app` whatever its routes raise."""
        app.add_exception_handler(ServiceError, self._service_error)
        app.add_exception_handler(RequestValidationError, self._validation_error)
        app.add_exception_handler(HTTPException, self._http_exception)

    def answer(self, error: ServiceError, request_id: str) -> JSONResponse:
        """Return the answer to one of our own errors."""
        if isinstance(error, CorruptionError):
            log.error("request %s met corruption: %s", request_id, error)
        status = status_of(error)
        headers: dict[str, str] = {}
        if status == 503:
            headers["Retry-After"] = str(self._retry_after_s)
        if isinstance(error, RateLimitError):
            headers["Retry-After"] = str(error.retry_after_s)
        if isinstance(error, AmbiguousLengthError):
            headers["Connection"] = "close"  # nobody can tell where the next request begins
        if status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="second-reader"'
        return _response(problem(error, request_id=request_id), status, headers)

    async def _service_error(self, request: Request, error: Exception) -> JSONResponse:
        return self.answer(cast("ServiceError", error), trace_of(request).request_id)

    async def _validation_error(self, request: Request, error: Exception) -> JSONResponse:
        faults = cast("RequestValidationError", error).errors()
        named = (
            (
                _PLACES[fault["loc"][0]],
                fault["loc"][1:],
                "not known here" if fault["type"] == "extra_forbidden" else fault["msg"],
            )
            for fault in faults
        )
        return self.answer(invalid_fields(named), trace_of(request).request_id)

    async def _http_exception(self, request: Request, error: Exception) -> JSONResponse:
        raised = cast("HTTPException", error)
        slug, detail, remedy = _HTTP_DETAILS[raised.status_code]
        document = problem_document(
            slug,
            raised.status_code,
            detail=detail,
            remedy=remedy,
            request_id=trace_of(request).request_id,
        )
        return _response(document, raised.status_code, raised.headers)


def _response(
    document: dict[str, object], status: int, headers: Mapping[str, str] | None
) -> JSONResponse:
    return JSONResponse(document, status, headers, MEDIA_TYPE)
