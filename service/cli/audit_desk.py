"""The audit log as the commands see it: the log and the outbox together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from archive.index import ResultKey
from archive.upkeep import KeptRow
from audit.checkpoint import Signer, read_outside
from audit.ledger import Ledger, NewBeginning, Owed
from audit.records import PendingRecord, SealedRecord
from audit.search import LoggedEvent, read_events
from audit.segments import CHECKPOINTS, find_segments
from audit.verify import Report
from audit.verify import verify as verify_log
from core.codes import Code
from core.errors import ConfigurationError
from core.model import InstanceKey, RevisionKey
from service.foundation import Foundation
from service.keys import Purpose
from service.trail import Trail

_OUTBOX_AT_ONCE = 100_000


def signer(foundation: Foundation) -> Signer:
    """Return what signs for this installation's log."""
    key = foundation.keyring.key(Purpose.AUDIT_SIGNING)
    return Signer.of(foundation.audit_settings.source_id, key)


def public_key(foundation: Foundation) -> Ed25519PublicKey:
    """Return what checkpoints are checked with: from the keys, not from the log's folder."""
    return signer(foundation).public_key


def require_no_log(foundation: Foundation) -> None:
    """Refuse to let a log begin beside one that is there.

    Raises
    ------
    ConfigurationError
        If the folder holds a log, or a part of one.
    """
    folder = foundation.audit_settings.folder
    if find_segments(folder) or (folder / CHECKPOINTS).exists():
        raise ConfigurationError(
            f"there is a log, or a part of one, in {folder}",
            remedy="Keep it as evidence: move the folder elsewhere, then run this again",
        )


def every_event(foundation: Foundation, start: int = 0) -> Iterator[LoggedEvent]:
    """Yield the records from a position on, and then those that only the outbox has."""
    # The outbox first: a record that is moved meanwhile is then in the log, and none is missed.
    waiting = _outbox(foundation)
    for logged in read_events(foundation.audit_settings.folder, foundation.trail.sealer, start):
        waiting.pop(logged.event.event_id, None)
        yield logged
    for record in waiting.values():
        yield LoggedEvent(None, foundation.trail.sealer.open(record))


def newest(foundation: Foundation, limit: int) -> list[LoggedEvent]:
    """Return the newest records, oldest first."""
    segments = find_segments(foundation.audit_settings.folder)
    size = 0
    if segments:
        size = sum(1 for _ in segments[-1].frames()) + segments[-1].first
    return list(every_event(foundation, max(0, size - limit)))[-limit:]


def verified(foundation: Foundation, checkpoint_files: Sequence[Path]) -> Report:
    """Verify log and outbox, against checkpoints from outside if there are any."""
    key, settings = public_key(foundation), foundation.audit_settings
    files = [read_outside(file, key) for file in checkpoint_files]
    return verify_log(
        settings.folder,
        key,
        now=foundation.clock(),
        outside=[one for signed, _ in files for one in signed],
        unsigned_outside=[fault for _, faults in files for fault in faults],
        ledger=ledger(foundation),
    )


def ledger(foundation: Foundation) -> Ledger:
    """Return what the database says must be in the log."""
    outbox = foundation.archive.outbox
    with foundation.archive.snapshot() as tx:
        waiting = outbox.pending(tx, _OUTBOX_AT_ONCE)
        begun = outbox.begun_anew(tx)
        return Ledger(
            waiting=[PendingRecord(one.event_id, one.recorded_at) for one in waiting],
            max_age_s=foundation.audit_settings.max_outbox_age_s,
            appended=[_appended(*row) for row in outbox.appended(tx)],
            kept=[_kept(foundation.trail, row) for row in foundation.archive.upkeep.kept(tx)],
            signed=outbox.last_signed(tx),
            beginning=None if begun is None else _beginning(foundation.trail, begun[1]),
        )


def _beginning(trail: Trail, at: datetime) -> NewBeginning:
    return NewBeginning(trail.beginning_id(at), at)  # not the id that stands there: who wrote it?


def _kept(trail: Trail, row: KeptRow) -> Owed:
    return Owed(record_of(trail, row), f"{row.what} {row.name} has no record", row.at)


def record_of(trail: Trail, row: KeptRow) -> str:
    """Return the id of the audit record that something kept must have."""
    return _RECORDS[row.what](trail, row)


def _record_of_delivery(trail: Trail, row: KeptRow) -> str:
    revision, _, destination = row.name.partition(" ")
    return trail.sent_id(RevisionKey.parse(revision), destination, row.at)


_RECORDS: Mapping[str, Callable[[Trail, KeptRow], str]] = {
    "instance": lambda trail, row: trail.custody_id(InstanceKey(row.name), row.at),
    "result": lambda trail, row: trail.made_id(ResultKey(row.name), row.at),
    "delivery": _record_of_delivery,
}


def _appended(sequence: int, event_id: str, at: datetime) -> Owed:
    place = f"record {sequence} of the outbox, {event_id}, was marked as appended at"
    return Owed(event_id, f"{place} {at.isoformat()}, and is not in the log", at)


def as_json(logged: LoggedEvent) -> dict[str, Any]:
    """Return a record as plain data."""
    event = logged.event
    return {
        "position": logged.position,
        "event_id": event.event_id,
        "at": event.time,
        "event": event.kind.code.value,
        "meaning": event.kind.code.meaning,
        "type": _meaning(event.type_code),
        "action": event.action,
        "outcome": int(event.outcome),
        "outcome_description": event.outcome_description,
        "participants": [
            {
                "user_id": who.user_id,
                "user_name": who.user_name,
                "role": _meaning(who.role.code if who.role else None),
                "is_requestor": who.is_requestor,
                "address": who.address,
            }
            for who in event.participants
        ],
        "patient_ids": sorted(event.patient_ids()),
        "objects": [
            {"type": thing.id_type.code.meaning, "id": thing.id, "name": thing.name}
            for thing in event.objects
        ],
        "details": {detail.name: detail.value for detail in event.details},
    }


def _meaning(code: Code | None) -> str:
    return code.meaning if code else ""


def _outbox(foundation: Foundation) -> dict[str, SealedRecord]:
    with foundation.archive.snapshot() as tx:
        records = foundation.archive.outbox.pending(tx, _OUTBOX_AT_ONCE)
    return {one.event_id: SealedRecord(one.event_id, one.sealed) for one in records}
