"""Custody of what arrives."""

import errno
import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from sqlalchemy import select, text

from anonymizer.encoding import deflate
from archive.archive import Archive
from archive.custody import Result
from archive.custody_plan import Entry
from archive.database import Batch
from archive.entries import InstanceRecord, Standing
from archive.errors import DatabaseUnavailableError
from archive.tables import instance
from audit.vocabulary import Decision
from core.errors import (
    CapacityError,
    CorruptionError,
    MalformedInstanceError,
    MismatchedInstanceError,
    UnavailableError,
)
from core.model import Instance, InstanceKey, RemoteAE, RevisionKey, StudyIdentity
from core.part10 import data_set_of
from core.states import DeliveryState, HoldReason, RevisionState
from dicom_node.ports import AssociationOrigin, IncomingObject
from service.intake import MAX_HELD_BYTES, Intake, Reception
from tests.archive.test_results import made
from tests.support.archives import NOON, PEER, FailingDisk, at, make_archive
from tests.support.builders import ct_image, encoded, transfer_syntax

EXPLICIT, IMPLICIT = transfer_syntax(implicit=False), transfer_syntax(implicit=True)
BIG_ENDIAN = "1.2.840.10008.1.2.2"
ORIGIN = AssociationOrigin("a1", PEER)


@dataclass(frozen=True)
class Sealed:
    """An audit record that can be read, for the test."""

    event_id: str
    sealed: bytes


@dataclass
class OpenTrail:
    """Seals nothing, and remembers what it was told."""

    numbers: Iterator[int] = field(default_factory=itertools.count)
    decisions: list[tuple[Decision, str, str]] = field(default_factory=list)

    def custody_id(self, instance_key: InstanceKey, received_at: datetime) -> str:
        return f"custody {instance_key} {received_at.isoformat()}"

    def custody(self, peer: RemoteAE, instance: Instance, *, event_id: str | None = None) -> Sealed:
        return Sealed(event_id or f"custody {next(self.numbers)}", peer.name.encode())

    def decided(
        self, decision: Decision, revision: RevisionKey, identity: StudyIdentity, *, rule: str
    ) -> Sealed:
        self.decisions.append((decision, str(revision), rule))
        return Sealed(f"decided {next(self.numbers)}", rule.encode())


@dataclass
class House:
    """An intake with all that is behind it."""

    archive: Archive
    disk: FailingDisk
    folder: Path
    trail: OpenTrail = field(default_factory=OpenTrail)
    issuer: str = ""
    seconds: float = 0

    @property
    def intake(self) -> Intake:
        return Intake(self.archive, self.trail, lambda: at(self.seconds), b"c" * 32, 1)

    def begin(self, dataset: Dataset, syntax: str = EXPLICIT) -> Reception:
        incoming = IncomingObject(str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), syntax)
        origin = replace(ORIGIN, issuer_of_patient_id=self.issuer)
        return self.intake.begin(origin, incoming)

    def store(self, dataset: Dataset, *, implicit: bool = False) -> None:
        """Store as the node does: in fragments, discarded if anything is raised."""
        syntax = transfer_syntax(implicit=implicit)
        self.store_bytes(dataset, encoded(dataset, implicit=implicit), syntax)

    def store_bytes(self, dataset: Dataset, content: bytes, syntax: str) -> None:
        reception = self.begin(dataset, syntax)
        try:
            for start in range(0, len(content), 1000):
                reception.write(content[start : start + 1000])
            reception.commit()
        except Exception:
            reception.discard()
            raise

    def newest(self, dataset: Dataset) -> tuple[RevisionState, HoldReason | None, int]:
        """Return state, hold reason and number of the newest revision."""
        with self.archive.snapshot() as tx:
            key = self.archive.catalogue.locate(tx, str(dataset.StudyInstanceUID))
            record = self.archive.revisions.newest(tx, key)
        return record.state, record.hold_reason, record.key.number

    def instances(self, dataset: Dataset) -> tuple[InstanceRecord, ...]:
        with self.archive.snapshot() as tx:
            key = self.archive.catalogue.locate(tx, str(dataset.StudyInstanceUID))
            newest = self.archive.revisions.newest(tx, key)
            return self.archive.catalogue.instances(tx, newest.key)

    def audited(self) -> list[str]:
        with self.archive.snapshot() as tx:
            pending = self.archive.outbox.pending(tx, 1000)
        return [record.event_id.split()[0] for record in pending]

    def files(self) -> int:
        objects = self.folder / "data" / "objects"
        return sum(1 for path in objects.rglob("*") if path.is_file())

    def rows(self) -> int:
        with self.archive.snapshot() as tx:
            return int(tx.execute(text("SELECT count(*) FROM instance")).scalar_one())


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    disk = FailingDisk()
    archive = make_archive(tmp_path, disk=disk)
    yield House(archive, disk, tmp_path)
    archive.close()


