"""Custody after something went wrong: nothing is acknowledged that nobody could read again."""

import pytest
from pydicom.dataset import Dataset

from archive.deliveries import DeliveryRecord
from archive.entries import StudyFilter
from core.errors import CorruptionError, ForgottenError
from core.states import DeliveryState, HoldReason, RevisionState
from tests.archive.test_results import made
from tests.service.test_intake import House, _changed, house
from tests.support.archives import at
from tests.support.builders import ct_image, encoded

__all__ = ["house"]


def _content(house: House, dataset: Dataset) -> bytes:
    (record,) = house.instances(dataset)
    return house.archive.read_object(record.revision.study_key, record.blob_name)


@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_an_object_whose_file_is_gone_is_restored_when_it_is_sent_again(
    house: House, damage: str
) -> None:
    dataset = ct_image()
    house.store(dataset)
    (path,) = (p for p in (house.folder / "data" / "objects").rglob("*") if p.is_file())
    if damage == "missing":
        path.unlink()
    else:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else whole[:-1] + b"!")
    with pytest.raises(CorruptionError):
        _content(house, dataset)
    house.store(dataset)
    assert encoded(dataset) in _content(house, dataset)
    assert house.rows() == 1


def test_an_object_of_a_study_whose_key_is_lost_is_not_acknowledged_again(house: House) -> None:
    dataset = ct_image()
    house.store(dataset)
    (key,) = (p for p in house.folder.rglob("*.key") if len(p.stem) > 20)
    key.unlink()
    with pytest.raises((CorruptionError, ForgottenError)):
        house.store(dataset)


def test_a_study_whose_key_is_lost_hides_no_other_in_a_list(house: House) -> None:
    dataset = ct_image()
    house.store(dataset)
    (key,) = (p for p in house.folder.rglob("*.key") if len(p.stem) > 20)
    house.store(_changed(dataset, StudyInstanceUID="2.25.42", SOPInstanceUID="2.25.43"))
    key.unlink()
    with house.archive.snapshot() as tx:
        found = house.archive.catalogue.find(tx, StudyFilter(), limit=10)
    assert {record.identity.study_instance_uid for record in found} == {"", "2.25.42"}


def test_results_of_a_finished_study_stop_when_its_instance_turns_up_in_another(
    house: House,
) -> None:
    dataset = ct_image()
    house.store(dataset)
    key = house.instances(dataset)[0].revision
    _finish(house, dataset)
    house.seconds = 63
    house.store(_changed(dataset, StudyInstanceUID="2.25.42"))
    with house.archive.snapshot() as tx:
        told = [entry.outcome for entry in house.archive.journey.of(tx, key.study_key)]
    assert _delivery(house, dataset).state is DeliveryState.CANCELED
    assert HoldReason.CONFLICT.value in _delivery(house, dataset).outcome
    assert "held" in told


def _finish(house: House, dataset: Dataset) -> None:
    archive, key = house.archive, house.instances(dataset)[0].revision
    with archive.transaction() as tx:
        archive.revisions.close(tx, key, rule="r", at=at(60))
        archive.revisions.begin(tx, key, at=at(61))
        result = made(archive, key)
        archive.results.put_object(tx, result)
        archive.revisions.move(tx, key, RevisionState.COMPLETED, at=at(62))
        archive.deliveries.schedule(tx, archive.results.key_of(result), ["pacs"], at=at(62))


def _delivery(house: House, dataset: Dataset) -> DeliveryRecord:
    study_key = house.instances(dataset)[0].revision.study_key
    with house.archive.snapshot() as tx:
        (found,) = house.archive.deliveries.of_study(tx, study_key)
    return found
