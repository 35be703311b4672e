"""What each association brought of each study: for completeness, and for its audit record."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, select, update

from archive.database import Transaction
from archive.leases import is_alive
from archive.tables import arrival as table
from core.model import RemoteAE, StudyKey

LEASE_PREFIX = "association:"
"""Leases of open associations are named so, followed by the association's id."""


@dataclass(frozen=True)
class Arrival:
    """What one association brought of one modality of one study."""

    association_id: str
    study_key: StudyKey
    modality: str
    peer: RemoteAE
    stored: int
    duplicates: int
    """Objects that we had already, and acknowledged."""
    first_at: datetime
    last_at: datetime
    is_open: bool = False
    """Whether the association's lease lives; only where that was asked for."""


_COUNT = (
    update(table)
    .where(
        table.c.association_id == bindparam("association"),
        table.c.study_key == bindparam("study"),
        table.c.modality == bindparam("of_modality"),
    )
    .values(
        stored=table.c.stored + bindparam("more_stored"),
        duplicates=table.c.duplicates + bindparam("more_duplicates"),
        last_at=bindparam("at"),
        reported_at=None,  # there is more to report
    )
)


class Arrivals:
    """Counts what arrives."""

    def count(self, tx: Transaction, brought: Arrival) -> None:
        """Add `brought` (of one object, as a rule) to what its association brought before."""
        counted = tx.execute(
            _COUNT,
            {
                "association": brought.association_id,
                "study": brought.study_key,
                "of_modality": brought.modality,
                "more_stored": brought.stored,
                "more_duplicates": brought.duplicates,
                "at": brought.last_at,
            },
        )
        if counted.rowcount == 0:
            self._insert(tx, brought)

    def of_study(
        self, tx: Transaction, study_key: StudyKey, *, since: datetime, now: datetime
    ) -> tuple[Arrival, ...]:
        """Return what arrived of a study since a moment, and whether its senders are still here."""
        rows = tx.execute(
            select(table, is_alive(LEASE_PREFIX + table.c.association_id, now).label("is_open"))
            .where(table.c.study_key == study_key, table.c.last_at >= since)
            .order_by(table.c.first_at)
        )
        return tuple(_arrival(row, is_open=bool(row.is_open)) for row in rows)

    def of_association(self, tx: Transaction, association_id: str) -> tuple[Arrival, ...]:
        """Return what an association brought, by study and modality."""
        rows = tx.execute(
            select(table)
            .where(table.c.association_id == association_id)
            .order_by(table.c.first_at, table.c.study_key)
        )
        return tuple(_arrival(row) for row in rows)

    def unreported(self, tx: Transaction, *, now: datetime) -> tuple[str, ...]:
        """Return the associations that are gone and whose transfer is not in the audit log yet.

        They are those whose process died before it could report them.
        """
        rows = tx.execute(
            select(table.c.association_id)
            .where(
                table.c.reported_at.is_(None),
                ~is_alive(LEASE_PREFIX + table.c.association_id, now),
            )
            .distinct()
        )
        return tuple(row.association_id for row in rows)

    def mark_reported(self, tx: Transaction, association_id: str, *, at: datetime) -> None:
        """Note that the transfer of an association is in the audit outbox."""
        tx.execute(
            update(table)
            .where(table.c.association_id == association_id, table.c.reported_at.is_(None))
            .values(reported_at=at)
        )

    def _insert(self, tx: Transaction, brought: Arrival) -> None:
        tx.execute(
            table.insert(),
            {
                "association_id": brought.association_id,
                "study_key": brought.study_key,
                "modality": brought.modality,
                "peer_name": brought.peer.name,
                "ae_title": brought.peer.ae_title,
                "called_ae_title": brought.peer.called_ae_title,
                "address": brought.peer.address,
                "stored": brought.stored,
                "duplicates": brought.duplicates,
                "first_at": brought.first_at,
                "last_at": brought.last_at,
                "reported_at": None,
            },
        )


def _arrival(row: Row[Any], *, is_open: bool = False) -> Arrival:
    return Arrival(
        association_id=row.association_id,
        study_key=StudyKey(row.study_key),
        modality=row.modality,
        peer=RemoteAE(row.peer_name, row.ae_title, row.called_ae_title, row.address),
        stored=row.stored,
        duplicates=row.duplicates,
        first_at=row.first_at,
        last_at=row.last_at,
        is_open=is_open,
    )
