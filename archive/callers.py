"""Who called our node: peers, when they were last let in, and others, with why they were not.

Titles and certificates are what callers say of themselves. The list of those who were refused is
bounded: nobody can fill the database by calling, nor push all others out of the list from one
address.
"""

import base64
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, select

from archive.database import Insert, Transaction
from archive.tables import caller as table
from archive.tables import peer_sighting
from core.errors import NotFoundError

MOST_CALLERS = 1000
"""So many are listed; who called longest ago is dropped first."""
MOST_OF_ONE_ADDRESS = 50
"""So that one machine that makes up titles does not hide the others."""

_ID_BYTES = 5


class UnknownCallerError(NotFoundError):
    """Nobody of that id is in the list of those who were refused."""


@dataclass(frozen=True)
class CallerName:
    """What tells one caller from another."""

    address: str
    calling_ae_title: str
    """Empty where the connection was refused before it could name itself."""
    called_ae_title: str
    certificate_sha256: str = ""
    """Fingerprint in hex; empty without TLS."""


@dataclass(frozen=True)
class Refusals:
    """How often somebody was refused within a span of time."""

    caller: CallerName
    certificate_subject: str
    reason: str
    """Of the last refusal, like the remedy."""
    remedy: str
    first_at: datetime
    last_at: datetime
    count: int


@dataclass(frozen=True)
class RefusedCaller(Refusals):
    """One entry of the list."""

    caller_id: str
    """Random, short enough to be typed."""


@dataclass(frozen=True)
class Sighting:
    """When a peer was last let in, and as what."""

    peer_name: str
    at: datetime
    caller: CallerName


class Callers:
    """Keeps who called."""

    def refused(self, tx: Transaction, refusals: Iterable[Refusals]) -> None:
        """Add refusals to what is known of their callers, and keep the list within its bounds."""
        addresses = set()
        for one in refusals:
            addresses.add(one.caller.address)
            tx.execute(tx.prepared(_upsert), _values(one))
        for address in addresses:
            self._drop(tx, MOST_OF_ONE_ADDRESS, address)
        self._drop(tx, MOST_CALLERS)

    def seen(self, tx: Transaction, sightings: Iterable[Sighting]) -> None:
        """Note that peers were let in."""
        for one in sightings:
            values = {
                "at": one.at,
                "address": one.caller.address,
                "calling_ae_title": one.caller.calling_ae_title,
                "called_ae_title": one.caller.called_ae_title,
                "certificate_sha256": one.caller.certificate_sha256,
            }
            tx.execute(
                tx.insert(peer_sighting)
                .values(peer_name=one.peer_name, **values)
                .on_conflict_do_update(index_elements=["peer_name"], set_=values)
            )

    def all_refused(self, tx: Transaction) -> tuple[RefusedCaller, ...]:
        """Return everybody who was refused, newest first."""
        rows = tx.execute(select(table).order_by(table.c.last_at.desc(), table.c.caller_id))
        return tuple(_refused(row) for row in rows)

    def count_refused(self, tx: Transaction, *, since: datetime, reasons: Iterable[str]) -> int:
        """Return how many callers were refused since a moment, for one of these reasons."""
        counted = select(func.count()).where(
            table.c.last_at >= since, table.c.reason.in_(list(reasons))
        )
        return int(tx.execute(counted).scalar_one())

    def get(self, tx: Transaction, caller_id: str) -> RefusedCaller:
        """Return one of those who were refused.

        Raises
        ------
        UnknownCallerError
            If there is none of that id.
        """
        row = tx.execute(select(table).where(table.c.caller_id == caller_id)).first()
        if row is None:
            raise UnknownCallerError(
                "no refused caller has that id", remedy="`peer unknown` shows the ids"
            )
        return _refused(row)

    def forget(self, tx: Transaction, caller_id: str) -> None:
        """Take somebody off the list; who calls again is listed again."""
        tx.execute(delete(table).where(table.c.caller_id == caller_id))

    def sightings(self, tx: Transaction) -> dict[str, Sighting]:
        """Return when each peer was last let in, by its name."""
        rows = tx.execute(select(peer_sighting))
        return {row.peer_name: Sighting(row.peer_name, row.at, _name(row)) for row in rows}

    @staticmethod
    def _drop(tx: Transaction, most: int, address: str | None = None) -> None:
        """Remove all but the newest, of all or of one address."""
        newest = select(table.c.caller_id).order_by(table.c.last_at.desc(), table.c.caller_id)
        if address is not None:
            newest = newest.where(table.c.address == address)
        too_old = tx.execute(newest.offset(most)).scalars().all()
        if too_old:
            tx.execute(delete(table).where(table.c.caller_id.in_(too_old)))


def _upsert(tx: Transaction) -> Insert:
    insert = tx.insert(table)
    newer = insert.excluded
    return insert.on_conflict_do_update(
        index_elements=["address", "calling_ae_title", "called_ae_title", "certificate_sha256"],
        set_={
            "certificate_subject": newer.certificate_subject,
            "reason": newer.reason,
            "remedy": newer.remedy,
            "last_at": newer.last_at,
            "count": table.c.count + newer.count,
        },
    )


def _values(one: Refusals) -> dict[str, Any]:
    return {
        "caller_id": base64.b32encode(secrets.token_bytes(_ID_BYTES)).decode().lower(),
        "address": one.caller.address,
        "calling_ae_title": one.caller.calling_ae_title,
        "called_ae_title": one.caller.called_ae_title,
        "certificate_sha256": one.caller.certificate_sha256,
        "certificate_subject": one.certificate_subject,
        "reason": one.reason,
        "remedy": one.remedy,
        "first_at": one.first_at,
        "last_at": one.last_at,
        "count": one.count,
    }


def _name(row: Row[Any]) -> CallerName:
    return CallerName(
        row.address, row.calling_ae_title, row.called_ae_title, row.certificate_sha256
    )


def _refused(row: Row[Any]) -> RefusedCaller:
    return RefusedCaller(
        caller=_name(row),
        certificate_subject=row.certificate_subject,
        reason=row.reason,
        remedy=row.remedy,
        first_at=row.first_at,
        last_at=row.last_at,
        count=row._mapping["count"],  # a row has a method of that name
        caller_id=row.caller_id,
    )
