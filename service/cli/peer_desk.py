"""How peers are allowed and removed: recorded, written, and taken up by who runs."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.vocabulary import Alert, Outcome
from core.errors import ServiceError
from service.cli.desk import Desk, at_desk
from service.config_file import Draft, editing
from service.foundation import Foundation
from service.peers import Wish, entry, with_peer, without_peer
from service.presence import LISTENER

PATIENCE_S = 10.0
"""How long we wait for the running service to say that it took a change up."""
_TICK_S = 0.2


@dataclass(frozen=True)
class Allowed:
    """What came of it."""

    written: dict[str, Any]
    """The entry in config.yaml."""
    told: str
    """Whether the running service knows."""


def allow(config: Path, caller_id: str, wish: Wish) -> Allowed:
    """Let somebody in who was refused.

    Raises
    ------
    UnallowableCallerError
        If no entry can be written for him, or not without widening another.
    ConfigurationError
        If config.yaml is wrong, would be then, or cannot be changed.
    """
    with at_desk("peer allow", config) as desk, editing(config) as draft:
        foundation = desk.foundation
        with foundation.archive.snapshot() as tx:
            caller = foundation.archive.callers.get(tx, caller_id)
        written = entry(caller, foundation.installation.settings.dicom_node, wish)
        text = with_peer(draft, config, written)
        what = (
            f"peer {wish.name} was allowed: {caller.caller.calling_ae_title} from "
            f"{', '.join(written['addresses'])}; it had been refused because {caller.reason}"
        )
        digest = _put(desk, draft, text, what)
        with foundation.archive.transaction() as tx:
            foundation.archive.callers.forget(tx, caller_id)
        return Allowed(written, told(foundation, digest))


def remove(config: Path, name: str) -> str:
    """Take a peer out; return whether the running service knows.

    Raises
    ------
    NoSuchPeerError
        If there is none of that name.
    ConfigurationError
        If config.yaml is wrong, would be then, or cannot be changed.
    """
    with at_desk("peer remove", config) as desk, editing(config) as draft:
        text = without_peer(draft, config, name)
        digest = _put(desk, draft, text, f"peer {name} was removed")
        return told(desk.foundation, digest)


def told(foundation: Foundation, digest: str, wait: Callable[[float], None] = time.sleep) -> str:
    """Return whether every listener that is up has taken up a configuration; waits a little."""
    archive = foundation.archive
    places: set[str] = set()
    for _ in range(int(PATIENCE_S / _TICK_S)):
        with archive.snapshot() as tx:
            alive = archive.leases.alive(tx, LISTENER, now=foundation.clock())
            said = {one.place: one for one in archive.configurations.all(tx)}
        if not alive:
            return "No listener is up; it counts from the next start on"
        places = {lease.owner for lease in alive}
        places -= {place for place in places if place in said and said[place].digest == digest}
        if not places:
            return "The running service has taken it up"
        wait(_TICK_S)
    return (
        f"The listener at {', '.join(sorted(places))} has not taken it up yet: `second-reader "
        "doctor` says why"
    )


def _put(desk: Desk, draft: Draft, text: str, what: str) -> str:
    """Record a change and make it; what is recorded but fails is recorded as that, too."""
    digest = draft.prepare(text)
    desk.record(desk.alert(Alert.SOFTWARE_CONFIGURATION, what))
    try:
        draft.put()
    except ServiceError as error:
        why = f"{what}; but it did not happen: {error.message}"
        failed = desk.alert(Alert.SOFTWARE_CONFIGURATION, why)
        desk.record(failed.ended(Outcome.SERIOUS_FAILURE))
        raise
    return digest
