"""Deliveries under a changing world: settings and revisions move, attempts break off."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset

from archive.deliveries import DeliveryRecord
from core.clock import utc_now
from core.errors import InputError
from core.model import RevisionKey
from core.states import DeliveryState
from dicom_node.status import C_STORE_STATUS
from service.delivery import Delivery
from service.settings import DeliverySettings
from tests.service.test_delivery import Destination, listening
from tests.support.house import House, house, image_with_cells
from tests.support.peers import free_port


@dataclass
class Scene:
    """A study whose results are due at two destinations."""

    home: House
    original: FileDataset
    revision: RevisionKey
    ports: tuple[int, int]

    def records(self, destination: str) -> list[DeliveryRecord]:
        archive = self.home.foundation.archive
        with archive.snapshot() as tx:
            found = archive.deliveries.of_study(tx, self.revision.study_key)
        return [record for record in found if record.destination == destination]

    def states(self, destination: str) -> set[DeliveryState]:
        return {record.state for record in self.records(destination)}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    ports = free_port(), free_port()
    destinations = [
        {"name": name, "host": "127.0.0.1", "port": port, "called_ae_title": "PACS"}
        for name, port in zip(("near", "far"), ports, strict=True)
    ]
    with house(tmp_path, destinations=destinations) as home:
        original = image_with_cells((1, 1))
        revision = home.take(original)
        home.process(revision)
        yield Scene(home, original, revision, ports)


def without(scene: Scene, name: str) -> Delivery:
    """Return the delivery of an installation whose config.yaml names a destination no more."""
    delivery = scene.home.delivery
    left = tuple(one for one in delivery.settings.destinations if one.name != name)
    return replace(delivery, settings=DeliverySettings(destinations=left))


def test_a_destination_that_left_the_settings_takes_nothing_from_the_others(scene: Scene) -> None:
    assert without(scene, "near").attempt(scene.revision, "near") is None
    assert scene.states("near") == {DeliveryState.CANCELED}
    assert scene.states("far") == {DeliveryState.SCHEDULED}
    far = Destination()
    with listening(far, scene.ports[1]):
        scene.home.delivery.attempt(scene.revision, "far")
    assert len(far.kept) == 2


def test_an_older_revision_never_arrives_after_a_newer_one(scene: Scene) -> None:
    study = str(scene.original.StudyInstanceUID)
    newer = scene.home.take(image_with_cells((2, 2), StudyInstanceUID=study))
    scene.home.process(newer)
    assert newer.number == 2
    near = Destination()
    with listening(near, scene.ports[0]):
        scene.home.delivery.attempt(newer, "near")
        kept = set(near.kept)
        scene.home.delivery.attempt(scene.revision, "near")
    assert kept
    assert set(near.kept) == kept


def test_every_transfer_is_in_the_audit_log_also_after_a_dead_letter_was_revived(
    scene: Scene,
) -> None:
    archive = scene.home.foundation.archive
    once = replace(
        scene.home.delivery,
        settings=scene.home.delivery.settings.model_copy(update={"attempts": 1}),
    )
    assert once.attempt(scene.revision, "near") is None
    assert scene.states("near") == {DeliveryState.FAILED}
    with archive.transaction() as tx:
        archive.deliveries.revive(tx, scene.revision.study_key, at=utc_now())
    with listening(Destination(), scene.ports[0]):
        once.attempt(scene.revision, "near")
    assert scene.states("near") == {DeliveryState.COMPLETED}
    kinds = [event.kind.name for event in scene.home.events()]
    assert kinds.count("BEGIN_TRANSFERRING") == 2
    assert kinds.count("INSTANCES_TRANSFERRED") == 2


def test_what_is_withdrawn_in_the_middle_of_an_attempt_leaves_no_more(scene: Scene) -> None:
    archive, revision = scene.home.foundation.archive, scene.revision

    class Slow(Destination):
        """The study is found to be in conflict while this one takes the first object."""

        @property
        def transmissions(self) -> list[str]:
            with archive.transaction() as tx:
                archive.deliveries.withdraw(tx, revision.study_key, at=utc_now(), reason="held")
            return []

        @transmissions.setter
        def transmissions(self, _: list[str]) -> None:
            pass

    slow = Slow()
    with listening(slow, scene.ports[0]):
        assert scene.home.delivery.attempt(revision, "near") is None
    assert len(slow.kept) == 1
    arrived, stopped = sorted(scene.records("near"), key=lambda record: record.receipt == "")
    assert arrived.state is DeliveryState.COMPLETED
    assert stopped.state is DeliveryState.CANCELED


class _TwinError(InputError):
    """A strict destination has an instance of that UID already."""


def test_what_arrived_before_a_crash_is_no_dead_letter(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(C_STORE_STATUS, _TwinError, 0x0111)
    near = Destination(failures=[_TwinError("known"), _TwinError("known")])
    with listening(near, scene.ports[0]):
        assert scene.home.delivery.attempt(scene.revision, "near") is None
    assert scene.states("near") == {DeliveryState.COMPLETED}
    assert all("0111" in record.receipt for record in scene.records("near"))


def test_an_attempt_that_broke_off_is_made_again_or_given_up(scene: Scene) -> None:
    now, delivery = utc_now(), scene.home.delivery
    (first, *_) = scene.records("near")
    due: datetime | None = first.next_attempt_at
    again = delivery.broke_off(scene.revision, "near")
    assert again is not None
    assert again > now - timedelta(seconds=1)
    assert again != due
    assert {record.next_attempt_at for record in scene.records("near")} == {again}
    assert {record.attempts for record in scene.records("near")} == {1}
    last = replace(delivery, settings=delivery.settings.model_copy(update={"attempts": 2}))
    assert last.broke_off(scene.revision, "near") is None
    assert scene.states("near") == {DeliveryState.FAILED}
    assert scene.states("far") == {DeliveryState.SCHEDULED}
