"""Which audit event each command leaves behind.

One table, so that it can be read whole. A command that is not in it cannot run at a desk, and a
test walks the command tree.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from audit.vocabulary import EventKind


@dataclass(frozen=True)
class Access:
    """What one command leaves in the audit log."""

    events: frozenset[EventKind] = frozenset()
    """Empty only with a reason."""
    exempt_because: str = ""


def _leaves(*events: EventKind) -> Access:
    return Access(frozenset(events))


def _exempt(because: str) -> Access:
    return Access(exempt_because=because)


_NAMES_NOBODY = "reads settings or model packages only, which name no patient and hold no secret"

ACCESS: Mapping[str, Access] = {
    "init": _leaves(EventKind.SECURITY_ALERT),
    "serve": _leaves(EventKind.APPLICATION_ACTIVITY),  # each of its roles leaves its own
    "doctor": _leaves(EventKind.AUDIT_LOG_USED),
    "send": _leaves(EventKind.BEGIN_TRANSFERRING, EventKind.INSTANCES_TRANSFERRED),
    "deidentify": _leaves(EventKind.EXPORT),
    "detect": _leaves(EventKind.IMPORT),
    "study list": _leaves(EventKind.QUERY),
    "study show": _leaves(EventKind.INSTANCES_ACCESSED, EventKind.QUERY),
    "study retry": _leaves(EventKind.PIPELINE_DECISION, EventKind.QUERY),
    "study cancel": _leaves(EventKind.PIPELINE_DECISION, EventKind.QUERY),
    "archive scrub": _leaves(EventKind.SECURITY_ALERT),
    "audit read": _leaves(EventKind.AUDIT_LOG_USED),
    "audit search": _leaves(EventKind.AUDIT_LOG_USED),
    "audit verify": _leaves(EventKind.AUDIT_LOG_USED),
    "audit begin": _leaves(EventKind.SECURITY_ALERT),
    "audit prove": _leaves(EventKind.AUDIT_LOG_USED),
    "audit export": _leaves(EventKind.AUDIT_LOG_USED),
    "peer list": _leaves(EventKind.SECURITY_ALERT),
    "peer unknown": _leaves(EventKind.SECURITY_ALERT),
    "peer allow": _leaves(EventKind.SECURITY_ALERT),
    "peer remove": _leaves(EventKind.SECURITY_ALERT),
    "peer forget": _leaves(EventKind.SECURITY_ALERT),
    "key status": _leaves(EventKind.SECURITY_ALERT),
    "apikey add": _leaves(EventKind.SECURITY_ALERT),
    "apikey list": _leaves(EventKind.SECURITY_ALERT),
    "apikey revoke": _leaves(EventKind.SECURITY_ALERT),
    # The exempt list.
    "demo": _exempt("its patient is invented; what it runs leaves its events in a log of its own"),
    "echo": _exempt("carries no patient data, and changes nothing"),
    "config check": _exempt(_NAMES_NOBODY),
    "config show": _exempt(_NAMES_NOBODY),
    "config schema": _exempt(_NAMES_NOBODY),
    "model list": _exempt(_NAMES_NOBODY),
    "model show": _exempt(_NAMES_NOBODY),
    "model verify": _exempt(_NAMES_NOBODY),
    "model export": _exempt(_NAMES_NOBODY),
    "model train": _exempt("reads frames that the operator collected outside of the archive"),
    "model evaluate": _exempt("reads frames that the operator collected outside of the archive"),
}
"""By the words of the command. A look-up that finds nobody is a query. Source: PS3.15 A.5.3."""
