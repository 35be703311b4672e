"""Let a request in by its API key, before its body is read.

The key travels in a header and never in an address, which proxies and browsers keep. A refusal is
recorded in the audit log: 110114 where nobody was recognised, 110113 where the scope is missing.
"""

import re

from starlette.requests import Request

from api.access import ACCESS, Access
from api.crew import Crew
from api.errors import MissingKeyError, MissingScopeError
from api.events import EventKind, Principal
from api.ports import AuditSink, Authenticator
from api.trace import Trace, trace_of
from api.trail import record, refusal
from core.errors import AccessError

_KEY = re.compile(r"[\x21-\x7e]{16,256}")


class Doorkeeper:
    """The dependency of every route."""

    def __init__(self, authenticator: Authenticator, sink: AuditSink, crew: Crew) -> None:
        self._authenticator = authenticator
        self._sink = sink
        self._crew = crew

    async def __call__(self, request: Request) -> None:
        """Let the request pass, or refuse it by the table in `api.access`."""
        trace = trace_of(request)
        trace.route = request.scope["route"].path
        access = ACCESS[f"{trace.method} {trace.route}"]
        if access.needs_key:
            await self._crew.run(lambda: self._admit(request, trace, access))

    def _admit(self, request: Request, trace: Trace, access: Access) -> None:
        try:
            trace.principal = self._recognise(request, trace)
        except AccessError as error:
            record(self._sink, refusal(trace, EventKind.USER_AUTHENTICATION, error.message))
            raise MissingKeyError(
                "no valid API key came with this request",
                remedy="Send `Authorization: Bearer KEY`; `second-reader apikey add` makes a key",
            ) from None
        if access.scope is not None and access.scope not in trace.principal.scopes:
            reason = f"the key lacks the scope {access.scope}"
            record(self._sink, refusal(trace, EventKind.SECURITY_ALERT, reason))
            raise MissingScopeError(reason, remedy="Use a key that was made with this scope")

    def _recognise(self, request: Request, trace: Trace) -> Principal:
        return self._authenticator.authenticate(api_key(request), address=trace.address)


def api_key(request: Request) -> str:
    """Return the key that came with the request.

    Raises
    ------
    AccessError
        If there is none, more than one, or one that cannot be a key.
    """
    keys = request.headers.getlist("x-api-key")
    for credentials in request.headers.getlist("authorization"):
        scheme, _, token = credentials.partition(" ")
        if scheme.lower() != "bearer":
            raise AccessError("the Authorization header is not of the scheme Bearer")
        keys.append(token.strip(" "))
    if not keys:
        raise AccessError("no API key came with the request")
    if len(keys) > 1:
        raise AccessError("more than one API key came with the request")
    if _KEY.fullmatch(keys[0]) is None:
        raise AccessError("what came as an API key cannot be one")
    return keys[0]
