"""Named leases: who does what nobody else may do meanwhile, and who is still alive.

A lease is held by renewing it before it expires. Whoever finds it expired may take it; the
generation, which grows with every change of hands, tells an old holder from the new one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, select, update

from archive.database import Transaction
from archive.tables import lease as table


@dataclass(frozen=True)
class Lease:
    """One lease as it stands."""

    name: str
    owner: str
    generation: int
    acquired_at: datetime
    expires_at: datetime


class Leases:
    """All leases of an installation."""

    def acquire(
        self, tx: Transaction, name: str, *, owner: str, now: datetime, lifetime_s: float
    ) -> Lease | None:
        """Take or renew a lease; None if somebody else holds it."""
        tx.lock(f"lease {name}")
        held = self.get(tx, name)
        expires_at = now + timedelta(seconds=lifetime_s)
        if held is None:
            taken = Lease(name, owner, 1, now, expires_at)
        elif held.owner == owner:
            taken = Lease(name, owner, held.generation, held.acquired_at, expires_at)
        elif held.expires_at <= now or held.expires_at > expires_at + timedelta(seconds=lifetime_s):
            # It expired, or was taken by a clock that ran far ahead.
            taken = Lease(name, owner, held.generation + 1, now, expires_at)
        else:
            return None
        self._write(tx, taken)
        return taken

    def renew(
        self, tx: Transaction, name: str, *, owner: str, now: datetime, lifetime_s: float
    ) -> bool:
        """Keep a lease for longer; False if it is not ours any more."""
        renewed = tx.execute(
            update(table)
            .where(table.c.name == name, table.c.owner == owner)
            .values(expires_at=now + timedelta(seconds=lifetime_s))
        )
        return renewed.rowcount == 1

    def release(self, tx: Transaction, name: str, *, owner: str) -> None:
        """Give a lease back; nothing happens if it is not ours."""
        tx.execute(delete(table).where(table.c.name == name, table.c.owner == owner))

    def get(self, tx: Transaction, name: str) -> Lease | None:
        """Return a lease, expired or not."""
        row = tx.execute(select(table).where(table.c.name == name)).first()
        return None if row is None else _lease(row)

    def alive(self, tx: Transaction, prefix: str, *, now: datetime) -> tuple[Lease, ...]:
        """Return the leases of one kind that are held."""
        rows = tx.execute(
            select(table)
            .where(table.c.name.startswith(prefix, autoescape=True), table.c.expires_at > now)
            .order_by(table.c.name)
        )
        return tuple(_lease(row) for row in rows)

    def expired(self, tx: Transaction, prefix: str, *, now: datetime) -> tuple[Lease, ...]:
        """Return the leases of one kind whose holders are gone."""
        rows = tx.execute(
            select(table)
            .where(table.c.name.startswith(prefix, autoescape=True), table.c.expires_at <= now)
            .order_by(table.c.name)
        )
        return tuple(_lease(row) for row in rows)

    def _write(self, tx: Transaction, lease: Lease) -> None:
        values = {
            "owner": lease.owner,
            "generation": lease.generation,
            "acquired_at": lease.acquired_at,
            "expires_at": lease.expires_at,
        }
        tx.execute(
            tx.insert(table)
            .values(name=lease.name, **values)
            .on_conflict_do_update(index_elements=["name"], set_=values)
        )


def _lease(row: Row[Any]) -> Lease:
    return Lease(row.name, row.owner, row.generation, row.acquired_at, row.expires_at)


def is_alive(name: ColumnElement[str], now: datetime) -> ColumnElement[bool]:
    """Return the condition that a lease of that name has not expired."""
    return select(table.c.name).where(table.c.name == name, table.c.expires_at > now).exists()
