"""What the worker looks for again and again, because any process may have died in between.

The rows of the archive say what has to be done. Whatever is there without a workflow is submitted;
to submit it twice changes nothing.
"""

import logging
from collections.abc import Container
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from archive.archive import Archive
from archive.database import Transaction
from archive.revisions import RevisionRecord
from core.clock import Clock
from core.errors import CorruptionError, ForgottenError
from core.model import RevisionKey, StudyKey
from core.states import RevisionState
from service.completeness import Completeness, OpenAssociations
from service.delivery import Delivery
from service.engine import Engine, Failures, Progress
from service.transfers import Transfers

log = logging.getLogger(__name__)

_REMEMBERED = 10_000
STUCK_CHECK_S = 5.0
LONGEST_WAIT_S = 900.0


@dataclass
class Sweep:
    """One round of looking; called every fraction of a second by one thread."""

    archive: Archive
    engine: Engine
    completeness: Completeness
    associations: OpenAssociations
    transfers: Transfers
    failures: Failures
    deliveries: Delivery
    stat_peers: Container[str]
    clock: Clock
    _submitted: set[str] = field(default_factory=set)
    _looked_for_stuck: datetime | None = None

    def run_once(self) -> None:
        """Close what is complete; submit what waits; end what cannot end by itself."""
        self.completeness.close_due(self.clock())
        self._submit_studies()
        self._submit_deliveries()
        self.transfers.report_lost(self.associations)
        self._free_stuck()

    def _submit_studies(self) -> None:
        with self.archive.snapshot() as tx:
            ready = [
                (record, self._is_stat(tx, record.key.study_key))
                for record in self.archive.revisions.ready(tx)
                if f"{record.key} {record.attempt}" not in self._submitted
            ]
        for record, is_stat in ready:
            self.engine.submit(record.key, attempt=record.attempt, stat=is_stat)
            self._remember(f"{record.key} {record.attempt}")

    def _is_stat(self, tx: Transaction, study_key: StudyKey) -> bool:
        try:
            return self.archive.catalogue.study(tx, study_key).peer_name in self.stat_peers
        except (CorruptionError, ForgottenError):  # the first step says so, and ends it
            return False

    def _submit_deliveries(self) -> None:
        now = self.clock()
        for revision, destination, due in self._waiting():
            name = f"{revision} {destination} {due.isoformat()}"
            if name not in self._submitted:
                self.engine.submit_delivery(revision, destination, due=due, now=now)
                self._remember(name)

    def _waiting(self) -> list[tuple[RevisionKey, str, datetime]]:
        """Return what is on its way where, and when its next attempt is due."""
        archive = self.archive
        with archive.snapshot() as tx:
            waiting: list[tuple[RevisionKey, str, datetime]] = []
            for revision, destination in archive.deliveries.unfinished(tx):
                moments = [
                    record.next_attempt_at or record.created_at
                    for record in archive.deliveries.due(tx, revision, destination)
                ]
                if moments:
                    waiting.append((revision, destination, min(moments)))
        return waiting

    def _free_stuck(self) -> None:
        """Take up, or end, what waits for a workflow that is over or was lost."""
        now = self.clock()
        last = self._looked_for_stuck
        if last is not None and abs((now - last).total_seconds()) < STUCK_CHECK_S:
            return
        self._looked_for_stuck = now
        with self.archive.snapshot() as tx:
            scheduled = self.archive.revisions.in_state(tx, RevisionState.SCHEDULED)
            running = self.archive.revisions.in_state(tx, RevisionState.IN_PROGRESS)
        for record in scheduled:
            self._free_scheduled(record, now)
        for record in running:
            self._free_running(record, now)
        self._free_deliveries()

    def _free_scheduled(self, record: RevisionRecord, now: datetime) -> None:
        """Submit a revision anew whose work could not even begin, less and less often."""
        wait_s = min(STUCK_CHECK_S * 2**record.attempt, LONGEST_WAIT_S)
        if _quiet_s(record, now) <= wait_s or self._progress(record) is not Progress.ENDED:
            return
        with self.archive.transaction() as tx:
            if self.archive.revisions.submit_anew(tx, record, at=now):
                log.error("study %s could not begin; it is submitted anew", record.key)

    def _free_running(self, record: RevisionRecord, now: datetime) -> None:
        """End a revision that killed its worker again and again; the engine no longer tries."""
        if _quiet_s(record, now) <= STUCK_CHECK_S:
            return
        progress = self._progress(record)
        if progress is Progress.ENDED and self._is_still(record, RevisionState.IN_PROGRESS):
            log.error("study %s ended without a result", record.key)
            error = CorruptionError("processing ended without a result, again and again")
            self.failures.give_up(record.key, error)
        elif progress is Progress.UNKNOWN:
            log.error("the workflow of study %s was lost; it is submitted anew", record.key)
            self.engine.submit(record.key, attempt=record.attempt)

    def _free_deliveries(self) -> None:
        """Plan the next attempt of deliveries whose last one ended without a word."""
        now = self.clock()
        overdue = now - timedelta(seconds=STUCK_CHECK_S)
        latest = now + timedelta(seconds=2 * self.deliveries.settings.longest_delay_s)
        for revision, destination, due in self._waiting():
            if due > latest:  # planned by a clock that was wrong
                self.deliveries.broke_off(revision, destination)
            if due > overdue:
                continue
            progress = self.engine.delivery_progress(revision, destination, due=due)
            # Looked up after the rows: if the attempt ended well, they say something else by now.
            if progress is Progress.ENDED and (revision, destination, due) in self._waiting():
                self.deliveries.broke_off(revision, destination)

    def _is_still(self, record: RevisionRecord, state: RevisionState) -> bool:
        """Look again, after the workflow: what ended well meanwhile has another state by now."""
        with self.archive.snapshot() as tx:
            return record in self.archive.revisions.in_state(tx, state)

    def _progress(self, record: RevisionRecord) -> Progress:
        return self.engine.progress(record.key, attempt=record.attempt)

    def _remember(self, name: str) -> None:
        if len(self._submitted) >= _REMEMBERED:
            self._submitted.clear()
        self._submitted.add(name)


def _quiet_s(record: RevisionRecord, now: datetime) -> float:
    """Return for how long a revision has not changed; a clock that was set back says nothing."""
    return abs((now - record.updated_at).total_seconds())
