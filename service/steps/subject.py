"""The revision that a step works on, as the index says it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from anonymizer.replacement import Replacement
from archive.archive import Archive
from archive.entries import InstanceRecord, StudyRecord
from archive.journey import JourneyEntry
from archive.revisions import RevisionRecord
from core.clock import Clock
from core.model import Instance, RevisionKey
from service.keys import Keyring, Purpose
from service.settings import Settings
from service.trail import Trail


@dataclass(frozen=True)
class Tools:
    """What every step needs."""

    archive: Archive
    keyring: Keyring
    settings: Settings
    trail: Trail
    clock: Clock

    def subject(self, revision: RevisionKey) -> "Subject":
        """Look a revision up."""
        with self.archive.snapshot() as tx:
            study = self.archive.catalogue.study(tx, revision.study_key)
            record = self.archive.revisions.get(tx, revision)
            instances = self.archive.catalogue.instances(tx, revision)
            arrivals = self.archive.arrivals.of_study(
                tx, revision.study_key, since=study.received_at, now=self.clock()
            )
        called = arrivals[0].peer.called_ae_title if arrivals else ""
        return Subject(revision, study, record, instances, called)

    def note(self, revision: RevisionKey, step: str, outcome: str, reason: str = "") -> None:
        """Write into the study's journey."""
        with self.archive.transaction() as tx:
            entry = JourneyEntry(self.clock(), revision.number, step, outcome, reason)
            self.archive.journey.note(tx, revision, entry)

    def replacement(self, subject: "Subject") -> Replacement:
        """Return what stands for this patient in the de-identified world."""
        version = subject.study.key_version
        return Replacement(
            pseudonym_key=self.keyring.key(Purpose.PSEUDONYM, version),
            uid_key=self.keyring.key(Purpose.UID, version),
            date_key=self.keyring.key(Purpose.DATE, version),
            patient=subject.study.identity.patient,
            study_instance_uid=subject.study.identity.study_instance_uid,
            default_issuer=subject.study.issuer,
            date_shift_max_days=self.settings.anonymizer.date_shift_max_days,
        )


@dataclass(frozen=True)
class Subject:
    """One revision, its study and its instances."""

    revision: RevisionKey
    study: StudyRecord
    record: RevisionRecord
    instances: tuple[InstanceRecord, ...]
    """All that count, in the order in which they arrived."""
    called_ae_title: str
    """The title by which its first sender called us."""

    @cached_property
    def in_reading_order(self) -> tuple[InstanceRecord, ...]:
        """The instances as a reader looks at them: by series, then by number."""
        return tuple(sorted(self.instances, key=_reading_order))

    @property
    def originals(self) -> dict[str, Instance]:
        """What intake sealed of each instance, by SOP Instance UID."""
        return {record.instance.sop_instance_uid: record.instance for record in self.instances}

    def contents(self) -> Iterator[Instance]:
        """Yield what intake sealed of each instance."""
        return (record.instance for record in self.instances)


def _reading_order(record: InstanceRecord) -> tuple[float, str, float, str]:
    instance, last = record.instance, float("inf")
    return (
        last if instance.series_number is None else instance.series_number,
        instance.series_instance_uid,
        last if instance.instance_number is None else instance.instance_number,
        instance.sop_instance_uid,
    )
