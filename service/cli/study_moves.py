"""What a person may decide about a study: to take it up again, or to stop it."""

from dataclasses import dataclass

from archive.database import Transaction
from archive.entries import StudyRecord
from archive.journey import JourneyEntry
from audit import triggers
from audit.parties import StudyContent
from audit.vocabulary import Decision
from core.errors import InputError
from core.states import REVISION_MOVES, RevisionState
from service.cli.desk import Desk
from service.cli.study_view import locate

_ENDED_BADLY = frozenset({RevisionState.FAILED, RevisionState.HELD, RevisionState.CANCELED})
BY_OPERATOR = "by an operator"


class NothingToDoError(InputError):
    """The study is in no state that the command could change."""


@dataclass(frozen=True)
class Moved:
    """What a person's decision changed."""

    study_key: str
    revision: int
    state: str
    attempt: int | None
    """Which one it is now, if the revision was scheduled again."""
    deliveries: int
    """How many were scheduled again, or withdrawn."""


def retry(desk: Desk, named: str, *, again: bool) -> Moved:
    """Schedule the newest revision if it ended badly, and every delivery that was given up.

    Raises
    ------
    NothingToDoError
        If neither is there; `again` lets a COMPLETED revision count, too.
    """
    archive, now = desk.foundation.archive, desk.foundation.clock()
    with archive.transaction() as tx:
        record = archive.catalogue.study(tx, locate(desk.foundation, tx, named))
        newest = record.newest
        revived = len(archive.deliveries.revive(tx, record.study_key, at=now))
        wanted = _ENDED_BADLY | ({RevisionState.COMPLETED} if again else set())
        attempt = None
        if newest.state in wanted:
            attempt = archive.revisions.reschedule(tx, newest.key, at=now)
        elif not revived:
            raise _nothing_to_retry(newest.state)
        was_held = newest.state is RevisionState.HELD
        decision = Decision.RELEASED if was_held else Decision.RETRIED
        _note(desk, tx, record, decision, "scheduled again")
        state = archive.revisions.get(tx, newest.key).state
    return Moved(record.study_key, newest.key.number, state.value, attempt, revived)


def cancel(desk: Desk, named: str) -> Moved:
    """Stop the newest revision and withdraw what has not arrived anywhere.

    Raises
    ------
    NothingToDoError
        If it has ended and nothing of it is on its way.
    """
    archive, now = desk.foundation.archive, desk.foundation.clock()
    with archive.transaction() as tx:
        record = archive.catalogue.study(tx, locate(desk.foundation, tx, named))
        newest = record.newest
        may_stop = RevisionState.CANCELED in REVISION_MOVES[newest.state]
        if may_stop:
            archive.revisions.move(
                tx, newest.key, RevisionState.CANCELED, at=now, reason=f"Canceled {BY_OPERATOR}"
            )
        withdrawn = archive.deliveries.withdraw(
            tx, record.study_key, at=now, reason=f"withdrawn {BY_OPERATOR}"
        )
        if not may_stop and not withdrawn:
            raise NothingToDoError(
                f"the study is {newest.state} and nothing of it is on its way anywhere"
            )
        _note(desk, tx, record, Decision.CANCELED, "canceled")
        state = archive.revisions.get(tx, newest.key).state
    return Moved(record.study_key, newest.key.number, state.value, None, withdrawn)


def _note(
    desk: Desk, tx: Transaction, record: StudyRecord, decision: Decision, outcome: str
) -> None:
    """Put the decision into the journey and into the audit log, in the same commit."""
    now, key = desk.foundation.clock(), record.newest.key
    entry = JourneyEntry(now, key.number, "decide", outcome, BY_OPERATOR)
    desk.foundation.archive.journey.note(tx, key, entry)
    event = triggers.pipeline_decided(
        desk.stamp(), decision, (desk.who,), StudyContent(record.identity), rule=BY_OPERATOR
    )
    desk.add(tx, event.noting(Revision=key.number, Before=record.newest.state.value))


def _nothing_to_retry(state: RevisionState) -> NothingToDoError:
    if state is RevisionState.COMPLETED:
        return NothingToDoError(
            "the study is COMPLETED and no delivery of it was given up",
            remedy="Add --again to process it once more",
        )
    return NothingToDoError(
        f"the study is {state}; only one that failed, is held or canceled can be retried",
        remedy="`study show` tells what it is waiting for",
    )
