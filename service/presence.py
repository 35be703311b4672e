"""Who is at work: a process says so by a lease that lives as long as it is renewed.

Others look at the lease instead of knocking at the door, which would be logged and audited.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
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
        leases = self.archive.leases
        with self._told() as tx:
            leases.acquire(
                tx, self._name, owner=self.place, now=self.clock(), lifetime_s=LIFETIME_S
            )

    def end(self) -> None:
        """Say that we stop, and forget places that have been deserted."""
        leases = self.archive.leases
        with self._told() as tx:
            leases.release(tx, self._name, owner=self.place)
            for lease in leases.expired(tx, self.kind, now=self.clock()):
                leases.release(tx, lease.name, owner=lease.owner)

    @contextmanager
    def _told(self) -> Iterator[Transaction]:
        """Write, but go on if that fails: it is no reason to stop working."""
        try:
            with self.archive.transaction() as tx:
                yield tx
        except UnavailableError as error:
            log.warning(
                "%s%s could not say whether it is at work: %s", self.kind, self.place, error
            )

    @property
    def _name(self) -> str:
        return f"{self.kind}{self.place}"
