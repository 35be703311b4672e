"""Whatever arrived became something: the sums by which a loss would show.

Everything here is counted in the transaction of what it counts, so that the sums hold at any moment
and after any crash.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import func, select

from archive.database import Insert, Transaction
from archive.tables import arrival, instance, revision, tally
from core.states import RevisionState


class NotStored(StrEnum):
    """Why an object that arrived has no row."""

    REFUSED = "refused"
    """What arrived is wrong, or not allowed; its sender must not send it again as it is."""
    FAILED = "failed"
    """We could not keep it; its sender may send it again."""


@dataclass(frozen=True)
class Balance:
    """What came in, and what became of it; at any moment both are the same number."""

    received: int
    outcomes: Mapping[str, int]

    @property
    def unaccounted(self) -> int:
        """How many came in of which nothing is known."""
        return self.received - sum(self.outcomes.values())


_STATES: Mapping[str, frozenset[RevisionState]] = {
    "processed": frozenset({RevisionState.COMPLETED}),
    "failed": frozenset({RevisionState.FAILED}),
    "held": frozenset({RevisionState.HELD}),
    "canceled": frozenset({RevisionState.CANCELED}),
    "queued": frozenset({RevisionState.OPEN, RevisionState.SCHEDULED, RevisionState.IN_PROGRESS}),
}
"""Every state has its place here, or the sum would not hold."""


class Accounting:
    """Counts what is not stored, and draws the balance."""

    def not_stored(self, tx: Transaction, why: NotStored) -> None:
        """Count one object that arrived and was not stored."""
        tx.execute(tx.prepared(_count_one), {"name": why.value, "count": 1})

    def objects(self, tx: Transaction) -> Balance:
        """Return what became of every object that arrived.

        What associations brought is counted as it comes, apart from the rows of what was stored.
        """
        arrived = tx.execute(
            select(
                func.sum(arrival.c.stored).label("stored"),
                func.sum(arrival.c.duplicates).label("duplicates"),
            )
        ).one()
        rows = tx.execute(select(tally.c.name, tally.c.count.label("number")))
        not_stored = {row.name: int(row.number) for row in rows}
        stored = tx.execute(select(func.count()).select_from(instance)).scalar_one()
        came, known = int(arrived.stored or 0), int(arrived.duplicates or 0)
        lost = {why.value: not_stored.get(why.value, 0) for why in NotStored}
        return Balance(
            came + known + sum(lost.values()),
            {"stored": int(stored), "duplicate": known, **lost},
        )

    def studies(self, tx: Transaction) -> Balance:
        """Return where every revision of a study is; a study is as good as its revisions."""
        newest = select(func.max(revision.c.number).label("number")).group_by(revision.c.study_key)
        received = tx.execute(select(func.sum(newest.subquery().c.number))).scalar()
        rows = tx.execute(
            select(revision.c.state, func.count().label("number")).group_by(revision.c.state)
        )
        by_state = {RevisionState(row.state): int(row.number) for row in rows}
        return Balance(
            int(received or 0),
            {
                place: sum(by_state.get(state, 0) for state in states)
                for place, states in _STATES.items()
            },
        )


def _count_one(tx: Transaction) -> Insert:
    return tx.insert(tally).on_conflict_do_update(
        index_elements=["name"], set_={"count": tally.c.count + 1}
    )
