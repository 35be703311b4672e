"""Who may call which route, and which audit event each of them makes.

One table, so that it can be read whole. A route that is not in it cannot be built.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from api.events import EventKind, Scope
from core.errors import ConfigurationError


@dataclass(frozen=True)
class Access:
    """What one route asks of its caller and leaves in the audit log."""

    scope: Scope | None
    """None lets any valid key in."""
    event: EventKind | None
    """None only with a reason."""
    exempt_because: str = ""
    needs_key: bool = True


_NAMES_NOBODY = "names no patient and changes nothing; a refusal is still recorded"

ACCESS = {
    "POST /v1/detect": Access(Scope.DETECT, EventKind.IMPORT),
    "GET /v1/studies": Access(Scope.STUDIES_READ, EventKind.QUERY),
    "GET /v1/studies/{uid}": Access(Scope.STUDIES_READ, EventKind.INSTANCES_ACCESSED),
    "GET /v1/studies/{uid}/results": Access(Scope.RESULTS_READ, EventKind.INSTANCES_ACCESSED),
    "POST /v1/studies/{uid}/retry": Access(Scope.STUDIES_RETRY, EventKind.PROCEDURE_RECORD),
    "GET /v1/audit": Access(Scope.AUDIT_READ, EventKind.AUDIT_LOG_USED),
    "GET /v1/peers": Access(Scope.PEERS_READ, EventKind.SECURITY_ALERT),
    "GET /v1/peers/unknown": Access(Scope.PEERS_READ, EventKind.SECURITY_ALERT),
    # The exempt list.
    "GET /v1/models": Access(Scope.MODELS_READ, None, _NAMES_NOBODY),
    "GET /v1/openapi.json": Access(None, None, _NAMES_NOBODY),
    "GET /livez": Access(None, None, "asked every few seconds by a supervisor", needs_key=False),
    "GET /readyz": Access(None, None, "asked every few seconds by a supervisor", needs_key=False),
    "GET /metrics": Access(None, None, "scraped; holds counts, no patient data", needs_key=False),
}
"""By method and path template. Source: PS3.15 A.5.3 for the events."""


def check_covered(routes: Iterable[str]) -> None:
    """Refuse a set of routes of which one has no line in the table, or a line no route.

    Raises
    ------
    ConfigurationError
        Naming the routes; raised while the application is built.
    """
    differing = set(routes) ^ set(ACCESS)
    if differing:
        raise ConfigurationError(
            f"routes and access table differ in {', '.join(sorted(differing))}",
            remedy="Give every route its scope and audit event in api/access.py",
        )
