"""Audit records of custody, of which there are more than of all others together.

Of one study, the records differ in three values only. The rest is built and checked once, through
the same constructors as every other event, and kept as a template.
"""

import secrets
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from audit import triggers
from audit.events import AuditEvent, Participant, Stamp
from audit.parties import remote_ae
from audit.records import RecordSealer, SealedRecord
from audit.requirements import require_whole
from core.model import Instance, RemoteAE, StudyIdentity
from core.record_template import RecordTemplate

MOST_KEPT = 256
_HELD_TIME = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
_Key = tuple[RemoteAE, StudyIdentity, str, str]


@dataclass(frozen=True)
class CustodyRecords:
    """Writes and seals them; safe for many threads at once."""

    sealer: RecordSealer
    ours: Participant
    _templates: dict[_Key, RecordTemplate] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def seal(self, peer: RemoteAE, instance: Instance, stamp: Stamp) -> SealedRecord:
        """Say that an instance is ours to keep."""
        key = (peer, instance.identity, instance.sop_class_uid, instance.transfer_syntax_uid)
        template = self._templates.get(key)
        if template is None:
            template = self._template(peer, instance)
            if template is None:
                return self.sealer.seal(self._event(peer, instance, stamp))
            self._keep(key, template)
        values = (stamp.event_id, stamp.time.isoformat(), instance.sop_instance_uid)
        return self.sealer.seal_written(stamp.event_id, template.fill(values))

    def _keep(self, key: _Key, template: RecordTemplate) -> None:
        if not template.is_short:
            return
        if len(self._templates) >= MOST_KEPT:
            self._templates.clear()
        self._templates[key] = template

    def _event(self, peer: RemoteAE, instance: Instance, stamp: Stamp) -> AuditEvent:
        return triggers.custody_taken(stamp, remote_ae(peer), self.ours, instance)

    def _template(self, peer: RemoteAE, instance: Instance) -> RecordTemplate | None:
        """Return the template of a study; None if what it says of itself looks like our holes."""
        stamp = Stamp(str(uuid.uuid4()), _HELD_TIME)
        hole = f"2.25.{secrets.randbits(128)}"
        event = require_whole(self._event(peer, replace(instance, sop_instance_uid=hole), stamp))
        try:
            return RecordTemplate(event, (stamp.event_id, stamp.time.isoformat(), hole))
        except ValueError:
            return None
