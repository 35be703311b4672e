"""What one group of instances writes: found out with two questions, then written in one go."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

from archive.custody_statements import (
    ARRIVAL,
    EXTENSION,
    INSTANCE,
    JOURNEY,
    OUTBOX,
    PATIENT,
    REVISION,
    SERIES,
    STUDY,
    known_digests,
    listed,
    newest_revisions,
)
from archive.database import Batch
from archive.entries import Standing
from archive.prepared import Values
from archive.revisions import opened_columns
from archive.rows import NewRows
from archive.studies import (
    instance_columns,
    locked_names,
    patient_columns,
    plain_modality,
    series_columns,
    study_columns,
)
from core.model import SeriesKey, StudyKey
from core.states import RevisionState


@dataclass(frozen=True)
class Entry:
    """One durable object, and what is to be written of it."""

    rows: NewRows
    event_id: str
    sealed_event: bytes = field(repr=False)


@dataclass
class _Open:
    """The open revision of a study, while a group is entered into it."""

    identity_digest: bytes
    number: int
    held: str | None = None
    """Why the newest revision is held, or the one before it was."""
    is_opened: bool = False
    """Whether this group opens it."""
    is_new_study: bool = False
    instances: list[NewRows] = field(default_factory=list)
    """What the group adds to it."""


class Plan:
    """Chooses which entries of a group are the usual case, and writes those."""

    def __init__(self, batch: Batch, known_series: Container[SeriesKey]) -> None:
        self._batch = batch
        self._known_series = known_series
        self._digests: set[bytes] = set()
        self._studies: dict[StudyKey, _Open] = {}
        self._chosen: list[tuple[Entry, _Open]] = []

    def choose(self, entries: Sequence[Entry]) -> list[bool]:
        """Lock and look up what the entries are about; say of each whether it will be written."""
        rows = [entry.rows for entry in entries]
        self._batch.lock(
            name for one in rows for name in locked_names(one.study_key, one.sop_digest)
        )
        self._find_digests({one.sop_digest for one in rows})
        self._find_studies({one.study_key for one in rows})
        return [self._joins(entry) for entry in entries]

    def write(self) -> None:
        """Write all that belongs to the entries that were chosen."""
        run = self._batch.run
        opened = [one for one in self._studies.values() if one.is_opened and one.instances]
        begun = [one.instances[0] for one in opened if one.is_new_study]
        patients = {one.patient_key: patient_columns(one) for one in begun}
        run(PATIENT, [patients[key] for key in sorted(patients)])
        run(STUDY, [study_columns(one) for one in begun])
        run(SERIES, self._new_series())
        run(REVISION, [_revision(one) for one in opened])
        run(EXTENSION, [_extension(one) for one in self._extended()])
        run(
            INSTANCE,
            [
                instance_columns(entry.rows, study.number, Standing.CURRENT)
                for entry, study in self._chosen
            ],
        )
        run(ARRIVAL, _arrivals(entry.rows for entry, _ in self._chosen))
        run(JOURNEY, [_beginning(one) for one in opened])
        run(OUTBOX, [_outbox_columns(entry) for entry, _ in self._chosen])

    def _find_digests(self, digests: set[bytes]) -> None:
        found = self._batch.rows(known_digests(len(digests)), listed(digests))
        self._digests = {bytes(row[0]) for row in found}

    def _find_studies(self, keys: set[StudyKey]) -> None:
        found = self._batch.rows(newest_revisions(len(keys)), listed(keys))
        for key, digest, number, state, hold_reason in found:
            study = _Open(bytes(digest), number, hold_reason)
            if state != RevisionState.OPEN.value:
                study.number, study.is_opened = number + 1, True
            self._studies[key] = study

    def _joins(self, entry: Entry) -> bool:
        """Take an entry in, if it is new and gives no reason to hold its study."""
        rows = entry.rows
        study = self._studies.get(rows.study_key)
        if study is None:
            study = _Open(rows.identity_digest, 1, is_opened=True, is_new_study=True)
        is_usual = (
            rows.sop_digest not in self._digests
            and rows.identity_digest == study.identity_digest
            and bool(rows.new.instance.identity.patient.patient_id)
        )
        if is_usual:
            self._studies[rows.study_key] = study
            self._digests.add(rows.sop_digest)
            study.instances.append(rows)
            self._chosen.append((entry, study))
        return is_usual

    def _extended(self) -> list[_Open]:
        """Return the revisions that were open before, in an order that all groups keep to."""
        return [
            study
            for _, study in sorted(self._studies.items())
            if study.instances and not study.is_opened
        ]

    def _new_series(self) -> list[Values]:
        new = {
            entry.rows.series_key: entry.rows
            for entry, _ in reversed(self._chosen)
            if entry.rows.series_key not in self._known_series
        }
        return [series_columns(new[key]) for key in sorted(new)]


def _revision(study: _Open) -> Values:
    first, last = study.instances[0], study.instances[-1]
    return {
        **opened_columns(first.study_key, study.number, study.held, first.new.received_at),
        "number_of_instances": len(study.instances),
        "last_instance_at": last.new.received_at,
        "updated_at": last.new.received_at,
    }


def _extension(study: _Open) -> Values:
    last = study.instances[-1]
    return {
        "of_study": last.study_key,
        "of_number": study.number,
        "more": len(study.instances),
        "at": last.new.received_at,
    }


def _arrivals(instances: Iterable[NewRows]) -> list[Values]:
    """Return what each association brought of each modality of each study, in one order for all."""
    counted: dict[tuple[str, str, str], dict[str, object]] = {}
    numbers: dict[tuple[str, str, str], int] = {}
    for one in instances:
        new = one.new
        key = (new.association_id, one.study_key, plain_modality(new.instance.modality))
        numbers[key] = numbers.get(key, 0) + 1
        if key not in counted:
            counted[key] = _arrival(one, key[2])
        counted[key] |= {"stored": numbers[key], "last_at": new.received_at}
    return [counted[key] for key in sorted(counted)]


def _arrival(one: NewRows, modality: str) -> dict[str, object]:
    new, peer = one.new, one.new.peer
    return {
        "association_id": new.association_id,
        "study_key": one.study_key,
        "modality": modality,
        "peer_name": peer.name,
        "ae_title": peer.ae_title,
        "called_ae_title": peer.called_ae_title,
        "address": peer.address,
        "stored": 1,
        "duplicates": 0,
        "first_at": new.received_at,
        "last_at": new.received_at,
        "reported_at": None,
    }


def _beginning(study: _Open) -> Values:
    first = study.instances[0]
    return {
        "study_key": first.study_key,
        "revision": study.number,
        "at": first.new.received_at,
        "step": "received",
        "outcome": "begun",
        "reason": f"from {first.new.peer.name}",
    }


def _outbox_columns(entry: Entry) -> Values:
    return {
        "event_id": entry.event_id,
        "sealed": entry.sealed_event,
        "recorded_at": entry.rows.new.received_at,
        "appended_at": None,
    }
