"""What happened to a study, step by step, for people: never a word of whose it is."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from archive.database import Transaction
from archive.tables import journey
from core.model import RevisionKey, StudyKey


@dataclass(frozen=True)
class JourneyEntry:
    """One thing that happened to a study."""

    at: datetime
    revision: int
    step: str
    """`received`, `complete`, `infer`, `deliver`: what was done."""
    outcome: str
    """How it ended: `done`, `held`, `failed`."""
    reason: str
    """One sentence without patient data; may be empty."""


class Journey:
    """The entries of all studies."""

    def note(self, tx: Transaction, revision: RevisionKey, entry: JourneyEntry) -> None:
        """Add an entry, unless the newest one of the revision says the same already."""
        if _said(self._newest(tx, revision)) == _said(entry):
            return
        tx.execute(
            journey.insert(),
            {
                "study_key": revision.study_key,
                "revision": revision.number,
                "at": entry.at,
                "step": entry.step,
                "outcome": entry.outcome,
                "reason": entry.reason,
            },
        )

    def of(self, tx: Transaction, study_key: StudyKey) -> tuple[JourneyEntry, ...]:
        """Return what happened to a study, oldest first."""
        rows = tx.execute(
            select(journey).where(journey.c.study_key == study_key).order_by(journey.c.entry)
        )
        return tuple(
            JourneyEntry(row.at, row.revision, row.step, row.outcome, row.reason) for row in rows
        )

    def _newest(self, tx: Transaction, revision: RevisionKey) -> JourneyEntry | None:
        row = tx.execute(
            select(journey)
            .where(journey.c.study_key == revision.study_key, journey.c.revision == revision.number)
            .order_by(journey.c.entry.desc())
            .limit(1)
        ).first()
        if row is None:
            return None
        return JourneyEntry(row.at, row.revision, row.step, row.outcome, row.reason)


def _said(entry: JourneyEntry | None) -> tuple[str, str, str] | None:
    return (entry.step, entry.outcome, entry.reason) if entry else None
