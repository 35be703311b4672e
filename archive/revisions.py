"""The revisions of studies: what is open, what waits, what runs, what is held and why."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, func, select, update

from archive.database import Transaction
from archive.errors import RevisionBusyError, UnknownRevisionError
from archive.tables import revision as table
from core.model import RevisionKey, StudyKey
from core.states import (
    REVISION_MOVES,
    HoldReason,
    IllegalMoveError,
    RevisionState,
    check_move,
)

_KEPT_HOLDS = frozenset(
    {
        HoldReason.CONFLICT,
        HoldReason.CORRECTION,
        HoldReason.MIXED_IDENTITY,
        HoldReason.MISSING_PATIENT_ID,
    }
)
"""Reasons that lie in the instances, so that a later revision has them too."""

_WEIGHT = {
    HoldReason.CORRECTION: 1,
    HoldReason.MISSING_PATIENT_ID: 2,
    HoldReason.MIXED_IDENTITY: 3,
    HoldReason.CONFLICT: 4,
}
"""The heaviest reason is shown; the journey tells all of them."""


_HOLDABLE = frozenset(
    {
        RevisionState.OPEN,
        RevisionState.SCHEDULED,
        RevisionState.IN_PROGRESS,
        RevisionState.HELD,
    }
)


@dataclass(frozen=True)
class RevisionRecord:
    """One revision of a study."""

    key: RevisionKey
    state: RevisionState
    hold_reason: HoldReason | None
    """Why it is held, or will be as soon as it is complete."""
    reason: str
    """Why it failed or was canceled; one sentence without patient data."""
    rule: str
    """By which rule it was complete; empty while it is open."""
    number_of_instances: int
    """How many arrived in this revision, not counting those of earlier ones."""
    attempt: int
    """How often it was scheduled."""
    opened_at: datetime
    last_instance_at: datetime
    closed_at: datetime | None
    updated_at: datetime


_NEWEST = (
    select(table)
    .where(table.c.study_key == bindparam("study"))
    .order_by(table.c.number.desc())
    .limit(1)
)
_EXTEND = (
    update(table)
    .where(table.c.study_key == bindparam("study"), table.c.number == bindparam("revision_number"))
    .values(
        number_of_instances=table.c.number_of_instances + 1,
        last_instance_at=bindparam("at"),
        updated_at=bindparam("at"),
    )
)


class Revisions:
    """Reads and moves revisions."""

    def take_in(
        self, tx: Transaction, study_key: StudyKey, at: datetime
    ) -> tuple[RevisionKey, bool]:
        """Count one more instance into the open revision; open the next one if none is.

        Returns the revision, and whether it was opened now.
        """
        newest = tx.execute(_NEWEST, {"study": study_key}).first()
        if newest is not None and newest.state == RevisionState.OPEN:
            tx.execute(_EXTEND, {"study": study_key, "revision_number": newest.number, "at": at})
            return RevisionKey(study_key, newest.number), False
        number = 1 if newest is None else newest.number + 1
        held = None if newest is None else newest.hold_reason
        tx.execute(table.insert(), opened_columns(study_key, number, held, at))
        return RevisionKey(study_key, number), True

    def get(self, tx: Transaction, key: RevisionKey) -> RevisionRecord:
        """Return one revision.

        Raises
        ------
        UnknownRevisionError
            If there is none of that key.
        """
        row = tx.execute(
            select(table).where(table.c.study_key == key.study_key, table.c.number == key.number)
        ).first()
        if row is None:
            raise UnknownRevisionError(f"there is no revision {key}")
        return _record(row)

    def of(self, tx: Transaction, study_key: StudyKey) -> tuple[RevisionRecord, ...]:
        """Return all revisions of a study, oldest first; empty if the study is unknown."""
        rows = tx.execute(
            select(table).where(table.c.study_key == study_key).order_by(table.c.number)
        )
        return tuple(_record(row) for row in rows)

    def newest(self, tx: Transaction, study_key: StudyKey) -> RevisionRecord:
        """Return the newest revision of a study.

        Raises
        ------
        UnknownRevisionError
            If we have no such study.
        """
        row = tx.execute(_NEWEST, {"study": study_key}).first()
        if row is None:
            raise UnknownRevisionError(f"there is no study {study_key}")
        return _record(row)

    def newest_of(
        self, tx: Transaction, study_keys: Collection[StudyKey]
    ) -> dict[StudyKey, RevisionRecord]:
        """Return the newest revision of each study."""
        newest = (
            select(table.c.study_key, func.max(table.c.number).label("number"))
            .where(table.c.study_key.in_(study_keys))
            .group_by(table.c.study_key)
            .subquery()
        )
        rows = tx.execute(
            select(table).join(
                newest,
                (table.c.study_key == newest.c.study_key) & (table.c.number == newest.c.number),
            )
        )
        records = (_record(row) for row in rows)
        return {record.key.study_key: record for record in records}

    def in_state(
        self, tx: Transaction, state: RevisionState, *, quiet_since: datetime | None = None
    ) -> tuple[RevisionRecord, ...]:
        """Return the revisions in one state, longest unchanged first.

        With `quiet_since`, only those whose last instance is not younger than that.
        """
        statement = select(table).where(table.c.state == state.value)
        if quiet_since is not None:
            statement = statement.where(table.c.last_instance_at <= quiet_since)
        rows = tx.execute(statement.order_by(table.c.updated_at, table.c.study_key))
        return tuple(_record(row) for row in rows)

    def count_by_state(self, tx: Transaction) -> dict[RevisionState, int]:
        """Return how many revisions are in each state, those that none is in left out."""
        rows = tx.execute(select(table.c.state, func.count().label("n")).group_by(table.c.state))
        return {RevisionState(row.state): row.n for row in rows}

    def ready(self, tx: Transaction) -> tuple[RevisionRecord, ...]:
        """Return the scheduled revisions that may start now: one at a time of each study."""
        earlier = table.alias("earlier")
        busy = (
            select(earlier.c.number)
            .where(
                earlier.c.study_key == table.c.study_key,
                (earlier.c.state == RevisionState.IN_PROGRESS.value)
                | (
                    (earlier.c.state == RevisionState.SCHEDULED.value)
                    & (earlier.c.number < table.c.number)
                ),
            )
            .exists()
        )
        rows = tx.execute(
            select(table)
            .where(table.c.state == RevisionState.SCHEDULED.value, ~busy)
            .order_by(table.c.closed_at, table.c.study_key)
        )
        return tuple(_record(row) for row in rows)

    def close(self, tx: Transaction, key: RevisionKey, *, rule: str, at: datetime) -> RevisionState:
        """End an open revision: SCHEDULED, or HELD if there is a reason; return which.

        A revision that is closed already stays as it is.
        """
        tx.lock(key.study_key)
        record = self.get(tx, key)
        if record.state is not RevisionState.OPEN:
            return record.state
        state = RevisionState.HELD if record.hold_reason else RevisionState.SCHEDULED
        attempt = record.attempt + (state is RevisionState.SCHEDULED)
        self._set(
            tx, key, state=state.value, rule=rule, closed_at=at, updated_at=at, attempt=attempt
        )
        return state

    def begin(self, tx: Transaction, key: RevisionKey, *, at: datetime) -> None:
        """Move a revision to IN PROGRESS; one that is so already stays so.

        Raises
        ------
        RevisionBusyError
            If another revision of the study is in progress.
        IllegalMoveError
            If it may not start, because it is held, canceled or done.
        """
        tx.lock(key.study_key)
        for other in self.of(tx, key.study_key):
            if other.key != key and other.state is RevisionState.IN_PROGRESS:
                raise RevisionBusyError(f"revision {other.key} is still in progress")
        self.move(tx, key, RevisionState.IN_PROGRESS, at=at)

    def move(
        self,
        tx: Transaction,
        key: RevisionKey,
        state: RevisionState,
        *,
        at: datetime,
        reason: str = "",
    ) -> None:
        """Move a revision as the table of legal moves allows; to repeat a move changes nothing.

        Raises
        ------
        IllegalMoveError
            If the table does not know the move.
        """
        tx.lock(key.study_key)
        old = self.get(tx, key).state
        if old is state:
            return
        self._set(
            tx,
            key,
            state=check_move(REVISION_MOVES, old, state).value,
            reason=reason,
            updated_at=at,
        )

    def hold(
        self,
        tx: Transaction,
        key: RevisionKey,
        hold_reason: HoldReason,
        *,
        at: datetime,
        reason: str = "",
    ) -> bool:
        """Let nothing leave: at once if the revision is closed, else as soon as it is.

        A lighter reason does not replace a heavier one; a revision that ended keeps its state.
        Returns whether that changed anything.
        """
        tx.lock(key.study_key)
        record = self.get(tx, key)
        was = record.hold_reason
        if was is hold_reason or _is_lighter(hold_reason, was) or record.state not in _HOLDABLE:
            return False
        if record.state in {RevisionState.SCHEDULED, RevisionState.IN_PROGRESS}:
            self.move(tx, key, RevisionState.HELD, at=at)
        self._set(tx, key, hold_reason=hold_reason.value, reason=reason, updated_at=at)
        return True

    def reschedule(self, tx: Transaction, key: RevisionKey, *, at: datetime) -> int:
        """Schedule a revision again because a person said so; return which attempt it is.

        The reason why it was held or failed is settled by that.

        Raises
        ------
        IllegalMoveError
            If it is open, scheduled or in progress.
        """
        tx.lock(key.study_key)
        record = self.get(tx, key)
        if record.state is RevisionState.OPEN:  # `close` does that, and says by which rule
            raise IllegalMoveError("an open revision cannot be scheduled again")
        check_move(REVISION_MOVES, record.state, RevisionState.SCHEDULED)
        attempt = record.attempt + 1
        self._set(
            tx,
            key,
            state=RevisionState.SCHEDULED.value,
            hold_reason=None,
            reason="",
            attempt=attempt,
            updated_at=at,
        )
        return attempt

    def count_anew(self, tx: Transaction, key: RevisionKey, *, at: datetime) -> None:
        """Count the quiet time of an open revision from `at`: the clock was wrong before."""
        tx.execute(
            update(table)
            .where(
                table.c.study_key == key.study_key,
                table.c.number == key.number,
                table.c.state == RevisionState.OPEN.value,
                table.c.last_instance_at > at,
            )
            .values(last_instance_at=at, updated_at=at)
        )

    def submit_anew(self, tx: Transaction, record: RevisionRecord, *, at: datetime) -> bool:
        """Count one more attempt of a scheduled revision whose last one came to nothing.

        Returns False if the revision is somewhere else by now.
        """
        tx.lock(record.key.study_key)
        now = self.get(tx, record.key)
        if (now.state, now.attempt) != (RevisionState.SCHEDULED, record.attempt):
            return False
        self._set(tx, record.key, attempt=record.attempt + 1, updated_at=at)
        return True

    def _set(self, tx: Transaction, key: RevisionKey, **values: Any) -> None:  # noqa: ANN401
        tx.execute(
            update(table)
            .where(table.c.study_key == key.study_key, table.c.number == key.number)
            .values(values)
        )


def opened_columns(
    study_key: StudyKey, number: int, held: str | None, at: datetime
) -> dict[str, object]:
    """Return the row of a revision that begins with one instance.

    `held` is why the revision before it was held; a reason that lies in the instances stays.
    """
    return {
        "study_key": study_key,
        "number": number,
        "state": RevisionState.OPEN.value,
        "hold_reason": held if held in _KEPT_HOLDS else None,
        "reason": "",
        "rule": "",
        "number_of_instances": 1,
        "attempt": 0,
        "opened_at": at,
        "last_instance_at": at,
        "closed_at": None,
        "updated_at": at,
    }


def _is_lighter(new: HoldReason, old: HoldReason | None) -> bool:
    return old is not None and _WEIGHT.get(new, 0) < _WEIGHT.get(old, 0)


def _record(row: Row[Any]) -> RevisionRecord:
    return RevisionRecord(
        key=RevisionKey(StudyKey(row.study_key), row.number),
        state=RevisionState(row.state),
        hold_reason=HoldReason(row.hold_reason) if row.hold_reason else None,
        reason=row.reason,
        rule=row.rule,
        number_of_instances=row.number_of_instances,
        attempt=row.attempt,
        opened_at=row.opened_at,
        last_instance_at=row.last_instance_at,
        closed_at=row.closed_at,
        updated_at=row.updated_at,
    )
