"""Events sealed for keeping."""

import hmac
import uuid
from dataclasses import dataclass
from datetime import datetime

from audit.events import AuditEvent
from audit.requirements import require_whole
from core.errors import SealError
from core.records import dump_record, load_record
from core.sealing import open_sealed, seal

_PURPOSE = b"second-reader audit record 1 "


@dataclass(frozen=True)
class SealedRecord:
    """An event that nobody can read without the audit key."""

    event_id: str
    """In the open, so that a repeated record is known without the key."""
    sealed: bytes


@dataclass(frozen=True)
class PendingRecord:
    """A record in the outbox that is not in the log yet."""

    event_id: str
    queued_at: datetime


class RecordSealer:
    """Seals events under the audit key, each bound to its event id.

    Every record has a key of its own, derived from its id, so that the number of records is not
    bounded by the 96-bit nonces of one key.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, event: AuditEvent) -> SealedRecord:
        """Seal an event.

        Raises
        ------
        MalformedEventError
            If it lacks what its kind must have.
        """
        require_whole(event)
        return self.seal_written(event.event_id, dump_record(event))

    def seal_written(self, event_id: str, written: bytes) -> SealedRecord:
        """Seal an event that was written as `dump_record` does, and is known to be whole."""
        context = _context(event_id)
        return SealedRecord(event_id, seal(self._record_key(context), written, context=context))

    def open(self, record: SealedRecord) -> AuditEvent:
        """Open a record.

        Raises
        ------
        SealError
            If it was changed, belongs to another id, or was sealed under another key.
        """
        context = _context(record.event_id)
        plaintext = open_sealed(self._record_key(context), record.sealed, context=context)
        event = load_record(AuditEvent, plaintext)
        if event.event_id != record.event_id:
            raise SealError("an audit record holds the event of another id")
        return event

    def _record_key(self, context: bytes) -> bytes:
        return hmac.digest(self._key, context, "sha256")


def _context(event_id: str) -> bytes:
    return _PURPOSE + uuid.UUID(event_id).bytes
