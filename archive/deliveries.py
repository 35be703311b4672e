"""Where each result object is on its way to each destination."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select, update

from archive.database import Transaction
from archive.errors import UnknownResultError
from archive.index import ResultKey
from archive.tables import delivery as table
from archive.tables import result_object
from core.model import RevisionKey, StudyKey
from core.states import DELIVERY_MOVES, DeliveryState, check_move

_UNFINISHED = (DeliveryState.SCHEDULED.value, DeliveryState.IN_PROGRESS.value)
_WITHDRAWABLE = (*_UNFINISHED, DeliveryState.FAILED.value)


@dataclass(frozen=True)
class DeliveryRecord:
    """One result object on its way to one destination."""

    result_key: ResultKey
    destination: str
    """Its name in config.yaml."""
    revision: RevisionKey
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime | None
    outcome: str
    """What the destination or the wire said last, in one sentence without patient data."""
    receipt: str
    """What proves that the destination keeps the object; empty until it does."""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class AttemptOutcome:
    """How one attempt ended."""

    state: DeliveryState
    """COMPLETED, SCHEDULED (again later) or FAILED (given up)."""
    outcome: str
    receipt: str = ""
    next_attempt_at: datetime | None = None


class Deliveries:
    """Schedules deliveries and notes what became of them."""

    def schedule(
        self, tx: Transaction, key: ResultKey, destinations: Iterable[str], *, at: datetime
    ) -> None:
        """Want an object delivered; a delivery that exists stays, unless it was canceled."""
        owner = tx.execute(
            select(result_object.c.study_key, result_object.c.revision).where(
                result_object.c.result_key == key
            )
        ).first()
        if owner is None:
            raise UnknownResultError(f"there is no result object {key}")
        again = {
            "state": DeliveryState.SCHEDULED.value,
            "attempts": 0,
            "next_attempt_at": at,
            "updated_at": at,
        }
        for destination in destinations:
            fresh = {
                "study_key": owner.study_key,
                "revision": owner.revision,
                "outcome": "",
                "receipt": "",
                "created_at": at,
                **again,
            }
            tx.execute(
                tx.insert(table)
                .values(result_key=key, destination=destination, **fresh)
                .on_conflict_do_update(
                    index_elements=["result_key", "destination"],
                    set_=again,
                    where=table.c.state == DeliveryState.CANCELED.value,
                )
            )

    def begin(self, tx: Transaction, key: ResultKey, destination: str, *, at: datetime) -> int:
        """Start an attempt; return which one it is.

        Raises
        ------
        IllegalMoveError
            If the delivery ended, or was withdrawn.
        """
        record = self.get(tx, key, destination)
        check_move(DELIVERY_MOVES, record.state, DeliveryState.IN_PROGRESS)
        attempts = record.attempts + 1
        self._set(
            tx,
            key,
            destination,
            state=DeliveryState.IN_PROGRESS.value,
            attempts=attempts,
            updated_at=at,
        )
        return attempts

    def settle(
        self,
        tx: Transaction,
        key: ResultKey,
        destination: str,
        ended: AttemptOutcome,
        *,
        at: datetime,
    ) -> DeliveryState:
        """Note how an attempt ended; to repeat it changes nothing. Returns the state.

        A delivery that was withdrawn meanwhile stays CANCELED, with the outcome noted, unless the
        destination keeps the object already: then it is COMPLETED, for that is the truth.
        """
        record = self.get(tx, key, destination)
        state = ended.state
        if record.state is DeliveryState.CANCELED and state is not DeliveryState.COMPLETED:
            state = DeliveryState.CANCELED
        elif record.state is not state:
            check_move(DELIVERY_MOVES, record.state, state)
        self._set(
            tx,
            key,
            destination,
            state=state.value,
            outcome=ended.outcome,
            receipt=ended.receipt or record.receipt,
            next_attempt_at=ended.next_attempt_at if state is DeliveryState.SCHEDULED else None,
            updated_at=at,
        )
        return state

    def withdraw(self, tx: Transaction, study_key: StudyKey, *, at: datetime, reason: str) -> int:
        """Stop everything of a study that has not arrived; return how many deliveries that were."""
        return _stop(tx, table.c.study_key == study_key, at=at, reason=reason)

    def withdraw_from(
        self, tx: Transaction, key: RevisionKey, destination: str, *, at: datetime, reason: str
    ) -> int:
        """Stop what of a revision has not arrived at one destination; return how many."""
        wanted = (
            (table.c.study_key == key.study_key)
            & (table.c.revision == key.number)
            & (table.c.destination == destination)
        )
        return _stop(tx, wanted, at=at, reason=reason)

    def withdraw_older(self, tx: Transaction, key: RevisionKey, *, at: datetime) -> int:
        """Stop what of earlier revisions has not arrived; return how many deliveries that were."""
        older = (table.c.study_key == key.study_key) & (table.c.revision < key.number)
        return _stop(tx, older, at=at, reason="a newer revision took its place")

    def withdraw_stale(self, tx: Transaction, key: RevisionKey, *, at: datetime) -> int:
        """Stop the deliveries of objects that were withdrawn; return how many there were."""
        stale = select(result_object.c.result_key).where(
            result_object.c.study_key == key.study_key,
            result_object.c.revision == key.number,
            result_object.c.withdrawn_at.is_not(None),
        )
        reason = "another object took its place"
        return _stop(tx, table.c.result_key.in_(stale), at=at, reason=reason)

    def revive(
        self, tx: Transaction, study_key: StudyKey, *, at: datetime
    ) -> tuple[DeliveryRecord, ...]:
        """Schedule the dead letters of a study again, because a person said so; return them."""
        failed = self._select(
            tx, table.c.study_key == study_key, table.c.state == DeliveryState.FAILED.value
        )
        for record in failed:
            self._set(
                tx,
                record.result_key,
                record.destination,
                state=DeliveryState.SCHEDULED.value,
                attempts=0,
                next_attempt_at=at,
                updated_at=at,
            )
        return failed

    def get(self, tx: Transaction, key: ResultKey, destination: str) -> DeliveryRecord:
        """Return one delivery.

        Raises
        ------
        UnknownResultError
            If there is none.
        """
        found = self._select(tx, table.c.result_key == key, table.c.destination == destination)
        if not found:
            raise UnknownResultError(f"result object {key} has no delivery to {destination}")
        return found[0]

    def of_study(self, tx: Transaction, study_key: StudyKey) -> tuple[DeliveryRecord, ...]:
        """Return every delivery of a study."""
        return self._select(tx, table.c.study_key == study_key)

    def put_off(
        self, tx: Transaction, record: DeliveryRecord, ended: AttemptOutcome, *, at: datetime
    ) -> None:
        """Note an attempt that broke off: it counts, and is made again later, or is given up."""
        self._set(
            tx,
            record.result_key,
            record.destination,
            state=ended.state.value,
            attempts=record.attempts + (record.state is DeliveryState.SCHEDULED),
            outcome=ended.outcome,
            next_attempt_at=ended.next_attempt_at,
            updated_at=at,
        )

    def due(
        self, tx: Transaction, key: RevisionKey, destination: str
    ) -> tuple[DeliveryRecord, ...]:
        """Return what of a revision has not come to an end at one destination."""
        return self._select(
            tx,
            table.c.study_key == key.study_key,
            table.c.revision == key.number,
            table.c.destination == destination,
            table.c.state.in_(_UNFINISHED),
        )

    def count_by_state(self, tx: Transaction) -> dict[DeliveryState, int]:
        """Return how many deliveries are in each state, those that none is in left out."""
        rows = tx.execute(select(table.c.state, func.count().label("n")).group_by(table.c.state))
        return {DeliveryState(row.state): row.n for row in rows}

    def unfinished(self, tx: Transaction) -> tuple[tuple[RevisionKey, str], ...]:
        """Return each revision and destination that has deliveries on their way."""
        rows = tx.execute(
            select(table.c.study_key, table.c.revision, table.c.destination)
            .where(table.c.state.in_(_UNFINISHED))
            .distinct()
            .order_by(table.c.study_key, table.c.revision, table.c.destination)
        )
        return tuple(
            (RevisionKey(StudyKey(row.study_key), row.revision), row.destination) for row in rows
        )

    def _select(self, tx: Transaction, *conditions: Any) -> tuple[DeliveryRecord, ...]:  # noqa: ANN401
        rows = tx.execute(
            select(table)
            .where(*conditions)
            .order_by(table.c.revision, table.c.created_at, table.c.destination, table.c.result_key)
        )
        return tuple(_record(row) for row in rows)

    def _set(self, tx: Transaction, key: ResultKey, destination: str, **values: Any) -> None:  # noqa: ANN401
        tx.execute(
            update(table)
            .where(table.c.result_key == key, table.c.destination == destination)
            .values(values)
        )


def _stop(tx: Transaction, which: ColumnElement[bool], *, at: datetime, reason: str) -> int:
    stopped = tx.execute(
        update(table)
        .where(which, table.c.state.in_(_WITHDRAWABLE))
        .values(
            state=DeliveryState.CANCELED.value,
            outcome=reason,
            next_attempt_at=None,
            updated_at=at,
        )
    )
    return int(stopped.rowcount)


def _record(row: Row[Any]) -> DeliveryRecord:
    return DeliveryRecord(
        result_key=ResultKey(row.result_key),
        destination=row.destination,
        revision=RevisionKey(StudyKey(row.study_key), row.revision),
        state=DeliveryState(row.state),
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at,
        outcome=row.outcome,
        receipt=row.receipt,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
