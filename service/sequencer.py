"""The one process that brings sealed audit records from the outbox into the Merkle log.

Whoever holds the lease in the database appends; a process that dies loses it, and the next one
goes on. A record is appended twice if a machine dies between appending and marking: the log knows
its event id and ignores it.
"""

import logging
from datetime import datetime

from archive.archive import Archive
from archive.outbox import OutboxRecord
from audit.errors import LogBusyError
from audit.keeper import AuditKeeper
from audit.records import SealedRecord
from audit.settings import AuditSettings
from core.clock import Clock
from core.errors import UnavailableError

log = logging.getLogger(__name__)

LEASE = "audit sequencer"
LEASE_S, RENEW_S = 30.0, 5.0
BATCH = 500


class Sequencer:
    """Appends what waits, as long as this process holds the lease."""

    def __init__(
        self,
        archive: Archive,
        settings: AuditSettings,
        *,
        signing_key: bytes,
        owner: str,
        clock: Clock,
    ) -> None:
        self._archive = archive
        self._settings = settings
        self._signing_key = signing_key
        self._owner = owner
        self._clock = clock
        self._keeper: AuditKeeper | None = None
        self._renewed_at: datetime | None = None

    def run_once(self) -> int:
        """Append everything that waits; return how many records that were.

        Raises
        ------
        UnavailableError
            If log or database cannot be written now; call again later.
        """
        if not self._leads():
            return 0
        appended = 0
        while records := self._pending():
            self._append(records)
            appended += len(records)
        if self._keeper is not None:
            self._keeper.sign_if_due()
        return appended

    def close(self) -> None:
        """Sign what is not signed and let others append."""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
        with self._archive.transaction() as tx:
            self._archive.leases.release(tx, LEASE, owner=self._owner)

    def _leads(self) -> bool:
        now = self._clock()
        renewed = self._renewed_at
        if self._keeper is not None and renewed and (now - renewed).total_seconds() < RENEW_S:
            return True
        with self._archive.transaction() as tx:
            lease = self._archive.leases.acquire(
                tx, LEASE, owner=self._owner, now=now, lifetime_s=LEASE_S
            )
        if lease is None:
            self._drop_keeper()
            return False
        self._renewed_at = now
        if self._keeper is None:
            try:
                self._keeper = AuditKeeper(
                    self._settings.folder,
                    self._settings,
                    signing_key=self._signing_key,
                    clock=self._clock,
                )
            except LogBusyError:
                return False  # the one before us is still closing it
        return True

    def _pending(self) -> tuple[OutboxRecord, ...]:
        with self._archive.snapshot() as tx:
            return self._archive.outbox.pending(tx, BATCH)

    def _append(self, records: tuple[OutboxRecord, ...]) -> None:
        assert self._keeper is not None
        try:
            self._keeper.append([SealedRecord(one.event_id, one.sealed) for one in records])
        except UnavailableError:
            self._drop_keeper()  # a fresh one reads again what is durable
            raise
        with self._archive.transaction() as tx:
            ids = [one.event_id for one in records]
            self._archive.outbox.mark_appended(tx, ids, at=self._clock())

    def _drop_keeper(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            try:
                keeper.close()
            except UnavailableError as error:
                log.warning("the audit log could not be closed: %s", error)
