"""Whatever arrived became something: the sums of /metrics hold, and a loss shows in them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from archive.accounting import _STATES
from archive.tables import instance, released, revision
from core.clock import utc_now
from core.errors import CapacityError, MalformedInstanceError, ServiceError
from core.states import RevisionState
from dicom_node.ports import AssociationOrigin, IncomingObject
from service.completeness import OpenAssociations
from service.health import ArchiveNumbers
from service.transfers import NodeWatch, Transfers
from tests.support.house import PEER, House, house, image_with_cells


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as opened:
        yield opened


def numbers(home: House) -> dict[str, float]:
    return {
        " ".join(
            (sample.name.removeprefix("second_reader_"), *sample.labels.values())
        ): sample.value
        for metric in ArchiveNumbers(home.foundation).collect()
        for sample in metric.samples
    }


def fail(home: House, error: ServiceError) -> None:
    archive, trail = home.foundation.archive, home.foundation.trail
    watch = NodeWatch(
        archive,
        trail,
        OpenAssociations(archive, 60.0),
        Transfers(archive, trail, utc_now),
        utc_now,
    )
    incoming = IncomingObject("1.2.3", "2.25.1", "1.2.840.10008.1.2.1")
    watch.failed_store(AssociationOrigin("association", PEER), incoming, error)


def test_what_arrived_is_stored_known_refused_or_failed(home: House) -> None:
    images = [image_with_cells((n, 1), StudyInstanceUID=f"2.25.4{n}") for n in range(3)]
    for image in (*images, images[0], images[1]):
        home.receive(image)
    fail(home, MalformedInstanceError("no data set"))
    fail(home, CapacityError("the disk is full"))
    fail(home, CapacityError("the disk is full"))
    found = numbers(home)
    outcomes = {name: value for name, value in found.items() if name.startswith("objects ")}
    assert outcomes == {
        "objects stored": 3,
        "objects duplicate": 2,
        "objects refused": 1,
        "objects failed": 2,
    }
    assert found["objects_received"] == 8
    assert found["objects_unaccounted"] == 0


def test_every_study_is_processed_failed_held_or_queued(home: House) -> None:
    done, held, waiting = (
        image_with_cells((1, 1), StudyInstanceUID=f"2.25.3{n}", PatientID=patient)
        for n, patient in enumerate(("A", "", "C"))
    )
    home.process(home.take(done))
    home.take(held)
    home.receive(waiting)
    home.receive(
        image_with_cells((5, 5), StudyInstanceUID=str(done.StudyInstanceUID), PatientID="A")
    )
    found = numbers(home)
    assert found["studies_received"] == 4  # the late instance is a revision of its own
    assert (found["studies processed"], found["studies held"], found["studies queued"]) == (1, 1, 2)
    assert found["studies_unaccounted"] == 0


def test_a_row_that_is_lost_shows(home: House) -> None:
    home.receive(image_with_cells((1, 1)))
    with home.foundation.archive.transaction() as tx:
        for table in (released, instance, revision):
            tx.execute(delete(table))
    assert numbers(home)["objects_unaccounted"] == 1


def test_every_state_has_its_place_in_the_sum() -> None:
    placed = [state for states in _STATES.values() for state in states]
    assert sorted(placed) == sorted(RevisionState)
