"""Take custody of an instance: sealed bytes, one commit, and only then the answer.

While an object arrives it is checked, digested and sealed into its file at the same time; none of
it is ever held whole. At its end the file is synced, and one transaction gives it its row, its
place in a revision and its audit record. A machine that dies in between leaves a file that nobody
was told of, which the sweep removes.
"""

import hashlib
import hmac
import logging
import re
from dataclasses import dataclass, field

from archive.archive import Archive
from archive.blobs import BlobWriter
from archive.custody import Outcome
from archive.custody_plan import Entry
from archive.database import Transaction
from archive.entries import NewInstance
from core.clock import Clock
from core.dataset_stream import DataSetScanner
from core.errors import MalformedInstanceError, MismatchedInstanceError, UnavailableError
from core.instance_reader import InstanceReader
from core.limits import DataSetLimits
from core.model import Instance, StudyKey
from core.part10 import file_head
from dicom_node.ports import AssociationOrigin, IncomingObject
from service.reception import AuditTrail, Receptionist, Verdict

log = logging.getLogger(__name__)

MAX_HELD_BYTES = 16 * 1024 * 1024
"""So much may arrive before the Study Instance UID does, which says under whose key to seal."""

_STUDY_INSTANCE_UID = 0x0020000D
_UID = re.compile(r"[0-9.]{1,64}")
"""Nothing that a file system, a URL or a shell could take for its own. Source: PS3.5, 9.1."""


@dataclass(frozen=True)
class Intake:
    """Where received instances go; the node's `InstanceSink`."""

    archive: Archive
    trail: AuditTrail
    clock: Clock
    content_key: bytes = field(repr=False)
    """Makes the digests by which equal objects are known."""
    key_version: int
    """Recorded with patients who are first seen now."""
    limits: DataSetLimits = field(default_factory=DataSetLimits)
    """An object that would cost its readers more is refused."""
    reader: InstanceReader = field(default_factory=InstanceReader, init=False, compare=False)

    def begin(self, origin: AssociationOrigin, incoming: IncomingObject) -> "Reception":
        """Open a receiver for one object.

        Raises
        ------
        MalformedInstanceError
            If its transfer syntax is none that we take.
        """
        return Reception(self, origin, incoming)