def _changed(dataset: Dataset, **changes: object) -> Dataset:
    copy = dcmread(BytesIO(_file(dataset)))
    for keyword, value in changes.items():
        setattr(copy, keyword, value)
    return copy


def _file(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _big_endian(dataset: Dataset) -> bytes:
    copy = _changed(dataset)
    copy.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
    copy.walk(lambda within, element: within[element.tag].value)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, False
    write_dataset(buffer, copy)
    return buffer.getvalue()


# --- what is kept ------------------------------------------------------------------------------


def test_an_acknowledged_object_is_kept_byte_for_byte(house: House) -> None:
    dataset = ct_image()
    house.store(dataset)
    (record,) = house.instances(dataset)
    content = house.archive.read_object(record.revision.study_key, record.blob_name)
    assert content.endswith(encoded(dataset))
    read = dcmread(BytesIO(content))
    assert read == dataset
    assert read.file_meta.TransferSyntaxUID == EXPLICIT
    assert read.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert content[:128] == bytes(128)


def test_custody_has_one_audit_record_in_the_same_commit(house: House) -> None:
    house.store(ct_image())
    assert house.audited() == ["custody"]


def test_a_study_arrives_in_one_revision(house: House) -> None:
    first = ct_image()
    house.store(first)
    house.store(ct_image(attributes={"StudyInstanceUID": first.StudyInstanceUID}))
    assert house.newest(first) == (RevisionState.OPEN, None, 1)
    assert len(house.instances(first)) == 2


def test_bytes_may_arrive_one_at_a_time(house: House) -> None:
    dataset = ct_image(np.zeros((4, 4), np.int16))
    reception = house.begin(dataset)
    for byte in encoded(dataset):
        reception.write(bytes([byte]))
    reception.commit()
    assert house.rows() == 1


def test_an_object_is_sealed_while_it_arrives(house: House) -> None:
    dataset = ct_image(np.zeros((1024, 1024), np.int16))
    content = encoded(dataset)
    reception = house.begin(dataset)
    house.disk.calls.clear()
    reception.write(content[: len(content) // 2])
    assert [call for call, _ in house.disk.calls].count("write") >= 1
    reception.discard()
    assert house.files() == 0


def test_senders_store_at_once(house: House) -> None:
    study = ct_image().StudyInstanceUID
    sets = [[ct_image(attributes={"StudyInstanceUID": study}) for _ in range(5)] for _ in range(4)]

    def send(some: list[Dataset]) -> None:
        for one in some:
            house.store(one)

    threads = [threading.Thread(target=send, args=(some,)) for some in sets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(house.instances(sets[0][0])) == 20
    assert len(house.audited()) == 20


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID"])
def test_an_object_that_is_not_what_the_command_says_is_refused(house: House, keyword: str) -> None:
    """PS3.4 B.2.3, protocol S3 and S7."""
    dataset = ct_image()
    other = _changed(dataset, **{keyword: "1.2.3"})
    with pytest.raises(MismatchedInstanceError):
        house.store_bytes(dataset, encoded(other), EXPLICIT)
    assert (house.rows(), house.files(), house.audited()) == (0, 0, [])


@pytest.mark.parametrize("cut", [0, 5, 300, -1])
def test_an_object_that_is_cut_is_refused_and_leaves_nothing(house: House, cut: int) -> None:
    dataset = ct_image()
    with pytest.raises(MalformedInstanceError):
        house.store_bytes(dataset, encoded(dataset)[:cut], EXPLICIT)
    assert (house.rows(), house.files(), house.audited()) == (0, 0, [])


def test_an_object_without_a_study_is_refused(house: House) -> None:
    dataset = ct_image(attributes={"StudyInstanceUID": None})
    with pytest.raises(MalformedInstanceError, match="StudyInstanceUID"):
        house.store(dataset)


def test_a_study_uid_that_hides_behind_too_much_is_refused(house: House) -> None:
    dataset = ct_image(attributes={"StudyInstanceUID": None})
    head = encoded(dataset)[:-2060]
    reception = house.begin(dataset)
    reception.write(head[: head.index(b"\x10\x00\x10\x00")])
    reception.write(b"\x09\x00\x10\x00LO\x04\x00ACME")
    reception.write(b"\x09\x00\x01\x10OB\x00\x00" + (32 * 1024 * 1024).to_bytes(4, "little"))

    def flood() -> None:
        for _ in range(20):
            reception.write(bytes(1024 * 1024))

    with pytest.raises(MalformedInstanceError, match=str(MAX_HELD_BYTES)):
        flood()
    reception.discard()
    assert house.files() == 0


def test_an_object_that_names_two_studies_is_refused(house: House) -> None:
    dataset = ct_image()
    content = encoded(dataset)
    start = content.index(b"\x20\x00\x0d\x00UI")
    length = int.from_bytes(content[start + 6 : start + 8], "little") + 8
    element = content[start : start + length]
    other = element[:-3] + b"77\0" if element[-1] == 0 else element[:-2] + b"77"
    with pytest.raises(MalformedInstanceError):
        house.store_bytes(
            dataset, content[: start + length] + other + content[start + length :], EXPLICIT
        )
    assert house.rows() == 0


def test_a_deflated_object_is_kept_as_it_was_sent(house: House) -> None:
    dataset = ct_image()
    sent = deflate(encoded(dataset))
    house.store_bytes(dataset, sent, "1.2.840.10008.1.2.1.99")
    (record,) = house.instances(dataset)
    kept = house.archive.read_object(record.revision.study_key, record.blob_name)
    assert bytes(data_set_of(kept)) == sent


# --- a world that fails ------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["create", "write", "fsync", "rename", "fsync_folder", "link"])
@pytest.mark.parametrize(
    ("code", "family"), [(errno.ENOSPC, CapacityError), (errno.EIO, UnavailableError)]
)
def test_nothing_is_acknowledged_when_the_disk_fails(
    house: House, step: str, code: int, family: type[Exception]
) -> None:
    """PS3.4 Table B.2-1: A700."""
    dataset = ct_image()
    house.disk.fail(step, code)
    with pytest.raises(family):
        house.store(dataset)
    assert (house.rows(), house.audited()) == (0, [])
    house.disk.fail("")
    house.store(dataset)
    assert (house.rows(), len(house.audited())) == (1, 1)


@pytest.mark.parametrize("step", ["fsync", "fsync_folder"])
def test_the_sync_of_the_object_itself_counts(house: House, step: str) -> None:
    """The study has its key already, so that the failing call is that of the object."""
    first = ct_image()
    house.store(first)
    house.disk.fail(step)
    second = ct_image(attributes={"StudyInstanceUID": first.StudyInstanceUID})
    with pytest.raises(UnavailableError):
        house.store(second)
    assert (house.rows(), len(house.audited()), house.files()) == (1, 1, 1)


def _store_side_by_side(house: House, datasets: Sequence[Dataset]) -> list[Dataset]:
    """Store them all at once; return those that were acknowledged."""
    acknowledged: list[Dataset] = []

    def store(dataset: Dataset) -> None:
        try:
            house.store(dataset)
        except UnavailableError:
            return
        acknowledged.append(dataset)

    threads = [threading.Thread(target=store, args=(dataset,)) for dataset in datasets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return acknowledged


def _assert_whole(house: House, acknowledged: Sequence[Dataset]) -> None:
    """Exactly what was acknowledged has a row, a file that can be read, and an audit record."""
    wanted = {str(dataset.SOPInstanceUID) for dataset in acknowledged}
    records = house.instances(acknowledged[0])
    assert {record.instance.sop_instance_uid for record in records} == wanted
    for record in records:
        house.archive.read_object(record.revision.study_key, record.blob_name)
    assert house.rows() == house.files() == house.audited().count("custody") == len(wanted)


@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("step", ["create", "write", "fsync", "rename", "fsync_folder"])
def test_one_fault_of_the_disk_costs_only_the_objects_it_was_about(
    house: House, step: str, after: int
) -> None:
    first = ct_image()
    house.store(first)
    house.disk.synced.clear()
    house.disk.fail(step, after=after, once=True)
    study = {"StudyInstanceUID": first.StudyInstanceUID}
    datasets = [ct_image(attributes=study) for _ in range(4)]
    acknowledged = _store_side_by_side(house, datasets)
    is_shared = step == "fsync_folder"  # one sync may have been for several
    if not is_shared or not house.disk.failing:
        assert len(acknowledged) < 4
    assert is_shared or len(acknowledged) == 3
    _assert_whole(house, [first, *acknowledged])
    assert len(house.disk.synced) == len(set(house.disk.synced))  # none was synced again
    house.disk.fail("")
    failed = [dataset for dataset in datasets if dataset not in acknowledged]
    assert len(_store_side_by_side(house, failed)) == len(failed)
    _assert_whole(house, [first, *datasets])


@pytest.mark.parametrize("is_unknown", [False, True])
def test_nothing_is_acknowledged_when_the_transaction_of_a_group_fails(
    house: House, is_unknown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it was the commit itself, the files stay: only the sweep knows whether rows name them."""
    first = ct_image()
    house.store(first)
    original = house.archive.database.batch

    @contextmanager
    def failing() -> Iterator[Batch]:
        with original() as batch:
            yield batch
            batch.may_be_committed = is_unknown
            raise DatabaseUnavailableError("as the test wants it")

    study = {"StudyInstanceUID": first.StudyInstanceUID}
    datasets = [ct_image(attributes=study) for _ in range(4)]
    with monkeypatch.context() as broken:
        broken.setattr(house.archive.database, "batch", failing)
        assert _store_side_by_side(house, datasets) == []
    assert (house.rows(), house.files()) == (1, 5 if is_unknown else 1)
    house.archive.upkeep.sweep(now=NOON.timestamp() + 10**9, grace_s=60)
    assert len(_store_side_by_side(house, datasets)) == 4
    _assert_whole(house, [first, *datasets])


def test_the_file_stays_if_nobody_tells_whether_its_row_was_committed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row without its file would be corruption; a file without a row is swept away."""

    def breaks(entry: Entry) -> Result:
        raise RuntimeError(entry.event_id)

    monkeypatch.setattr(house.archive.custody, "enter", breaks)
    with pytest.raises(RuntimeError):
        house.store(ct_image())
    assert (house.rows(), house.files()) == (0, 1)


def test_a_machine_that_dies_before_the_commit_leaves_an_orphan_only(house: House) -> None:
    dataset = ct_image()
    reception = house.begin(dataset)
    reception.write(encoded(dataset))

    class Died(BaseException):
        pass

    def die(*_: object) -> None:
        raise Died

    reception._enter = die  # type: ignore[assignment]
    with pytest.raises(Died):
        reception.commit()
    assert (house.rows(), house.files(), house.audited()) == (0, 1, [])
    report = house.archive.upkeep.sweep(now=NOON.timestamp() + 10**9, grace_s=60)
    assert (report.orphans_removed, house.files()) == (1, 0)


def test_an_object_whose_audit_record_cannot_be_kept_is_not_ours(house: House) -> None:
    with house.archive.transaction() as tx:
        tx.execute(text("ALTER TABLE outbox RENAME TO gone"))
    with pytest.raises(Exception, match="outbox"):
        house.store(ct_image())
    assert (house.rows(), house.files()) == (0, 0)


def test_the_audit_record_of_an_instance_can_be_asked_for_by_its_row(house: House) -> None:
    """However it came to be stored; an arrival without a row has an id of its own."""
    dataset = ct_image()
    house.store(dataset)
    house.store(dataset)
    house.seconds = 1
    house.store(_changed(dataset, PatientName="Example^Eve"))
    house.store(_changed(dataset, SliceThickness=2))
    with house.archive.snapshot() as tx:
        rows = tx.execute(select(instance.c.instance_key, instance.c.received_at)).all()
        pending = [one.event_id for one in house.archive.outbox.pending(tx, 1000)]
    wanted = {house.trail.custody_id(row.instance_key, row.received_at) for row in rows}
    assert len(rows) == len(wanted) == 3
    assert wanted <= set(pending)
    assert len([one for one in pending if one.startswith("custody")]) == 4


# --- the same object twice ---------------------------------------------------------------------


def test_the_same_object_twice_is_one_object_and_two_records(house: House) -> None:
    """Protocol S9."""
    dataset = ct_image()
    house.store(dataset)
    house.store(dataset)
    assert (house.rows(), house.files(), house.audited()) == (1, 1, ["custody", "custody"])
    assert house.newest(dataset) == (RevisionState.OPEN, None, 1)


def test_the_same_elements_in_another_encoding_are_the_same_object(house: House) -> None:
    dataset = ct_image(np.arange(1024, dtype=np.int16).reshape(32, 32))
    house.store(dataset)
    house.store(dataset, implicit=True)
    house.store_bytes(dataset, _big_endian(dataset), BIG_ENDIAN)
    assert (house.rows(), house.files(), len(house.audited())) == (1, 1, 3)
    assert house.newest(dataset)[1] is None


def test_other_content_under_the_same_uid_is_kept_and_held(house: House) -> None:
    dataset = ct_image()
    other = _changed(dataset, SliceThickness=2)
    house.store(dataset)
    house.store(other)
    assert (house.rows(), house.files()) == (2, 2)
    assert house.newest(dataset) == (RevisionState.OPEN, HoldReason.CONFLICT, 1)
    (record,) = house.instances(dataset)
    assert record.standing is Standing.CURRENT
    content = house.archive.read_object(record.revision.study_key, record.blob_name)
    assert dcmread(BytesIO(content)).SliceThickness == 1
    assert [decision for decision, _, _ in house.trail.decisions] == [Decision.HELD]


def test_a_correction_of_the_patient_takes_the_place_of_what_it_corrects(house: House) -> None:
    dataset = ct_image()
    corrected = _changed(dataset, PatientName="Example^Eve", PatientID="PID-9")
    house.store(dataset)
    house.store(corrected)
    assert house.newest(dataset) == (RevisionState.OPEN, HoldReason.CORRECTION, 1)
    (record,) = house.instances(dataset)
    assert record.instance.identity.patient.patient_name == "Example^Eve"
    with house.archive.snapshot() as tx:
        study = house.archive.catalogue.study(tx, record.revision.study_key)
    assert study.identity.patient.patient_id == "PID-9"
    assert study.identity_version == 2


def test_what_we_had_before_a_correction_is_a_duplicate(house: House) -> None:
    dataset = ct_image()
    house.store(dataset)
    house.store(_changed(dataset, AccessionNumber="ACC-2"))
    house.store(dataset, implicit=True)
    assert house.rows() == 2
    assert house.instances(dataset)[0].instance.identity.accession_number == "ACC-2"


def test_the_same_uid_in_another_study_holds_both(house: House) -> None:
    dataset = ct_image()
    moved = _changed(dataset, StudyInstanceUID="2.25.42")
    house.store(dataset)
    house.store(moved)
    assert house.newest(dataset)[1] is HoldReason.CONFLICT
    assert house.newest(moved)[1] is HoldReason.CONFLICT


def test_a_stored_object_that_is_damaged_does_not_refuse_a_new_one(house: House) -> None:
    dataset = ct_image()
    house.store(dataset)
    (path,) = (p for p in (house.folder / "data" / "objects").rglob("*") if p.is_file())
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    house.store(_changed(dataset, PatientName="Example^Eve"))
    assert house.newest(dataset)[1] is HoldReason.CONFLICT
    with pytest.raises(CorruptionError):
        house.archive.read_object(house.instances(dataset)[0].revision.study_key, path.name)


def test_nothing_leaves_once_a_study_is_in_conflict(house: House) -> None:
    dataset = ct_image()
    house.store(dataset)
    key = house.instances(dataset)[0].revision
    archive = house.archive
    with archive.transaction() as tx:
        archive.revisions.close(tx, key, rule="r", at=at(60))
        archive.revisions.begin(tx, key, at=at(61))
        result = made(archive, key)
        archive.results.put_object(tx, result)
        archive.deliveries.schedule(tx, archive.results.key_of(result), ["pacs"], at=at(62))
    house.seconds = 63
    house.store(_changed(dataset, SliceThickness=2))
    with archive.snapshot() as tx:
        states = [record.state for record in archive.revisions.of(tx, key.study_key)]
        (delivery,) = archive.deliveries.of_study(tx, key.study_key)
        told = [(entry.step, entry.outcome) for entry in archive.journey.of(tx, key.study_key)]
    assert states == [RevisionState.HELD, RevisionState.OPEN]
    assert house.newest(dataset) == (RevisionState.OPEN, HoldReason.CONFLICT, 2)
    assert delivery.state is DeliveryState.CANCELED
    assert ("received", "held") in told


# --- whose it is -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", "PID-2"),
        ("IssuerOfPatientID", "HOSPITAL-B"),
        ("PatientName", "Example^Bert"),
        ("PatientBirthDate", "19700103"),
        ("PatientSex", "M"),
        ("AccessionNumber", "ACC-2"),
    ],
)
def test_a_study_of_two_people_is_acknowledged_and_held(
    house: House, keyword: str, value: str
) -> None:
    first = ct_image()
    house.store(first)
    for _ in range(2):
        house.store(
            ct_image(attributes={"StudyInstanceUID": first.StudyInstanceUID, keyword: value})
        )
    assert house.newest(first) == (RevisionState.OPEN, HoldReason.MIXED_IDENTITY, 1)
    assert len(house.instances(first)) == 3
    assert house.audited().count("decided") == 1  # said once, however many there are


def test_a_study_without_a_patient_id_is_acknowledged_and_held(house: House) -> None:
    dataset = ct_image(attributes={"PatientID": ""})
    house.store(dataset)
    assert house.newest(dataset) == (RevisionState.OPEN, HoldReason.MISSING_PATIENT_ID, 1)


def test_the_issuer_of_the_peer_counts_where_the_object_names_none(house: House) -> None:
    house.issuer = "HOSPITAL-A"
    named = ct_image()
    unnamed = ct_image(
        attributes={"StudyInstanceUID": named.StudyInstanceUID, "IssuerOfPatientID": None}
    )
    house.store(named)
    house.store(unnamed)
    assert house.newest(named)[1] is None
    elsewhere = ct_image(attributes={"IssuerOfPatientID": None})
    house.store(elsewhere)
    with house.archive.snapshot() as tx:
        studies = [
            house.archive.catalogue.study(
                tx, house.archive.catalogue.locate(tx, str(one.StudyInstanceUID))
            )
            for one in (named, elsewhere)
        ]
    assert studies[0].patient_key == studies[1].patient_key
    assert studies[1].issuer == "HOSPITAL-A"
    assert studies[1].identity.patient.issuer_of_patient_id == ""


def test_what_comes_after_completeness_opens_the_next_revision(house: House) -> None:
    first = ct_image()
    house.store(first)
    with house.archive.transaction() as tx:
        house.archive.revisions.close(tx, house.instances(first)[0].revision, rule="r", at=at(60))
    house.seconds = 61
    house.store(first)  # a duplicate opens nothing
    assert house.newest(first) == (RevisionState.SCHEDULED, None, 1)
    house.store(ct_image(attributes={"StudyInstanceUID": first.StudyInstanceUID}))
    assert house.newest(first) == (RevisionState.OPEN, None, 2)


def test_no_identity_is_readable_in_any_file(house: House) -> None:
    dataset = ct_image(attributes={"PatientComments": "marker-4711"})
    house.store(dataset)
    house.store(_changed(dataset, PatientName="Another^Marker"))
    words = ["Example", "Another", "PID-0001", "19700102", "ACC-0001", "marker-4711"]
    words += [str(dataset.StudyInstanceUID), str(dataset.SOPInstanceUID)]
    files = [path for path in house.folder.rglob("*") if path.is_file()]
    everything = b"".join(path.read_bytes() for path in files)
    assert [word for word in words if word.encode() in everything] == []
