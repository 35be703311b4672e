"""Everything that is kept has its audit record, and one that was taken away is missed by name."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from audit.verify import Report
from service.cli.audit_desk import record_of, verified
from service.cli.desk import sequence
from tests.service.test_delivery import Destination, listening
from tests.support.house import House, house, image_with_cells
from tests.support.peers import free_port


@dataclass(frozen=True)
class Scene:
    """A study that was received, processed and delivered; its records wait in the outbox."""

    home: House
    folder: Path

    def report(self) -> Report:
        return verified(self.home.foundation, [])

    def kept(self) -> dict[str, list[str]]:
        archive = self.home.foundation.archive
        names: dict[str, list[str]] = {}
        with archive.snapshot() as tx:
            for row in archive.upkeep.kept(tx):
                names.setdefault(row.what, []).append(row.name)
        return names

    def sql(self, statement: str, *values: str) -> int:
        with closing(sqlite3.connect(self.folder / "data" / "archive.db")) as database:
            changed = database.execute(statement, values).rowcount
            database.commit()
        return changed

    def take_away(self, what: str) -> str:
        """Delete the record of the first thing of a kind from the outbox; return its name."""
        trail, archive = self.home.foundation.trail, self.home.foundation.archive
        with archive.snapshot() as tx:
            row = next(row for row in archive.upkeep.kept(tx) if row.what == what)
        assert self.sql("DELETE FROM outbox WHERE event_id = ?", record_of(trail, row)) == 1
        return row.name


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    port = free_port()
    pacs = {"name": "pacs", "host": "127.0.0.1", "port": port, "called_ae_title": "PACS"}
    with house(tmp_path, destinations=[pacs]) as home:
        revision = home.take(*(image_with_cells((1, 1), InstanceNumber=n) for n in (1, 2)))
        home.process(revision)
        with listening(Destination(), port):
            assert home.delivery.attempt(revision, "pacs") is None
        sequence(home.foundation)
        yield Scene(home, tmp_path)


def test_a_study_from_its_arrival_to_its_delivery_is_fully_recorded(scene: Scene) -> None:
    kept = scene.kept()
    assert {what: len(names) for what, names in kept.items()} == {
        "instance": 2,
        "result": 2,
        "delivery": 1,
    }
    report = scene.report()
    assert report.is_ok, report


def test_it_is_so_too_while_the_records_wait_and_after_a_second_run(scene: Scene) -> None:
    home = scene.home
    again = home.take(image_with_cells((5, 5), StudyInstanceUID="2.25.77"))
    home.process(again)
    home.encode.encode(again)
    assert scene.report().is_ok
    sequence(home.foundation)
    assert scene.report().is_ok


@pytest.mark.parametrize("what", ["instance", "result", "delivery"])
def test_what_was_taken_from_the_outbox_before_the_log_had_it_is_named(
    tmp_path: Path, what: str
) -> None:
    port = free_port()
    pacs = {"name": "pacs", "host": "127.0.0.1", "port": port, "called_ae_title": "PACS"}
    with house(tmp_path, destinations=[pacs]) as home:
        image = image_with_cells((1, 1), PatientID="SECRET-ID")
        revision = home.take(image)
        home.process(revision)
        with listening(Destination(), port):
            home.delivery.attempt(revision, "pacs")
        scene = Scene(home, tmp_path)
        name = scene.take_away(what)
        before = scene.report()
        sequence(home.foundation)
        after = scene.report()
    for report in (before, after):
        faults = [fault for step in report.steps for fault in step.faults if step.number == 8]
        assert faults == [f"{what} {name} has no record"]
        assert "SECRET-ID" not in str(report)
        assert str(image.SOPInstanceUID) not in str(report)


def test_a_study_whose_rows_are_gone_owes_no_record(scene: Scene) -> None:
    """As when it is forgotten: then the log is all that is left of it."""
    for table in ("delivery", "released", "result_object", "instance"):
        scene.sql(f"DELETE FROM {table}")
    assert scene.report().is_ok


def test_a_new_beginning_that_no_operator_decided_excuses_nothing(tmp_path: Path) -> None:
    """Whoever can write to the database cannot make up the record of a decision."""
    with house(tmp_path) as home:
        home.take(*(image_with_cells((1, 1), InstanceNumber=n) for n in (1, 2)))
        scene, archive = Scene(home, tmp_path), home.foundation.archive
        lost = scene.take_away("instance")
        sequence(home.foundation)
        with archive.snapshot() as tx:
            any_record = archive.outbox.last_appended(tx)
        with archive.transaction() as tx:
            archive.outbox.begin_anew(tx, any_record, at=datetime(9999, 1, 1, tzinfo=UTC))
        sequence(home.foundation)
        faults = [fault for step in scene.report().steps for fault in step.faults]
    assert f"instance {lost} has no record" in faults