class Reception:
    """One object while it arrives; the node's `InstanceReceiver`."""

    def __init__(self, intake: Intake, origin: AssociationOrigin, incoming: IncomingObject) -> None:
        self._intake = intake
        self._origin = origin
        self._incoming = incoming
        self._scanner = DataSetScanner(incoming.transfer_syntax_uid, intake.limits)
        self._digest = _content_digest(intake.content_key, incoming.transfer_syntax_uid)
        self._held = bytearray(
            file_head(
                incoming.sop_class_uid, incoming.sop_instance_uid, incoming.transfer_syntax_uid
            )
        )
        self._writer: BlobWriter | None = None
        self._study_key: StudyKey | None = None
        self._is_durable = False
        self._may_be_committed = False

    def write(self, fragment: bytes | memoryview) -> None:
        """Take the next bytes of the encoded data set.

        Raises
        ------
        MalformedInstanceError
            As soon as the bytes cannot be a data set, or hide whose study it is.
        DiskFullError, DiskError
            If they cannot be written.
        """
        self._scanner.feed(fragment)
        self._digest.update(fragment)
        writer = self._writer or self._opened_writer()
        if writer is not None:
            writer.write(fragment)
            return
        self._held += fragment
        if len(self._held) > MAX_HELD_BYTES:
            raise MalformedInstanceError(
                f"no Study Instance UID within the first {MAX_HELD_BYTES} bytes"
            )

    def commit(self) -> None:
        """Return once the object, its row and its audit record are durable, or raise."""
        instance = self._parse()
        writer = self._writer
        if writer is None:  # `_parse` has refused a data set without a study
            raise MalformedInstanceError("the Study Instance UID stands too late in the data set")
        writer.commit()
        self._is_durable = True
        patient = instance.identity.patient
        peer = self._origin.peer
        new = NewInstance(
            instance=instance,
            issuer=patient.issuer_of_patient_id or self._origin.issuer_of_patient_id,
            content_digest=self._digest.digest(),
            blob_name=writer.name,
            size_bytes=writer.size_bytes,
            received_at=self._intake.clock(),
            peer=peer,
            association_id=self._origin.association_id,
            key_version=self._intake.key_version,
        )
        if self._enter(new) is Verdict.DUPLICATE:
            self._drop_duplicate(writer.name)

    def discard(self) -> None:
        """Leave nothing of an object that was not acknowledged."""
        self._held.clear()
        if self._writer is None or self._may_be_committed:
            return  # if a commit broke, only the sweep can tell whether a row names the file
        if self._is_durable:
            self._intake.archive.blobs.delete(self._writer.name)
        else:
            self._writer.discard()

    def _opened_writer(self) -> BlobWriter | None:
        """Return a writer that has all that came before, once it is known whose study it is."""
        value = self._scanner.leading(_STUDY_INSTANCE_UID)
        uid = (value or b"").decode("ascii", "replace").strip(" \0")
        if not uid:
            return None
        archive = self._intake.archive
        self._study_key = archive.index.study_key(uid)
        writer = self._writer = archive.new_object(self._study_key)
        writer.write(bytes(self._held))
        self._held.clear()
        return writer

    def _parse(self) -> Instance:
        instance = self._intake.reader.read(
            self._scanner.elements_when_whole(),
            transfer_syntax_uid=self._incoming.transfer_syntax_uid,
        )
        if instance.sop_class_uid != self._incoming.sop_class_uid:
            raise MismatchedInstanceError("the SOP class differs between command and data set")
        if instance.sop_instance_uid != self._incoming.sop_instance_uid:
            raise MismatchedInstanceError("the SOP instance differs between command and data set")
        study_uid = instance.identity.study_instance_uid
        if not all(map(_UID.fullmatch, (study_uid, instance.series_instance_uid))):
            raise MalformedInstanceError("the study or the series is not named by a UID")
        study_key = self._intake.archive.index.study_key(study_uid)
        if self._study_key not in {None, study_key}:
            raise MalformedInstanceError("the data set gives its Study Instance UID twice")
        return instance

    def _enter(self, new: NewInstance) -> Verdict:
        archive, trail = self._intake.archive, self._intake.trail
        rows = archive.rows.make(new)
        event_id = trail.custody_id(rows.instance_key, new.received_at)
        record = trail.custody(new.peer, new.instance, event_id=event_id)
        self._may_be_committed = True  # until we are told, even if a bug keeps us from being told
        result = archive.custody.enter(Entry(rows, record.event_id, record.sealed))
        self._may_be_committed = result.outcome in {Outcome.ENTERED, Outcome.UNKNOWN}
        if result.error is not None:
            raise result.error
        if result.outcome is Outcome.ENTERED:
            return Verdict.NEW
        return self._enter_alone(Receptionist(archive, trail, new, record))

    def _enter_alone(self, receptionist: Receptionist) -> Verdict:
        """Enter what is not the usual case, or what broke its group."""
        while True:
            with self._intake.archive.transaction() as tx:
                verdict = self._decide(tx, receptionist)
            if verdict is not None:
                return verdict
            # Rare: another content under a known UID. Compared while nobody waits for the database.
            receptionist.compare()

    def _decide(self, tx: Transaction, receptionist: Receptionist) -> Verdict | None:
        verdict = receptionist.enter(tx)
        self._may_be_committed = verdict is not None
        return verdict

    def _drop_duplicate(self, blob_name: str) -> None:
        try:
            self._intake.archive.blobs.delete(blob_name)
        except UnavailableError as error:  # the sweep will
            log.warning("the bytes of a duplicate stay until the next sweep: %s", error)


def _content_digest(key: bytes, transfer_syntax_uid: str) -> "hmac.HMAC":
    """Start the digest of a data set; the same bytes in another transfer syntax are not the same.

    Some syntaxes of JPEG differ in nothing but their name.
    """
    digest = hmac.new(key, digestmod=hashlib.sha256)
    digest.update(transfer_syntax_uid.encode().ljust(64, b"\0"))
    return digest
