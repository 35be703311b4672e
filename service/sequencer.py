"""The one process that brings sealed audit records from the outbox into the Merkle log.

Whoever holds the lease in the database appends; a process that dies loses it, and the next one
goes on. A record is appended twice if a machine dies between appending and marking: the log knows
its event id and ignores it.
"""

import logging
from datetime import datetime
from pathlib import Path

from archive.archive import Archive
from archive.outbox import OutboxRecord
from audit.checkpoint import Checkpoint
from audit.errors import LogBusyError
from audit.keeper import AuditKeeper, Seen
from audit.records import SealedRecord
from audit.settings import AuditSettings
from audit.vocabulary import Alert
from core.clock import Clock
from core.errors import UnavailableError
from service.trail import Trail

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
        trail: Trail,
        clock: Clock,
    ) -> None:
        self._archive = archive
        self._settings = settings
        self._signing_key = signing_key
        self._owner = owner
        self._trail = trail
        self._clock = clock
        self._keeper: AuditKeeper | None = None
        self._renewed_at: datetime | None = None
        self._told_unreachable: tuple[Path, ...] = ()
        self._told_signed: Checkpoint | None = None

    def run_once(self) -> int:
        """Append everything that waits now; return how many records that were.

        What comes meanwhile is for the next call: to append a few records costs as much as to
        append many, and the senders wait for the database while they are marked.

        Raises
        ------
        UnavailableError
            If log or database cannot be written now; call again later.
        """
        if not self._leads():
            return 0
        appended, is_more = 0, True
        while is_more:
            records = self._pending()
            if records:
                self._append(records)
            appended += len(records)
            is_more = len(records) == BATCH
        if self._keeper is not None:
            self._keeper.sign_if_due()
            self._note_signed(self._keeper)
            self._tell_unreachable(self._keeper)
        return appended

    def close(self) -> None:
        """Sign what is not signed and let others append."""
        if self._keeper is not None:
            keeper, self._keeper = self._keeper, None
            keeper.close()
            self._note_signed(keeper)
        with self._archive.transaction() as tx:
            self._archive.leases.release(tx, LEASE, owner=self._owner)

    def _leads(self) -> bool:
        now = self._clock()
        renewed = self._renewed_at
        if self._keeper is not None and renewed and abs((now - renewed).total_seconds()) < RENEW_S:
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
            with self._archive.snapshot() as tx:
                outbox = self._archive.outbox
                seen = Seen(outbox.last_signed(tx), outbox.last_appended(tx))
            try:
                self._keeper = AuditKeeper(
                    self._settings.folder,
                    self._settings,
                    signing_key=self._signing_key,
                    clock=self._clock,
                    seen=seen,
                )
            except LogBusyError:
                return False  # the one before us is still closing it
            self._tell_torn_tail(self._keeper)
        return True

    def _note_signed(self, keeper: AuditKeeper) -> None:
        """Tell the database how the log was signed; it then knows its log from any other."""
        if keeper.last_checkpoint == self._told_signed:
            return
        with self._archive.transaction() as tx:
            self._archive.outbox.note_signed(tx, keeper.last_note)
        self._told_signed = keeper.last_checkpoint

    def _tell_torn_tail(self, keeper: AuditKeeper) -> None:
        """Record that a crash had cut off the end of the log; nothing signed was lost."""
        if keeper.torn_tail is not None:
            self._alert("the end of the audit log had been cut off, and was cut back")

    def _tell_unreachable(self, keeper: AuditKeeper) -> None:
        """Record once that checkpoints do not reach a place outside."""
        missing = keeper.unreachable
        if missing and missing != self._told_unreachable:
            names = ", ".join(path.name for path in missing)
            self._alert(f"checkpoints cannot be written to {names}")
        self._told_unreachable = missing

    def _alert(self, text: str) -> None:
        log.error("%s", text)
        record = self._trail.alert(Alert.SECURITY_CONFIGURATION, text)
        with self._archive.transaction() as tx:
            self._archive.outbox.add(tx, record.event_id, record.sealed, at=self._clock())

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
