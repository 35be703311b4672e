"""What we know of one request while it is answered: its number, its route, whose key it is."""

import re
import secrets
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.types import Scope as AsgiScope

from api.events import Principal, RequestOrigin

UNMATCHED = "unmatched"
"""The route of a request that no route took; its path goes nowhere."""
_METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"))
_STATE = "trace"
_NOT_VISIBLE = re.compile(r"[^\x21-\x7e]")


@dataclass
class Trace:
    """Filled in while the request makes its way; belongs to one request."""

    method: str
    address: str
    client_request_id: str
    request_id: str = field(default_factory=lambda: secrets.token_hex(8))
    route: str = UNMATCHED
    principal: Principal | None = None

    @property
    def origin(self) -> RequestOrigin:
        """The part of it that an audit record keeps."""
        return RequestOrigin(
            request_id=self.request_id,
            client_request_id=self.client_request_id,
            method=self.method,
            route=self.route,
            address=self.address,
        )


def begin_trace(scope: AsgiScope) -> Trace:
    """Begin the trace of a request and keep it in its scope."""
    client = scope.get("client")
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    given = next((value for name, value in headers if name == b"x-request-id"), b"")
    trace = Trace(
        method=scope["method"] if scope["method"] in _METHODS else "other",
        address=client[0] if client else "",
        client_request_id=_NOT_VISIBLE.sub("", given[:64].decode("latin-1")),
    )
    scope.setdefault("state", {})[_STATE] = trace
    return trace


def trace_of(request: Request) -> Trace:
    """Return the trace of a request that came through the border."""
    trace: Trace = request.scope["state"][_STATE]
    return trace
