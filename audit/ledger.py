"""What the database says of the log: records that must be in it, and how it was signed last.

The log proves that none of its entries was changed. That none was kept from it, only the rows that
stand beside their records can tell: whoever removes a record before it was appended, or puts
another log in this one's place, would have to remove those rows as well.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit.checkpoint import Checkpoint, read_checkpoint
from audit.errors import CheckpointError
from audit.records import PendingRecord

MOST_NAMED = 100
"""So many records that lack are named; the others are counted."""


@dataclass(frozen=True)
class Owed:
    """A record that must be in the log, because something is there that it is about."""

    event_id: str
    place: str
    """What that is, by our own names: never whose it is."""
    since: datetime


@dataclass(frozen=True)
class NewBeginning:
    """An operator's decision to go on with an empty log; itself a record."""

    event_id: str
    at: datetime


@dataclass(frozen=True)
class Ledger:
    """All that the database says, as of one moment before the log is read."""

    waiting: Sequence[PendingRecord] = ()
    """Records that are not in the log yet."""
    max_age_s: float = 60.0
    """They may wait for so long."""
    appended: Sequence[Owed] = ()
    """Records that are marked as appended."""
    kept: Sequence[Owed] = ()
    """Records of what is kept, such as the custody of an instance."""
    signed: str = ""
    """The checkpoint signed last, as the database has it; empty if there was none yet."""
    beginning: NewBeginning | None = None
    """The last time an operator let the log begin anew."""


class Reconciliation:
    """Compares a ledger with the entries of a log, which it is shown one by one."""

    def __init__(self, ledger: Ledger, public_key: Ed25519PublicKey) -> None:
        self._ledger = ledger
        self._missing = {_bytes(owed.event_id) for owed in (*ledger.appended, *ledger.kept)}
        if ledger.beginning is not None:
            self._missing.add(_bytes(ledger.beginning.event_id))
        self.signed: tuple[Checkpoint, ...] = ()
        """What was signed last, to be compared with the root of the entries."""
        self._unsigned = ""
        if ledger.signed:
            try:
                self.signed = (read_checkpoint(ledger.signed, public_key),)
            except CheckpointError as error:
                self._unsigned = f"the checkpoint in the database: {error}"
        self._missing -= {_bytes(record.event_id) for record in ledger.waiting}

    def see(self, event_id: bytes) -> None:
        """Take note that the log has a record."""
        self._missing.discard(event_id)

    def waiting_too_long(self, now: datetime) -> Iterator[str]:
        """Say since when the outbox has not been emptied, if that is too long."""
        oldest = min((record.queued_at for record in self._ledger.waiting), default=now)
        if now - oldest > timedelta(seconds=self._ledger.max_age_s):
            yield f"a record has been waiting since {oldest.isoformat()}"

    def contradictions(self) -> Iterator[str]:
        """Say what the database says was appended or signed, and is not in the log."""
        if self._unsigned:
            yield self._unsigned
        beginning = self._ledger.beginning
        if beginning is not None and self._lacks(beginning.event_id):
            at = beginning.at.isoformat()
            yield f"the log was begun anew at {at}, and no record says by whom"
        yield from _named([owed.place for owed in self._ledger.appended if self._is_missing(owed)])

    def without_record(self) -> Iterator[str]:
        """Say of what the record is neither in the log nor in the outbox."""
        excused_before = self._excused_before()
        yield from _named(
            [
                owed.place
                for owed in self._ledger.kept
                if self._is_missing(owed) and not _is_before(owed, excused_before)
            ]
        )

    def excused(self) -> str:
        """Say for what an operator answers: its records are in the log before this one."""
        before = self._excused_before()
        number = sum(self._is_missing(o) and _is_before(o, before) for o in self._ledger.kept)
        if before is None or number == 0:
            return ""
        return (
            f"An operator let the log begin anew at {before.isoformat()}; the records of {number} "
            f"older {'object' if number == 1 else 'objects'} are in the log before it."
        )

    def _excused_before(self) -> datetime | None:
        beginning = self._ledger.beginning
        if beginning is None or self._lacks(beginning.event_id):
            return None
        return beginning.at

    def _is_missing(self, owed: Owed) -> bool:
        return self._lacks(owed.event_id)

    def _lacks(self, event_id: str) -> bool:
        return _bytes(event_id) in self._missing


def _named(places: Sequence[str]) -> Iterator[str]:
    yield from islice(places, MOST_NAMED)
    if len(places) > MOST_NAMED:
        yield f"and {len(places) - MOST_NAMED} more"


def _is_before(owed: Owed, moment: datetime | None) -> bool:
    return moment is not None and owed.since < moment


def _bytes(event_id: str) -> bytes:
    return uuid.UUID(event_id).bytes
