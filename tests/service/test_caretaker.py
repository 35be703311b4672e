"""The `dicom` role follows config.yaml: recorded, taken up, and told to those who ask."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from archive.configurations import ConfigurationInForce
from audit.events import AuditEvent
from audit.records import SealedRecord
from core.errors import UnavailableError
from dicom_node.settings import PeerSettings
from service.config_file import digest_of
from service.foundation import Foundation, opened
from service.keys import create_keys
from service.settings import load_settings
from service.wiring.caretaker import Caretaker

CT = {"name": "ct", "ae_title": "CT", "addresses": ["192.0.2.1"]}
PLACE = "here:104"


@dataclass
class Node:
    """Knows peers by name."""

    names: list[list[str]] = field(default_factory=list)

    def replace_peers(self, peers: Sequence[PeerSettings]) -> None:
        self.names.append([peer.name for peer in peers])


@dataclass
class Site:
    """An installation whose `dicom` role runs here."""

    foundation: Foundation
    caretaker: Caretaker
    node: Node
    config: Path

    def say(self, **sections: Any) -> None:
        self.write(yaml.safe_dump(sections))

    def write(self, text: str) -> None:
        self.config.write_text(text)
        self.caretaker.look()
        self.caretaker.look()

    def said(self) -> tuple[ConfigurationInForce, ...]:
        with self.foundation.archive.snapshot() as tx:
            return self.foundation.archive.configurations.all(tx)

    def recorded(self) -> list[str]:
        with self.foundation.archive.snapshot() as tx:
            waiting = self.foundation.archive.outbox.pending(tx, 100)
        sealer = self.foundation.trail.sealer
        events = [sealer.open(SealedRecord(one.event_id, one.sealed)) for one in waiting]
        return [_description(event) for event in events]


def _description(event: AuditEvent) -> str:
    assert event.type_code is not None
    assert event.type_code.value == "110131"
    return event.outcome_description


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    create_keys(tmp_path / "keys")
    config = tmp_path / "config.yaml"
    config.write_text("api: {}\n")
    with opened(load_settings(config), "dicom") as foundation:
        node = Node()
        caretaker = Caretaker(foundation, node, PLACE)
        caretaker.look()
        yield Site(foundation, caretaker, node, config)


def test_what_is_in_force_is_said_from_the_start_until_the_end(site: Site) -> None:
    (said,) = site.said()
    assert (said.place, said.digest) == (PLACE, digest_of(site.config.read_bytes()))
    site.caretaker.end()
    assert site.said() == ()


def test_other_peers_are_recorded_taken_up_and_said(site: Site) -> None:
    site.say(dicom_node={"peers": [CT]})
    assert site.node.names == [["ct"]]
    assert site.recorded() == ["the peers of config.yaml were taken up; added: ct"]
    assert site.said()[0].digest == digest_of(site.config.read_bytes())


def test_what_cannot_be_recorded_is_not_taken_up_yet(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise UnavailableError("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr(type(site.foundation), "record", away)
        site.say(dicom_node={"peers": [CT]})
    assert site.node.names == []
    site.caretaker.look()
    assert site.node.names == [["ct"]]


def test_a_wrong_file_is_recorded_once_and_said(site: Site) -> None:
    site.write("nothing: here\n")
    site.caretaker.look()
    assert site.node.names == []
    assert len(site.recorded()) == 1
    assert "config.yaml is wrong" in site.recorded()[0]
    assert "nothing" in site.said()[0].fault


def test_what_waits_for_a_restart_is_said(site: Site) -> None:
    site.say(api={"port": 1234}, pipeline={"attempts": 3})
    assert site.said()[0].waiting == "pipeline, api"
