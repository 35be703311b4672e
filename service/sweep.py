"""What the worker looks for again and again, because any process may have died in between.

The rows of the archive say what has to be done. Whatever is there without a workflow is submitted;
to submit it twice changes nothing.
"""

import logging
from dataclasses import dataclass, field
from datetime import datetime

from archive.archive import Archive
from core.clock import Clock
from core.errors import CorruptionError
from core.model import RevisionKey
from core.states import RevisionState
from service.completeness import Completeness, OpenAssociations
from service.engine import Engine, Failures
from service.transfers import Transfers

log = logging.getLogger(__name__)

_REMEMBERED = 10_000
STUCK_CHECK_S = 5.0


@dataclass
class Sweep:
    """One round of looking; called every fraction of a second by one thread."""

    archive: Archive
    engine: Engine
    completeness: Completeness
    associations: OpenAssociations
    transfers: Transfers
    failures: Failures
    stat_peers: frozenset[str]
    clock: Clock
    _submitted: set[str] = field(default_factory=set)
    _looked_for_stuck: datetime | None = None

    def run_once(self) -> None:
        """Close what is complete; submit what waits; end what cannot end by itself."""
        self.completeness.close_due(self.clock())
        self._submit_studies()
        self._submit_deliveries()
        self.transfers.report_lost(self.associations)
        self._end_stuck()

    def _submit_studies(self) -> None:
        with self.archive.snapshot() as tx:
            ready = [
                (record, self.archive.catalogue.study(tx, record.key.study_key).peer_name)
                for record in self.archive.revisions.ready(tx)
                if f"{record.key} {record.attempt}" not in self._submitted
            ]
        for record, peer_name in ready:
            self.engine.submit(
                record.key, attempt=record.attempt, stat=peer_name in self.stat_peers
            )
            self._remember(f"{record.key} {record.attempt}")

    def _submit_deliveries(self) -> None:
        archive, now = self.archive, self.clock()
        with archive.snapshot() as tx:
            waiting: list[tuple[RevisionKey, str, datetime]] = []
            for revision, destination in archive.deliveries.unfinished(tx):
                moments = [
                    record.next_attempt_at or record.created_at
                    for record in archive.deliveries.due(tx, revision, destination)
                ]
                if moments:
                    waiting.append((revision, destination, min(moments)))
        for revision, destination, due in waiting:
            name = f"{revision} {destination} {due.isoformat()}"
            if name not in self._submitted:
                self.engine.submit_delivery(revision, destination, due=due, now=now)
                self._remember(name)

    def _end_stuck(self) -> None:
        """End revisions whose workflow is over though they are in progress.

        That is one that killed its worker again and again, so that the engine no longer tries.
        """
        now = self.clock()
        last = self._looked_for_stuck
        if last is not None and (now - last).total_seconds() < STUCK_CHECK_S:
            return
        self._looked_for_stuck = now
        with self.archive.snapshot() as tx:
            running = self.archive.revisions.in_state(tx, RevisionState.IN_PROGRESS)
        for record in running:
            quiet_s = (now - record.updated_at).total_seconds()
            if quiet_s > STUCK_CHECK_S and self.engine.has_ended(
                record.key, attempt=record.attempt
            ):
                log.error("study %s ended without a result", record.key)
                error = CorruptionError("processing ended without a result, again and again")
                self.failures.give_up(record.key, error)

    def _remember(self, name: str) -> None:
        if len(self._submitted) >= _REMEMBERED:
            self._submitted.clear()
        self._submitted.add(name)
