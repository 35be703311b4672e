"""Notice when a study is complete: nothing more came for long enough, and nobody still sends.

A revision is closed by the rule that asks for the longest quiet time among those that fit what
arrived; which one that was is kept with the revision and shown.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from archive.archive import Archive
from archive.arrivals import LEASE_PREFIX, Arrival
from archive.database import Transaction
from archive.journey import JourneyEntry
from archive.revisions import RevisionRecord
from audit.vocabulary import Decision
from core.model import RevisionKey
from core.states import RevisionState
from service.completeness_settings import CompletenessRule, CompletenessSettings
from service.reception import AuditTrail
from service.trail import identity_of

log = logging.getLogger(__name__)

CLOCK_TOLERANCE_S = 60.0
"""So much may the clocks of two machines differ."""


@dataclass(frozen=True)
class Outlook:
    """When an open revision will be complete, if nothing more arrives."""

    rule: str
    """The rule that decides, in words."""
    time_left_s: float
    """Of the quiet time; 0 if only an open association keeps it waiting."""
    waits_for_association: bool

    @property
    def is_due(self) -> bool:
        """Whether the revision is complete now."""
        return self.time_left_s <= 0 and not self.waits_for_association


@dataclass(frozen=True)
class Completeness:
    """Closes revisions. May run in several processes: a revision is closed once."""

    archive: Archive
    trail: AuditTrail
    settings: CompletenessSettings

    def close_due(self, now: datetime) -> list[RevisionKey]:
        """Close every revision that is complete; return those that the pipeline may take up.

        A revision with a reason to be held is closed too, and not returned.
        """
        quiet_times = [
            self.settings.quiet_time_s,
            *self.settings.by_modality.values(),
            *(rule.quiet_time_s for rule in self.settings.rules),
        ]
        quiet_since = now - timedelta(seconds=min(quiet_times))
        self._heed_clock(now)
        with self.archive.snapshot() as tx:
            quiet = self.archive.revisions.in_state(tx, RevisionState.OPEN, quiet_since=quiet_since)
            due = [record.key for record in quiet if self.outlook(tx, record, now).is_due]
        return [key for key in due if self._close(key, now) is RevisionState.SCHEDULED]

    def _heed_clock(self, now: datetime) -> None:
        """Let no study wait for a moment that a wrong clock wrote: count from now instead."""
        with self.archive.snapshot() as tx:
            ahead = [
                record.key
                for record in self.archive.revisions.in_state(tx, RevisionState.OPEN)
                if (record.last_instance_at - now).total_seconds() > CLOCK_TOLERANCE_S
            ]
        for key in ahead:
            log.warning("study %s arrived after now: the clock was set back", key)
            with self.archive.transaction() as tx:
                self.archive.revisions.count_anew(tx, key, at=now)

    def outlook(self, tx: Transaction, record: RevisionRecord, now: datetime) -> Outlook:
        """Return when an open revision will be complete, and by which rule."""
        arrivals = self.archive.arrivals.of_study(
            tx, record.key.study_key, since=record.opened_at, now=now
        )
        quiet_time_s, rule = self._deciding_rule(arrivals)
        quiet_for_s = (now - record.last_instance_at).total_seconds()
        return Outlook(
            rule=rule,
            time_left_s=max(0.0, quiet_time_s - quiet_for_s),
            waits_for_association=any(self._is_awaited(arrival, now) for arrival in arrivals),
        )

    def _close(self, key: RevisionKey, now: datetime) -> RevisionState | None:
        """Close a revision unless something came since; None if it stays open."""
        archive = self.archive
        with archive.transaction() as tx:
            tx.lock(key.study_key)
            record = archive.revisions.get(tx, key)
            if record.state is not RevisionState.OPEN:
                return None
            outlook = self.outlook(tx, record, now)
            if not outlook.is_due:
                return None
            state = archive.revisions.close(tx, key, rule=outlook.rule, at=now)
            entry = JourneyEntry(now, key.number, "complete", state.value.lower(), outlook.rule)
            archive.journey.note(tx, key, entry)
            identity = identity_of(archive, tx, key.study_key)
            sealed = self.trail.decided(
                Decision.COMPLETENESS_CLOSED, key, identity, rule=outlook.rule
            )
            archive.outbox.add(tx, sealed.event_id, sealed.sealed, at=now)
        return state

    def _deciding_rule(self, arrivals: tuple[Arrival, ...]) -> tuple[float, str]:
        choices = [self._rule(arrival) for arrival in arrivals]
        return max(choices, default=self._default())

    def _rule(self, arrival: Arrival) -> tuple[float, str]:
        for rule in self.settings.rules:
            if _fits(rule, arrival):
                return rule.quiet_time_s, f"quiet for {rule.quiet_time_s:g} s (rule {rule.name})"
        seconds = self.settings.by_modality.get(arrival.modality)
        if seconds is not None:
            return seconds, f"quiet for {seconds:g} s (modality {arrival.modality})"
        return self._default()

    def _default(self) -> tuple[float, str]:
        seconds = self.settings.quiet_time_s
        return seconds, f"quiet for {seconds:g} s (default)"

    def _is_awaited(self, arrival: Arrival, now: datetime) -> bool:
        silent_for_s = (now - arrival.last_at).total_seconds()
        # A lease that was taken before the clock was set back lives on, and says nothing.
        return arrival.is_open and abs(silent_for_s) <= self.settings.longest_association_wait_s


@dataclass(frozen=True)
class OpenAssociations:
    """Says which associations are open, by leases that live as long as they are renewed."""

    archive: Archive
    lifetime_s: float

    def opened(self, tx: Transaction, association_id: str, now: datetime) -> None:
        """Note that an association is open, or still is."""
        self.archive.leases.acquire(
            tx,
            f"{LEASE_PREFIX}{association_id}",
            owner=association_id,
            now=now,
            lifetime_s=self.lifetime_s,
        )

    def closed(self, tx: Transaction, association_id: str) -> None:
        """Note that an association ended."""
        self.archive.leases.release(tx, f"{LEASE_PREFIX}{association_id}", owner=association_id)

    def lost(self, tx: Transaction, now: datetime) -> tuple[str, ...]:
        """Return associations that brought something and died unreported with their process."""
        return self.archive.arrivals.unreported(tx, now=now)


def _fits(rule: CompletenessRule, arrival: Arrival) -> bool:
    return (
        rule.peer in {None, arrival.peer.name}
        and rule.called_ae_title in {None, arrival.peer.called_ae_title}
        and rule.modality in {None, arrival.modality}
    )
