"""Saving and finding studies, series and instances."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.archive import Archive
from archive.entries import Standing, StudyFilter
from archive.errors import UnknownInstanceError, UnknownStudyError
from archive.rows import person_name
from archive.studies import plain_modality
from core.errors import ForgottenError, SealError
from core.model import InstanceKey, RevisionKey, StudyKey
from core.states import RevisionState
from tests.support.archives import at, instance, make_archive, new_instance, stored

STUDY_UID = "2.25.1000"


def test_what_is_saved_is_found_again(archive: Archive) -> None:
    key = stored(archive, 1, 2, seconds=5)
    with archive.snapshot() as tx:
        record = archive.catalogue.study(tx, archive.catalogue.locate(tx, STUDY_UID))
        instances = archive.catalogue.instances(tx, key)
    assert record.identity == instance().identity
    assert (record.issuer, record.identity_version, record.key_version) == ("HOSPITAL-A", 1, 1)
    assert (record.modalities, record.number_of_instances) == (("CT",), 2)
    assert record.received_at == at(5)
    assert {one.instance for one in instances} == {instance(1), instance(2)}


def test_saving_the_same_instance_again_changes_nothing(archive: Archive) -> None:
    new = new_instance(archive)
    with archive.transaction() as tx:
        first = archive.studies.add(tx, new)
    with archive.transaction() as tx:
        again = archive.studies.add(tx, new)
        record = archive.catalogue.study(tx, first.revision.study_key)
    assert again.revision == first.revision
    assert (first.opened_revision, again.opened_revision) == (True, False)
    assert record.number_of_instances == record.newest.number_of_instances == 1


def test_instances_of_one_sop_uid_are_known_whatever_their_content(archive: Archive) -> None:
    with archive.transaction() as tx:
        archive.studies.add(tx, new_instance(archive, content=b"one", seconds=1))
        archive.studies.add(
            tx, new_instance(archive, content=b"two", seconds=2), standing=Standing.CONFLICTING
        )
    with archive.snapshot() as tx:
        known = archive.studies.known(tx, instance().sop_instance_uid)
        assert archive.studies.known(tx, "2.25.9") == ()
    assert [one.standing for one in known] == [Standing.CURRENT, Standing.CONFLICTING]
    assert archive.read_object(known[1].study_key, known[1].blob_name) == b"two"


def test_only_instances_that_count_are_processed(archive: Archive) -> None:
    with archive.transaction() as tx:
        added = archive.studies.add(tx, new_instance(archive, content=b"old", seconds=1))
        archive.studies.add(
            tx, new_instance(archive, content=b"new", seconds=2), standing=Standing.CONFLICTING
        )
        (only,) = archive.catalogue.instances(tx, added.revision)
        assert archive.catalogue.count_instances(tx, added.revision) == 1
        archive.studies.supersede(tx, only.instance_key)
        archive.studies.supersede(tx, only.instance_key)
        assert archive.catalogue.instances(tx, added.revision) == ()
        assert archive.catalogue.instance(tx, only.instance_key).standing is Standing.SUPERSEDED


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("patient_id", "PID-0002"),
        ("issuer_of_patient_id", "HOSPITAL-B"),
        ("patient_name", "Example^Bert"),
        ("patient_birth_date", "19700103"),
        ("patient_sex", "M"),
        ("accession_number", "ACC-0002"),
    ],
)
def test_instances_that_name_somebody_else_differ(archive: Archive, field: str, value: str) -> None:
    with archive.transaction() as tx:
        first = archive.studies.add(tx, new_instance(archive, 1))
        same = archive.studies.add(tx, new_instance(archive, 2))
        other = archive.studies.add(tx, new_instance(archive, 3, changes={field: value}))
    assert (first.differs, same.differs, other.differs) == (False, False, True)


def test_empty_components_at_the_end_of_a_name_say_nothing(archive: Archive) -> None:
    with archive.transaction() as tx:
        archive.studies.add(tx, new_instance(archive, 1))
        added = archive.studies.add(
            tx, new_instance(archive, 2, changes={"patient_name": "Example^Ada^^="})
        )
    assert not added.differs


@given(name=st.text(alphabet="AB^= ", max_size=12))
def test_the_plain_form_of_a_name_is_its_own_plain_form(name: str) -> None:
    assert person_name(person_name(name)) == person_name(name)


def test_an_identity_is_taken_over_once_all_that_count_agree(archive: Archive) -> None:
    changes = {"patient_name": "Example^Eve", "patient_id": "PID-0009"}
    old = [new_instance(archive, number, content=b"%d old" % number) for number in (1, 2)]
    new = [
        new_instance(archive, number, content=b"%d new" % number, changes=changes)
        for number in (1, 2)
    ]
    with archive.transaction() as tx:
        keys = [archive.studies.add(tx, one).revision for one in old]
        study_key = keys[0].study_key
        before = archive.catalogue.study(tx, study_key)
        settled = []
        for corrected in new:
            (known, *_) = archive.studies.known(tx, corrected.instance.sop_instance_uid)
            archive.studies.add(tx, corrected)
            archive.studies.supersede(tx, known.instance_key)
            settled.append(archive.studies.settle_identity(tx, study_key, corrected))
        after = archive.catalogue.study(tx, study_key)
        assert not archive.studies.settle_identity(tx, study_key, new[1])
    assert settled == [False, True]
    assert after.identity.patient.patient_name == "Example^Eve"
    assert (before.identity_version, after.identity_version) == (1, 2)
    assert before.patient_key != after.patient_key


def test_a_patient_keeps_the_key_version_of_the_first_day(archive: Archive) -> None:
    from dataclasses import replace

    later = new_instance(archive, 2, changes={"study_instance_uid": "2.25.1001"})
    with archive.transaction() as tx:
        archive.studies.add(tx, new_instance(archive, 1))
        added = archive.studies.add(tx, replace(later, key_version=2))
        assert archive.catalogue.study(tx, added.revision.study_key).key_version == 1


def test_what_is_unknown_is_told_by_its_own_error(archive: Archive) -> None:
    with archive.snapshot() as tx:
        with pytest.raises(UnknownStudyError):
            archive.catalogue.locate(tx, "1.2.3")
        with pytest.raises(UnknownStudyError):
            archive.catalogue.study(tx, StudyKey("x" * 26))
        with pytest.raises(UnknownInstanceError):
            archive.catalogue.instance(tx, InstanceKey("x" * 26))


def test_studies_are_listed_newest_first_by_page_and_filter(archive: Archive) -> None:
    for number in range(5):
        uid, modality = f"2.25.100{number}", ("CT", "US")[number % 2]
        changes = {
            "study_instance_uid": uid,
            "modality": modality,
            "series_instance_uid": f"{uid}.1",
            "sop_instance_uid": f"{uid}.2",
        }
        with archive.transaction() as tx:
            archive.studies.add(tx, new_instance(archive, seconds=number, changes=changes))
    with archive.snapshot() as tx:
        everything = archive.catalogue.find(tx, StudyFilter(), limit=10)
        page = archive.catalogue.find(tx, StudyFilter(), limit=2)
        last = page[-1]
        rest = archive.catalogue.find(
            tx, StudyFilter(older_than=(last.received_at, last.study_key)), limit=10
        )
        ultrasound = archive.catalogue.find(tx, StudyFilter(modality="US"), limit=10)
        window = StudyFilter(received_from=at(1), received_to=at(3))
        within = archive.catalogue.find(tx, window, limit=10)
        is_open = StudyFilter(states=frozenset({RevisionState.OPEN}))
        is_done = StudyFilter(states=frozenset({RevisionState.COMPLETED, RevisionState.FAILED}))
        assert len(archive.catalogue.find(tx, is_open, limit=10)) == 5
        assert archive.catalogue.find(tx, is_done, limit=10) == ()
    assert [one.received_at for one in everything] == [at(n) for n in (4, 3, 2, 1, 0)]
    assert page + rest == everything
    assert len(ultrasound) == len(within) == 2


def test_what_an_association_brought_is_found_by_study(archive: Archive) -> None:
    with archive.transaction() as tx:
        archive.studies.add(tx, new_instance(archive, 1, association_id="a1"))
        archive.studies.add(tx, new_instance(archive, 2, association_id="a1"))
        archive.studies.add(tx, new_instance(archive, 3, association_id="a2"))
        brought = archive.catalogue.brought(tx, "a1")
    study_key = archive.index.study_key(instance(1).identity.study_instance_uid)
    assert brought == {study_key: {instance(1).sop_class_uid: 2}}


def test_a_sender_cannot_write_text_into_a_plain_column() -> None:
    assert plain_modality("CT") == "CT"
    assert plain_modality("Example^Ada") == ""
    assert plain_modality("CT" * 20) == ""


def test_no_identity_is_readable_in_any_file(archive: Archive, tmp_path: Path) -> None:
    stored(archive, 1, 2)
    about = instance(1)
    words = [
        *(part for part in about.identity.patient.patient_name.split("^")),
        about.identity.patient.patient_id,
        about.identity.patient.issuer_of_patient_id,
        about.identity.patient.patient_birth_date,
        about.identity.accession_number,
        about.identity.study_instance_uid,
        about.series_instance_uid,
        about.sop_instance_uid,
    ]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    everything = b"".join(path.read_bytes() for path in files)
    assert [word for word in words if word.encode() in everything] == []
    assert b"CT" in everything or not (tmp_path / "data" / "archive.db").exists()


def test_a_forgotten_study_cannot_be_opened_any_more(archive: Archive, tmp_path: Path) -> None:
    key = stored(archive, 1)
    archive.keystore.forget(key.study_key)
    with archive.snapshot() as tx, pytest.raises(ForgottenError):
        archive.catalogue.study(tx, key.study_key)
    other = make_archive(tmp_path)
    with other.snapshot() as tx, pytest.raises(ForgottenError):
        other.catalogue.instances(tx, key)
    other.close()


def test_a_sealed_column_moved_to_another_row_is_refused(archive: Archive) -> None:
    from sqlalchemy import select, update

    from archive.tables import instance as table

    key = stored(archive, 1, 2)
    with archive.transaction() as tx:
        rows = tx.execute(select(table.c.instance_key, table.c.sealed)).all()
        tx.execute(
            update(table)
            .where(table.c.instance_key == rows[0].instance_key)
            .values(sealed=rows[1].sealed)
        )
        with pytest.raises(SealError):
            archive.catalogue.instances(tx, key)


def test_a_revision_covers_what_earlier_ones_brought(archive: Archive) -> None:
    first = stored(archive, 1, seconds=0)
    with archive.transaction() as tx:
        archive.revisions.close(tx, first, rule="test", at=at(60))
    second = stored(archive, 2, seconds=61)
    assert second == RevisionKey(first.study_key, 2)
    with archive.snapshot() as tx:
        assert len(archive.catalogue.instances(tx, first)) == 1
        assert len(archive.catalogue.instances(tx, second)) == 2
        assert archive.catalogue.count_instances(tx, first) == 1
        assert archive.catalogue.count_instances(tx, second) == 2
