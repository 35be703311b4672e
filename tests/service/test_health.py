"""Whether every part is well, and the numbers for Prometheus."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from api.views import PartHealth
from archive.configurations import ConfigurationInForce
from core.clock import utc_now
from core.errors import UnavailableError
from core.states import RevisionState
from inference.client import ReaderClient
from inference.requests import ModelState, ReaderStatus
from service.foundation import Foundation, opened
from service.health import ArchiveNumbers, Health
from service.keys import create_keys
from service.presence import LISTENER, Presence
from service.sequencer import LEASE
from service.settings import load_settings
from tests.support.archives import stored

CELLS = ModelState("cells", "1.0.0", "0" * 64, is_loaded=True)


class Answering(ReaderClient):
    """A reader that says what it has, or is away."""

    def __init__(self, *states: ModelState, is_away: bool = False) -> None:
        super().__init__(Path("nowhere"))
        self.states = states
        self.is_away = is_away

    def status(self, *, timeout_s: float = 5.0) -> ReaderStatus:
        if self.is_away:
            raise UnavailableError("the reader is away")
        return ReaderStatus(self.states, 0, 16, 0, 100)


@pytest.fixture
def foundation(tmp_path: Path) -> Iterator[Foundation]:
    create_keys(tmp_path / "keys")
    config = tmp_path / "config.yaml"
    rules = [{"name": "cells", "version": "1.0.0"}, {"name": "off", "enabled": False}]
    config.write_text(yaml.safe_dump({"inference": {"models": rules}}))
    with opened(load_settings(config), "api") as made:
        yield made


def listener(foundation: Foundation, place: str = "here:104") -> Presence:
    return Presence(foundation.archive, LISTENER, place, foundation.clock)


def at_work(foundation: Foundation) -> None:
    """Let every other role be at work."""
    listener(foundation).renew()
    with foundation.archive.transaction() as tx:
        foundation.archive.leases.acquire(tx, LEASE, owner="worker", now=utc_now(), lifetime_s=30)


def look(foundation: Foundation, reader: ReaderClient | None = None) -> dict[str, PartHealth]:
    report = Health(foundation, reader or Answering(CELLS)).report()
    return {part.name: part for part in report}


def unready(foundation: Foundation, reader: ReaderClient | None = None) -> dict[str, str]:
    found = look(foundation, reader)
    return {name: part.reason for name, part in found.items() if not part.is_ready}


def test_everything_is_well_when_every_role_is_at_work(foundation: Foundation) -> None:
    at_work(foundation)
    found = look(foundation)
    assert set(found) == {"database", "disk", "dicom", "reader", "worker", "audit"}
    assert all(part.is_ready for part in found.values())
    assert found["reader"].reason == "1 of 1 models loaded"
    assert found["dicom"].reason == "1 listening"


def test_a_listener_that_could_not_take_config_yaml_up_is_ready_and_says_so(
    foundation: Foundation,
) -> None:
    at_work(foundation)
    for place, is_told in (("gone:104", False), ("here:104", True)):
        wrong = ConfigurationInForce(place, "", "line 3: secret", "", utc_now())
        with foundation.archive.transaction() as tx:
            foundation.archive.configurations.put(tx, wrong)
        part = look(foundation)["dicom"]
        assert part.is_ready
        assert ("config.yaml is wrong" in part.reason) is is_told
        assert "secret" not in part.reason


def test_a_role_that_is_away_is_named_with_a_remedy(foundation: Foundation) -> None:
    reader = Answering(is_away=True)
    assert set(unready(foundation, reader)) == {"dicom", "reader", "worker"}
    found = look(foundation, reader)
    assert "log of role worker" in found["worker"].remedy


def test_a_listener_or_worker_that_died_is_missed_once_its_lease_ends(
    foundation: Foundation,
) -> None:
    at_work(foundation)
    later = replace(foundation, clock=lambda: utc_now() + timedelta(seconds=31))
    assert set(unready(later)) == {"dicom", "worker"}


def test_a_listener_that_starts_again_at_its_place_is_there_at_once(
    foundation: Foundation,
) -> None:
    listener(foundation).renew()
    listener(foundation).renew()
    assert "dicom" not in unready(foundation)
    listener(foundation).end()
    assert "dicom" in unready(foundation)


def test_deserted_places_are_forgotten_when_a_listener_stops(foundation: Foundation) -> None:
    listener(foundation, "gone:104").renew()
    later = replace(foundation, clock=lambda: utc_now() + timedelta(hours=1))
    listener(later, "here:104").renew()
    listener(later, "here:104").end()
    with foundation.archive.snapshot() as tx:
        assert foundation.archive.leases.get(tx, f"{LISTENER}gone:104") is None


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        ((), "model cells: the reader does not have it"),
        ((replace(CELLS, version="2.0.0"),), "model cells: the reader does not have it"),
        ((replace(CELLS, version="", reason="wrong digest"),), "model cells: wrong digest"),
    ],
)
def test_a_model_that_studies_are_read_with_must_be_usable(
    foundation: Foundation, states: tuple[ModelState, ...], reason: str
) -> None:
    assert unready(foundation, Answering(*states))["reader"] == reason


def test_a_refused_package_that_no_rule_wants_is_nobodys_trouble(foundation: Foundation) -> None:
    other = ModelState("broken", "", "", is_loaded=False, reason="wrong digest")
    off = replace(other, name="off")
    assert "reader" not in unready(foundation, Answering(CELLS, other, off))


def test_records_that_wait_too_long_for_the_log_are_told(foundation: Foundation) -> None:
    foundation.record(foundation.trail.process(started=True))
    assert "audit" not in unready(foundation)
    later = replace(foundation, clock=lambda: utc_now() + timedelta(seconds=90))
    assert unready(later)["audit"].startswith("records have been waiting for the log for 9")


def test_a_disk_that_is_full_is_told(foundation: Foundation) -> None:
    report = Health(foundation, Answering(CELLS), least_free_bytes=2**80).report()
    (disk,) = (part for part in report if part.name == "disk")
    assert not disk.is_ready
    assert "MiB are free for `archive.folder`" in disk.reason


def test_a_disk_that_is_gone_is_told(foundation: Foundation, tmp_path: Path) -> None:
    ours = foundation.installation
    audit = ours.settings.audit.model_copy(update={"folder": tmp_path / "no" / "disk"})
    settings = ours.settings.model_copy(update={"audit": audit})
    elsewhere = replace(foundation, installation=replace(ours, settings=settings))
    assert "`audit.folder` cannot be looked at" in unready(elsewhere)["disk"]


def numbers(foundation: Foundation) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(ArchiveNumbers(foundation))
    lines = generate_latest(registry).decode().splitlines()
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    }


def test_the_archive_is_counted_by_state(foundation: Foundation) -> None:
    stored(foundation.archive, 1, 2)
    foundation.record(foundation.trail.process(started=True))
    found = numbers(foundation)
    assert found['second_reader_study_revisions{state="OPEN"}'] == 1
    assert found['second_reader_study_revisions{state="HELD"}'] == 0
    assert found['second_reader_deliveries{state="FAILED"}'] == 0
    assert found["second_reader_audit_outbox_records"] == 1
    assert found["second_reader_audit_outbox_age_seconds"] >= 0
    assert found["second_reader_archive_up"] == 1


def test_an_archive_that_is_away_leaves_the_other_numbers(foundation: Foundation) -> None:
    folder = foundation.installation.path(foundation.installation.settings.archive.folder)
    foundation.archive.close()
    for file in folder.glob("archive.db*"):
        file.unlink()
    folder.joinpath("archive.db").mkdir()
    assert numbers(foundation) == {"second_reader_archive_up": 0}


def test_a_hundred_thousand_revisions_are_counted_without_loading_them(
    foundation: Foundation,
) -> None:
    key = stored(foundation.archive, 1)
    columns = "number_of_instances, attempt, opened_at, last_instance_at, updated_at"
    with foundation.archive.transaction() as tx:
        tx.connection.exec_driver_sql(
            "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 100001) "
            f"INSERT INTO revision (study_key, number, state, reason, rule, {columns}) "
            f"SELECT '{key.study_key}', i, 'COMPLETED', '', 'r', 1, 1, 0, 0, 0 FROM n"
        )
    tracemalloc.start()
    try:
        found = numbers(foundation)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    assert found[f'second_reader_study_revisions{{state="{RevisionState.COMPLETED}"}}'] == 1e5
