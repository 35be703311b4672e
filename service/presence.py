"""Who is at work: a process says so by a lease that lives as long as it is renewed.

Others look at the lease instead of knocking at the door, which would be logged and audited.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from archive.archive import Archive
from archive.database import Transaction
from core.clock import Clock
from core.errors import UnavailableError

log = logging.getLogger(__name__)

LISTENER = "dicom listener "
"""Begins the lease of every DICOM listener; its address follows."""
LIFETIME_S, RENEW_S = 15.0, 4.0


@dataclass(frozen=True)
class Presence:
    """The lease of one place of work. Whoever holds the place, such as a port, holds the lease."""

    archive: Archive
    kind: str
    place: str
    clock: Clock

    def renew(self) -> None:
        """Say that we are at work, for a while."""
        self._tell(self._take)

    def end(self) -> None:
        """Say that we stop, and forget places that have been deserted."""
        self._tell(self._leave)

    def _take(self, tx: Transaction) -> None:
        self.archive.leases.acquire(
            tx, self._name, owner=self.place, now=self.clock(), lifetime_s=LIFETIME_S
        )

    def _leave(self, tx: Transaction) -> None:
        leases = self.archive.leases
        leases.release(tx, self._name, owner=self.place)
        for lease in leases.expired(tx, self.kind, now=self.clock()):
            leases.release(tx, lease.name, owner=lease.owner)

    def _tell(self, write: Callable[[Transaction], None]) -> None:
        """Write, but go on if that fails, or cannot even begin: it is no reason to stop working."""
        try:
            with self.archive.transaction() as tx:
                write(tx)
        except UnavailableError as error:
            log.warning(
                "%s%s could not say whether it is at work: %s", self.kind, self.place, error
            )

    @property
    def _name(self) -> str:
        return f"{self.kind}{self.place}"
