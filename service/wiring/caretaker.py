"""What the `dicom` role does beside listening: it follows config.yaml, and says what it goes by."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from archive.configurations import ConfigurationInForce
from audit.vocabulary import Alert
from core.errors import ServiceError, UnavailableError
from dicom_node.settings import PeerSettings
from service.foundation import Foundation
from service.reload import Change, Reload, Standing

log = logging.getLogger(__name__)


class PeerKeeper(Protocol):
    """Who knows the peers: the node."""

    def replace_peers(self, peers: Sequence[PeerSettings]) -> None:
        """Go by other peers from now on; those who are no peers any more end between messages."""


@dataclass
class Caretaker:
    """Takes up what can be taken up while the service runs."""

    foundation: Foundation
    node: PeerKeeper
    place: str
    """Of the listener, as its lease names it."""
    _reload: Reload = field(init=False)
    _said: Standing | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._reload = Reload(self.foundation.installation, self._take_up)

    def look(self) -> None:
        """Look at config.yaml, and say what is in force if that is new; every second or so."""
        try:
            self._reload.look()
            self._say(self._reload.standing)
        except ServiceError as error:  # at the next look it is tried again
            log.warning("a change of config.yaml waits: %s", error)

    def end(self) -> None:
        """Say nothing any more."""
        archive = self.foundation.archive
        try:
            with archive.transaction() as tx:
                archive.configurations.remove(tx, self.place)
        except UnavailableError as error:
            log.warning("%s could not say that it stops: %s", self.place, error)

    def _take_up(self, change: Change) -> None:
        """Record the change before it counts."""
        text = f"the peers of config.yaml were taken up; {change}"
        self.foundation.record(self.foundation.trail.alert(Alert.SOFTWARE_CONFIGURATION, text))
        self.node.replace_peers(change.node.peers)

    def _say(self, standing: Standing) -> None:
        if standing == self._said:
            return
        foundation = self.foundation
        archive, now = foundation.archive, foundation.clock()
        waiting = ", ".join(standing.waiting)
        said = ConfigurationInForce(self.place, standing.digest, standing.fault, waiting, now)
        with archive.transaction() as tx:
            archive.configurations.put(tx, said)
            if standing.fault and (self._said is None or standing.fault != self._said.fault):
                text = "config.yaml is wrong and was not taken up; the peers of before count"
                record = foundation.trail.alert(Alert.SOFTWARE_CONFIGURATION, text)
                archive.outbox.add(tx, record.event_id, record.sealed, at=now)
        self._said = standing
