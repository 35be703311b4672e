"""Delivery: the same bytes at every attempt, an outcome for each object, nobody held up."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.clock import utc_now
from core.errors import CapacityError, InputError, ServiceError
from core.model import RevisionKey
from core.states import DeliveryState, HoldReason
from dicom_node.ports import AssociationOrigin, Ending, IncomingObject, Refusal
from dicom_node.server import DicomNode
from dicom_node.settings import NodeSettings
from tests.support.certificates import Authority, Owned
from tests.support.house import House, house, image_with_cells
from tests.support.peers import free_port


def section(authority: Authority, owned: Owned) -> dict[str, object]:
    return {
        "certificate_file": str(owned.certificate_file),
        "key_file": str(owned.key_file),
        "ca_file": str(authority.file),
    }


@dataclass
class Destination:
    """A destination in this process: keeps what it is sent, or fails as it is told."""

    failures: list[ServiceError] = field(default_factory=list)
    kept: dict[str, bytes] = field(default_factory=dict)
    transmissions: list[str] = field(default_factory=list)

    def begin(self, origin: AssociationOrigin, incoming: IncomingObject) -> "Arriving":
        return Arriving(self, incoming.sop_instance_uid)

    def opened(self, origin: AssociationOrigin) -> None:
        pass

    def closed(self, origin: AssociationOrigin, how: Ending, stored: int, failed: int) -> None:
        pass

    def refused(self, refusal: Refusal) -> None:
        pass

    def echoed(self, origin: AssociationOrigin) -> None:
        pass

    def alive(self, origin: AssociationOrigin) -> None:
        pass

    def failed_store(
        self, origin: AssociationOrigin, incoming: IncomingObject, error: ServiceError
    ) -> None:
        pass


@dataclass
class Arriving:
    """One object on its way in."""

    destination: Destination
    uid: str
    content: bytearray = field(default_factory=bytearray)

    def write(self, fragment: bytes | memoryview) -> None:
        self.content += fragment

    def commit(self) -> None:
        self.destination.transmissions.append(self.uid)
        if self.destination.failures:
            raise self.destination.failures.pop(0)
        self.destination.kept[self.uid] = bytes(self.content)

    def discard(self) -> None:
        self.content.clear()


@contextmanager
def listening(
    destination: Destination, port: int | None, tls: dict[str, object] | None = None
) -> Iterator[None]:
    peer = {
        "name": "us",
        "ae_title": "SECOND_READER",
        "addresses": ["127.0.0.0/8"],
        "certificates": ["ANY"] if tls else [],
    }
    settings = NodeSettings.model_validate(
        {"ae_title": "PACS", "host": "127.0.0.1", "port": port, "peers": [peer], "tls": tls}
    )
    node = DicomNode(settings, destination, destination)
    node.start()
    try:
        yield
    finally:
        node.stop()


@dataclass
class Scene:
    """A study whose results are due at one destination."""

    home: House
    revision: RevisionKey
    port: int

    def states(self) -> list[DeliveryState]:
        return [record.state for record in self._records()]

    def outcomes(self) -> list[str]:
        return [record.outcome for record in self._records()]

    def _records(self) -> Any:
        with self.home.foundation.archive.snapshot() as tx:
            return self.home.foundation.archive.deliveries.of_study(tx, self.revision.study_key)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    port = free_port()
    pacs = {"name": "pacs", "host": "127.0.0.1", "port": port, "called_ae_title": "PACS"}
    with house(tmp_path, destinations=[pacs]) as home:
        revision = home.take(image_with_cells((1, 1)))
        home.process(revision)
        yield Scene(home, revision, port)


def test_results_arrive_and_are_receipted(scene: Scene) -> None:
    destination = Destination()
    with listening(destination, scene.port):
        assert scene.home.delivery.attempt(scene.revision, "pacs") is None
    assert len(destination.kept) == 2
    assert scene.states() == [DeliveryState.COMPLETED] * 2


def test_what_arrived_is_not_sent_again(scene: Scene) -> None:
    destination = Destination()
    with listening(destination, scene.port):
        scene.home.delivery.attempt(scene.revision, "pacs")
        scene.home.delivery.attempt(scene.revision, "pacs")
    assert len(destination.transmissions) == 2


def test_a_destination_that_is_down_is_tried_again_later(scene: Scene) -> None:
    due = scene.home.delivery.attempt(scene.revision, "pacs")
    assert due is not None
    assert due > utc_now()
    assert scene.states() == [DeliveryState.SCHEDULED] * 2


def test_only_what_failed_is_sent_again_and_with_the_same_bytes(scene: Scene) -> None:
    destination = Destination(failures=[CapacityError("full")])
    with listening(destination, scene.port):
        assert scene.home.delivery.attempt(scene.revision, "pacs") is not None
        assert sorted(scene.states()) == [DeliveryState.COMPLETED, DeliveryState.SCHEDULED]
        assert scene.home.delivery.attempt(scene.revision, "pacs") is None
    assert len(destination.transmissions) == 3
    assert len(set(destination.transmissions)) == 2
    assert scene.states() == [DeliveryState.COMPLETED] * 2


def test_out_of_resources_is_never_shown_as_sent(scene: Scene) -> None:
    destination = Destination(failures=[CapacityError("full"), CapacityError("full")])
    with listening(destination, scene.port):
        scene.home.delivery.attempt(scene.revision, "pacs")
    assert scene.states() == [DeliveryState.SCHEDULED] * 2
    assert not destination.kept


def test_an_object_that_the_destination_will_never_take_is_a_dead_letter(scene: Scene) -> None:
    refusals: list[ServiceError] = [InputError("no such class"), InputError("no such class")]
    with listening(Destination(failures=refusals), scene.port):
        assert scene.home.delivery.attempt(scene.revision, "pacs") is None
    assert scene.states() == [DeliveryState.FAILED] * 2
    assert all(scene.outcomes())


def test_nothing_leaves_while_the_study_is_held(scene: Scene) -> None:
    archive = scene.home.foundation.archive
    with archive.transaction() as tx:
        archive.deliveries.withdraw(
            tx, scene.revision.study_key, at=utc_now(), reason=HoldReason.CONFLICT.value
        )
    destination = Destination()
    with listening(destination, scene.port):
        assert scene.home.delivery.attempt(scene.revision, "pacs") is None
    assert not destination.transmissions


def test_begin_and_end_of_a_transfer_are_in_the_audit_log(scene: Scene) -> None:
    with listening(Destination(), scene.port):
        scene.home.delivery.attempt(scene.revision, "pacs")
    kinds = [event.kind.name for event in scene.home.events()]
    assert kinds.count("BEGIN_TRANSFERRING") == 1
    assert kinds.count("INSTANCES_TRANSFERRED") == 1


def test_results_go_over_tls_or_wait(tmp_path: Path) -> None:
    """A destination that is not who it should be is tried again, and told nothing."""
    authority = Authority("Hospital", tmp_path / "tls")
    us = authority.issue("US")
    stranger = Authority("Elsewhere", tmp_path / "tls").issue("PACS", names=["127.0.0.1"])
    known = authority.issue("PACS", names=["127.0.0.1"])
    port = free_port()
    pacs = {
        **{"name": "pacs", "host": "127.0.0.1", "port": port, "called_ae_title": "PACS"},
        "tls": section(authority, us) | {"ca_file": "tls/Hospital.pem"},
    }
    with house(tmp_path, destinations=[pacs]) as home:
        scene = Scene(home, home.take(image_with_cells((1, 1))), port)
        home.process(scene.revision)
        destination = Destination()
        with listening(destination, port):
            assert home.delivery.attempt(scene.revision, "pacs") is not None
        with listening(destination, None, section(authority, stranger) | {"port": port}):
            assert home.delivery.attempt(scene.revision, "pacs") is not None
        assert scene.states() == [DeliveryState.SCHEDULED] * 2
        assert "authority that is not in `ca_file`" in scene.outcomes()[0]
        assert destination.transmissions == []
        with listening(destination, None, section(authority, known) | {"port": port}):
            assert home.delivery.attempt(scene.revision, "pacs") is None
        assert scene.states() == [DeliveryState.COMPLETED] * 2
        alerts = [event for event in home.events() if event.kind.name == "SECURITY_ALERT"]
        assert len(alerts) == 2
