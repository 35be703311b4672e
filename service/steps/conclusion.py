"""Enqueue the deliveries and end the revision, or say why it could not be ended."""

from dataclasses import dataclass

from archive.journey import JourneyEntry
from audit.vocabulary import Decision
from core.errors import ServiceError
from core.model import RevisionKey
from core.states import HoldReason, RevisionState
from results.errors import BorderError, NotEncodableError
from service.steps.subject import Subject, Tools
from service.trail import identity_of

HOLDS: dict[type[ServiceError], HoldReason] = {
    NotEncodableError: HoldReason.NOT_ENCODABLE,
    BorderError: HoldReason.CHECK_FAILED,
}
"""Errors that a person has to look at; after every other the revision has failed."""


@dataclass(frozen=True)
class Conclude:
    """The fifth step, and what stands in its place when one before it fails."""

    tools: Tools

    def enqueue_deliveries(self, revision: RevisionKey) -> None:
        """Leave one delivery for each object and destination; all of it in one commit."""
        tools, archive = self.tools, self.tools.archive
        subject, now = tools.subject(revision), tools.clock()
        event = tools.trail.decided(
            Decision.PROCESSED, revision, subject.study.identity, rule=subject.record.rule
        )
        with archive.transaction() as tx:
            archive.revisions.move(tx, revision, RevisionState.COMPLETED, at=now)
            # A newer answer covers every instance of the older ones, which must not come after it.
            archive.deliveries.withdraw_older(tx, revision, at=now)
            objects = archive.results.objects(tx, revision)
            for made in objects:
                names = self._destinations(made.kind, subject)
                archive.deliveries.schedule(tx, archive.results.key_of(made), names, at=now)
            archive.outbox.add(tx, event.event_id, event.sealed, at=now)
            entry = JourneyEntry(now, revision.number, "process", "done", "")
            archive.journey.note(tx, revision, entry)

    def _destinations(self, kind: str, subject: Subject) -> list[str]:
        return [
            destination.name
            for destination in self.tools.settings.delivery.destinations
            if kind in destination.kinds
            and (not destination.from_peers or subject.study.peer_name in destination.from_peers)
        ]

    def give_up(self, revision: RevisionKey, error: ServiceError) -> None:
        """Record why the revision failed or is held; what a person decided meanwhile stands."""
        tools, archive = self.tools, self.tools.archive
        now = tools.clock()
        with archive.snapshot() as tx:
            record = archive.revisions.get(tx, revision)
            identity = identity_of(archive, tx, revision.study_key)
        if record.state is not RevisionState.IN_PROGRESS:
            return
        hold = HOLDS.get(type(error))
        decision = Decision.FAILED if hold is None else Decision.HELD
        event = tools.trail.decided(decision, revision, identity, rule=error.message)
        with archive.transaction() as tx:
            if hold is None:
                archive.revisions.move(
                    tx, revision, RevisionState.FAILED, at=now, reason=error.message
                )
            else:
                archive.revisions.hold(tx, revision, hold, at=now, reason=error.message)
            archive.outbox.add(tx, event.event_id, event.sealed, at=now)
            outcome = "failed" if hold is None else "held"
            entry = JourneyEntry(now, revision.number, "process", outcome, error.message)
            archive.journey.note(tx, revision, entry)
