"""Sealed audit records, committed together with what they record, until the log has them.

The records are opaque here. One sequencer (see `leases`) appends them to the audit log in order.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import delete, func, select, update

from archive.database import Insert, Transaction
from archive.tables import installation
from archive.tables import outbox as table

_MARKED_AT_ONCE = 500
_SIGNED, _BEGUN_ANEW = "audit log signed", "audit log begun anew"


@dataclass(frozen=True)
class OutboxRecord:
    """One sealed audit record that waits for the log."""

    sequence: int
    """In the order of commits: exactly on SQLite, which has one writer; on PostgreSQL in the order
    of inserts, so that a record of a slower transaction may appear behind younger ones."""
    event_id: str
    sealed: bytes = field(repr=False)
    recorded_at: datetime


class Outbox:
    """Adds records, and hands them to the sequencer."""

    def add(self, tx: Transaction, event_id: str, sealed: bytes, *, at: datetime) -> None:
        """Record an event in this transaction; a repeated event id changes nothing."""
        tx.execute(
            tx.prepared(_insert),
            {"event_id": event_id, "sealed": sealed, "recorded_at": at, "appended_at": None},
        )

    def pending(self, tx: Transaction, limit: int, *, after: int = 0) -> tuple[OutboxRecord, ...]:
        """Return the oldest records that the log does not have yet, in order, after a sequence."""
        rows = tx.execute(
            select(table.c.sequence, table.c.event_id, table.c.sealed, table.c.recorded_at)
            .where(table.c.appended_at.is_(None), table.c.sequence > after)
            .order_by(table.c.sequence)
            .limit(limit)
        )
        return tuple(
            OutboxRecord(row.sequence, row.event_id, row.sealed, row.recorded_at) for row in rows
        )

    def mark_appended(self, tx: Transaction, event_ids: Collection[str], *, at: datetime) -> None:
        """Note that the log has these records, durably; to repeat it changes nothing."""
        ids = list(event_ids)
        for start in range(0, len(ids), _MARKED_AT_ONCE):
            tx.execute(
                update(table)
                .where(
                    table.c.event_id.in_(ids[start : start + _MARKED_AT_ONCE]),
                    table.c.appended_at.is_(None),
                )
                .values(appended_at=at)
            )

    def oldest_pending_age(self, tx: Transaction, *, now: datetime) -> float | None:
        """Return for how many seconds the oldest record has been waiting; None if none waits."""
        oldest = tx.execute(
            select(func.min(table.c.recorded_at)).where(table.c.appended_at.is_(None))
        ).scalar()
        return None if oldest is None else (now - oldest).total_seconds()

    def count_pending(self, tx: Transaction) -> int:
        """Return how many records wait."""
        return int(
            tx.execute(
                select(func.count()).select_from(table).where(table.c.appended_at.is_(None))
            ).scalar_one()
        )

    def appended(self, tx: Transaction) -> Iterator[tuple[int, str, datetime]]:
        """Yield sequence, event id and time of every record here that the log should have."""
        rows = tx.execute(
            select(table.c.sequence, table.c.event_id, table.c.appended_at)
            .where(table.c.appended_at.is_not(None))
            .order_by(table.c.sequence)
        )
        return ((row.sequence, row.event_id, row.appended_at) for row in rows)

    def last_appended(self, tx: Transaction) -> str:
        """Return the event id of the newest record that the log has; empty if none is here."""
        return str(
            tx.execute(
                select(table.c.event_id)
                .where(table.c.appended_at.is_not(None))
                .order_by(table.c.sequence.desc())
                .limit(1)
            ).scalar()
            or ""
        )

    def note_signed(self, tx: Transaction, note: str) -> None:
        """Keep how the log was signed last, so that no other can take its place unseen."""
        self._note(tx, _SIGNED, note)

    def last_signed(self, tx: Transaction) -> str:
        """Return how the log was signed last; empty if it never was."""
        return self._noted(tx, _SIGNED)

    def begin_anew(self, tx: Transaction, event_id: str, *, at: datetime) -> int:
        """Let the log begin anew by the decision that this event records.

        Records that are still here are appended to the new log too; returns how many those are.
        """
        self._note(tx, _SIGNED, "")
        self._note(tx, _BEGUN_ANEW, f"{event_id} {at.isoformat()}")
        again = tx.execute(
            update(table).where(table.c.appended_at.is_not(None)).values(appended_at=None)
        )
        return int(again.rowcount)

    def begun_anew(self, tx: Transaction) -> tuple[str, datetime] | None:
        """Return event id and time of the last decision to let the log begin anew."""
        event_id, _, at = self._noted(tx, _BEGUN_ANEW).partition(" ")
        return (event_id, datetime.fromisoformat(at)) if event_id else None

    def _note(self, tx: Transaction, name: str, text: str) -> None:
        values = {"value": text.encode()}
        tx.execute(
            tx.insert(installation)
            .values(name=name, **values)
            .on_conflict_do_update(index_elements=["name"], set_=values)
        )

    def _noted(self, tx: Transaction, name: str) -> str:
        row = tx.execute(select(installation.c.value).where(installation.c.name == name)).first()
        return "" if row is None else bytes(row.value).decode()

    def prune(self, tx: Transaction, *, before: datetime) -> int:
        """Remove records that the log has had since before a moment; return how many."""
        removed = tx.execute(delete(table).where(table.c.appended_at < before))
        return int(removed.rowcount)


def _insert(tx: Transaction) -> Insert:
    return tx.insert(table).on_conflict_do_nothing(index_elements=["event_id"])
