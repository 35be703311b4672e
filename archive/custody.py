"""Enter the instances that are ready at the same time in one transaction.

The usual case is an object that nobody sent before and that gives no reason to hold its study; it
takes a few statements for all of them together, and one commit. What is not usual about one of
them is found out before anything is written, and that one is left to be entered alone.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from archive.custody_plan import Entry, Plan
from archive.database import Batch, Database
from archive.group import Group
from core.errors import ServiceError
from core.model import SeriesKey

log = logging.getLogger(__name__)

MOST_TOGETHER = 64
MOST_SERIES_KNOWN = 4096


class Outcome(Enum):
    """What became of one entry."""

    ENTERED = auto()
    LEFT = auto()
    """It is not the usual case, or broke its group: it must be entered alone."""
    FAILED = auto()
    """Nothing of it is in the database."""
    UNKNOWN = auto()
    """The commit failed, and nobody can say whether it happened."""


@dataclass(frozen=True)
class Result:
    """What became of one entry and, if it failed or that is unknown, why."""

    outcome: Outcome
    error: ServiceError | None = None


@dataclass
class _Waiting:
    """An entry on its way."""

    entry: Entry
    result: Result = Result(Outcome.LEFT)


class Custody:
    """Enters instances, each together with all others that are ready."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._group: Group[_Waiting] = Group(self._lead, most=MOST_TOGETHER)
        self._series: set[SeriesKey] = set()
        """Series that have a row. Nothing breaks if one should be deleted: then its instances
        break their group by the constraint of their table, and are entered one by one."""

    def enter(self, entry: Entry) -> Result:
        """Enter one, together with those of other threads."""
        waiting = _Waiting(entry)
        self._group.do(waiting)
        return waiting.result

    def enter_together(self, entries: Sequence[Entry]) -> list[Result]:
        """Enter these in one transaction, and return what became of each."""
        batch: Batch | None = None
        is_chosen = [True] * len(entries)
        try:
            with self._database.batch() as batch:
                plan = Plan(batch, self._series)
                is_chosen = plan.choose(entries)
                if any(is_chosen):
                    plan.write()
            result = Result(Outcome.ENTERED)
            self._note_series(
                entry for entry, joins in zip(entries, is_chosen, strict=True) if joins
            )
        except ServiceError as error:
            is_unknown = batch is not None and batch.may_be_committed
            result = Result(Outcome.UNKNOWN if is_unknown else Outcome.FAILED, error)
        except Exception as error:
            # One of them cannot be written, and it alone may fail: each is entered by itself.
            if batch is not None and batch.may_be_committed:
                raise
            name, number = type(error).__name__, sum(is_chosen)
            log.error("%d instances cannot be entered together (%s)", number, name)  # noqa: TRY400 - the error of a driver quotes what was written
            result = Result(Outcome.LEFT)
        return [result if joins else Result(Outcome.LEFT) for joins in is_chosen]

    def _lead(self, group: Sequence[_Waiting]) -> None:
        results = self.enter_together([waiting.entry for waiting in group])
        for waiting, result in zip(group, results, strict=True):
            waiting.result = result

    def _note_series(self, entered: Iterable[Entry]) -> None:
        if len(self._series) >= MOST_SERIES_KNOWN:
            self._series = set()
        self._series.update(entry.rows.series_key for entry in entered)
