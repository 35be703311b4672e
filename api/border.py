"""The outermost layer: request number, limit, security headers, log line, and the last resort."""

import logging
import time
import traceback

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access import ACCESS
from api.errors import MEDIA_TYPE, AmbiguousLengthError, HeadTooLargeError, problem_document
from api.handlers import ProblemResponder
from api.metrics import RequestMetrics
from api.rate import RateLimit
from api.trace import Trace, begin_trace
from core.errors import CapacityError, ServiceError

log = logging.getLogger(__name__)

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
HSTS = "max-age=31536000"
MAX_HEAD_BYTES = 16 * 1024
_ALWAYS_ADMITTED = frozenset(
    route.partition(" ")[2] for route, access in ACCESS.items() if not access.needs_key
)
_LENGTHS = {b"content-length", b"transfer-encoding"}
"""Two ends of one body. Source: RFC 9112 6.3."""
CLIENT_LEFT = 499
"""Counted where the client hung up before the answer; never on the wire."""


class Border:
    """ASGI middleware around everything else."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: RequestMetrics,
        responder: ProblemResponder,
        rate: RateLimit,
        max_concurrent: int,
        has_tls: bool,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._responder = responder
        self._rate = rate
        self._max_concurrent = max_concurrent
        self._in_work = 0
        self._headers = SECURITY_HEADERS | ({"Strict-Transport-Security": HSTS} if has_tls else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens inside."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace = begin_trace(scope)
        answer = _Answer(send, self._headers | {"X-Request-Id": trace.request_id})
        began = time.perf_counter()
        self._in_work += 1
        self._metrics.in_progress.inc()
        try:
            await self._answer(scope, receive, answer, trace)
        finally:
            self._in_work -= 1
            self._metrics.in_progress.dec()
            self._tell(trace, answer.status, time.perf_counter() - began)

    async def _answer(
        self, scope: Scope, receive: Receive, answer: "_Answer", trace: Trace
    ) -> None:
        try:
            self._admit(scope, trace)
            await self._app(scope, receive, answer)
        except ServiceError as error:
            await self._responder.answer(error, trace.request_id)(scope, receive, answer)
        except ClientDisconnect:
            answer.status = CLIENT_LEFT
        except Exception as error:  # noqa: BLE001 - the one place of this process boundary
            # Frames only: the text of an exception may hold a value of a patient's data.
            frames = "".join(traceback.format_tb(error.__traceback__))
            name = type(error).__name__
            log.error("request %s met a defect: %s\n%s", trace.request_id, name, frames)  # noqa: TRY400
            if answer.status == 0:
                await _defect(trace.request_id)(scope, receive, answer)

    def _admit(self, scope: Scope, trace: Trace) -> None:
        """Refuse what no request of ours needs, and what is too much at once."""
        lines = ((b"", (scope.get("raw_path") or b"") + scope["query_string"]), *scope["headers"])
        if sum(len(name) + len(value) for name, value in lines) > MAX_HEAD_BYTES:
            raise HeadTooLargeError(f"address and headers are larger than {MAX_HEAD_BYTES} bytes")
        if {name for name, _ in scope["headers"]} >= _LENGTHS:
            raise AmbiguousLengthError(
                "the request has both Content-Length and Transfer-Encoding",
                remedy="Send one of them; if a proxy did it, it must not pass such requests on",
            )
        if scope["path"] in _ALWAYS_ADMITTED:
            return
        self._rate.take(trace.address, scope["headers"])
        if self._in_work > self._max_concurrent:
            raise CapacityError("too many requests are in work", remedy="Send it again later")

    def _tell(self, trace: Trace, status: int, duration_s: float) -> None:
        self._metrics.answered(
            method=trace.method, route=trace.route, status=status, duration_s=duration_s
        )
        level = logging.DEBUG if trace.route in _ALWAYS_ADMITTED else logging.INFO
        log.log(
            level,
            "%s %s %d in %.1f ms, request %s, key %s",
            trace.method,
            trace.route,
            status,
            duration_s * 1000,
            trace.request_id,
            trace.principal.key_prefix if trace.principal else "-",
        )


class _Answer:
    """Passes an answer on, with our headers, and remembers its status."""

    def __init__(self, send: Send, headers: dict[str, str]) -> None:
        self.status = 0
        self._send = send
        self._headers = headers

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in self._headers.items():
                headers[name] = value
        await self._send(message)


def _defect(request_id: str) -> JSONResponse:
    document = problem_document(
        "defect",
        500,
        detail="the service has a defect; nothing of the request was kept",
        remedy="Give the operator the request_id",
        request_id=request_id,
    )
    return JSONResponse(document, 500, media_type=MEDIA_TYPE)
