"""The sweep: nothing is stuck for ever, and no broken study holds up the others."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import FileDataset

from core.clock import utc_now
from core.errors import CorruptionError, ServiceError, UnavailableError
from core.model import RevisionKey
from core.states import DeliveryState, RevisionState
from service.completeness import OpenAssociations
from service.engine import Engine
from service.settings import PipelineSettings
from service.sweep import Sweep
from service.transfers import Transfers
from tests.support.house import House, house, image_with_cells
from tests.support.peers import free_port


@dataclass
class Faults:
    """What goes wrong, and how often still."""

    of_begin: list[Exception] = field(default_factory=list)
    of_attempt: list[Exception] = field(default_factory=list)


@dataclass
class Ward:
    """An installation with its engine and its sweep; time passes as the test says."""

    home: House
    engine: Engine
    faults: Faults
    sweep: Sweep = field(init=False)
    ahead: timedelta = timedelta()

    def __post_init__(self) -> None:
        foundation = self.home.foundation
        self.sweep = Sweep(
            archive=foundation.archive,
            engine=self.engine,
            completeness=self.home.completeness(),
            associations=OpenAssociations(foundation.archive, 30.0),
            transfers=Transfers(foundation.archive, foundation.trail, self.clock),
            failures=self.home.conclude,
            deliveries=self.home.delivery,
            stat_peers=frozenset(),
            clock=self.clock,
        )

    def clock(self) -> datetime:
        return utc_now() + self.ahead

    def state(self, revision: RevisionKey) -> RevisionState:
        archive = self.home.foundation.archive
        with archive.snapshot() as tx:
            return archive.revisions.get(tx, revision).state

    def deliveries(self, revision: RevisionKey) -> set[DeliveryState]:
        archive = self.home.foundation.archive
        with archive.snapshot() as tx:
            found = archive.deliveries.of_study(tx, revision.study_key)
        return {record.state for record in found}

    def sweep_until(self, is_reached: Callable[[], bool]) -> None:
        """Sweep again and again, a minute passing each time."""
        for _ in range(60):
            self.sweep.run_once()
            if is_reached():
                return
            self.ahead += timedelta(minutes=1)
            time.sleep(0.2)
        pytest.fail("it is stuck")

    def lose_key(self, dataset: FileDataset) -> None:
        """Lose the key of one study, as a restore without the keystore does."""
        archive = self.home.foundation.archive
        key = archive.index.study_key(str(dataset.StudyInstanceUID))
        folder = self.home.foundation.installation.path(
            self.home.tools.settings.archive.keystore_folder
        )
        (folder / key[:2] / f"{key}.key").unlink()


class _Steps:
    """The real steps, with faults at the door."""

    def __init__(self, home: House, faults: Faults) -> None:
        self._home, self._faults = home, faults
        self.infer = home.infer.infer
        self.encode = home.encode.encode
        self.check = home.check.check
        self.enqueue_deliveries = home.conclude.enqueue_deliveries

    def deidentify(self, revision: RevisionKey) -> None:
        if self._faults.of_begin:
            raise self._faults.of_begin.pop(0)
        self._home.release.deidentify(revision)


class _Deliverer:
    def __init__(self, home: House, faults: Faults) -> None:
        self._home, self._faults = home, faults

    def attempt(self, revision: RevisionKey, destination: str) -> datetime | None:
        if self._faults.of_attempt:
            raise self._faults.of_attempt.pop(0)
        return self._home.delivery.attempt(revision, destination)


@contextmanager
def ward(folder: Path, **options: Any) -> Iterator[Ward]:
    with house(folder, **options) as home, running(home, Faults(), folder) as opened:
        yield opened


@contextmanager
def running(home: House, faults: Faults, folder: Path) -> Iterator[Ward]:
    engine = Engine(
        PipelineSettings(attempts=1),
        database=folder / "workflows.db",
        steps=_Steps(home, faults),
        failures=home.conclude,
        deliverer=_Deliverer(home, faults),
    )
    engine.launch()
    try:
        yield Ward(home, engine, faults)
    finally:
        engine.stop(grace_s=5)


def test_a_study_whose_work_could_not_even_begin_is_taken_up_again(tmp_path: Path) -> None:
    with ward(tmp_path) as opened:
        opened.faults.of_begin.append(UnavailableError("the disk is full"))
        revision = opened.home.take(image_with_cells((1, 1)))
        opened.sweep_until(lambda: opened.state(revision) is RevisionState.COMPLETED)


def test_a_study_in_progress_whose_workflow_was_lost_is_taken_up_again(tmp_path: Path) -> None:
    with house(tmp_path) as home:
        revision = home.take(image_with_cells((1, 1)))
        home.release.deidentify(revision)  # then the disk with the workflows died
        with running(home, Faults(), tmp_path) as opened:
            opened.sweep_until(lambda: opened.state(revision) is RevisionState.COMPLETED)


@pytest.mark.parametrize(
    "fault", [UnavailableError("the disk is full"), CorruptionError("a row is damaged")]
)
def test_a_delivery_whose_attempt_broke_off_is_attempted_again(
    tmp_path: Path, fault: ServiceError
) -> None:
    pacs = {"name": "pacs", "host": "127.0.0.1", "port": free_port(), "called_ae_title": "PACS"}
    sections = {"delivery": {"destinations": [pacs], "attempts": 2}}
    with ward(tmp_path, sections=sections) as opened:
        opened.faults.of_attempt += [fault]
        revision = opened.home.take(image_with_cells((1, 1)))
        # Nobody listens: the attempt after the one that broke off is the last.
        opened.sweep_until(lambda: opened.deliveries(revision) == {DeliveryState.FAILED})
        assert not opened.faults.of_attempt


@pytest.mark.parametrize("stage", ["open", "closed", "in progress"])
def test_a_study_whose_key_is_lost_holds_up_no_other(tmp_path: Path, stage: str) -> None:
    with ward(tmp_path) as opened:
        broken, sound = image_with_cells((1, 1)), image_with_cells((2, 2))
        revision = opened.home.receive(broken)
        if stage != "open":
            opened.home.close(broken)
        if stage == "in progress":
            opened.home.release.deidentify(revision)
        other = opened.home.receive(sound)
        opened.lose_key(broken)
        opened.sweep_until(lambda: opened.state(other) is RevisionState.COMPLETED)
        opened.sweep_until(lambda: opened.state(revision) is RevisionState.FAILED)
