"""The engine: steps in order, tried again while something is unavailable, defects told blindly."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from core.clock import utc_now
from core.errors import InputError, ServiceError, UnavailableError
from core.model import RevisionKey, StudyKey
from service.engine import Engine
from service.settings import PipelineSettings

REVISION = RevisionKey(StudyKey("study"), 1)
STEPS = ["deidentify", "infer", "encode", "check", "enqueue_deliveries"]


class Recorder:
    """All that the engine calls: it writes down what was asked, and fails as it is told."""

    def __init__(self, failures: dict[str, list[Exception]] | None = None) -> None:
        self.calls: list[str] = []
        self.given_up: list[str] = []
        self.done = threading.Event()
        self._failures = failures or {}

    def _step(self, name: str) -> None:
        self.calls.append(name)
        if self._failures.get(name):
            raise self._failures[name].pop(0)
        if name == STEPS[-1]:
            self.done.set()

    def deidentify(self, revision: RevisionKey) -> None:
        self._step("deidentify")

    def infer(self, revision: RevisionKey) -> None:
        self._step("infer")

    def encode(self, revision: RevisionKey) -> None:
        self._step("encode")

    def check(self, revision: RevisionKey) -> None:
        self._step("check")

    def enqueue_deliveries(self, revision: RevisionKey) -> None:
        self._step("enqueue_deliveries")

    def give_up(self, revision: RevisionKey, error: ServiceError) -> None:
        self.given_up.append(str(error))
        self.done.set()

    def attempt(self, revision: RevisionKey, destination: str) -> datetime | None:
        self.calls.append(destination)
        if len(self.calls) == 3:
            self.done.set()
            return None
        return utc_now()


@contextmanager
def running(recorder: Recorder, folder: Path, **settings: float) -> Iterator[Engine]:
    engine = Engine(
        PipelineSettings.model_validate(settings),
        database=folder / "workflows.db",
        steps=recorder,
        failures=recorder,
        deliverer=recorder,
    )
    engine.launch()
    try:
        yield engine
    finally:
        engine.stop(grace_s=1)


def processed(recorder: Recorder, folder: Path, **settings: float) -> Recorder:
    with running(recorder, folder, **settings) as engine:
        engine.submit(REVISION)
        assert recorder.done.wait(30)
    return recorder


def test_the_five_steps_run_in_their_order(tmp_path: Path) -> None:
    assert processed(Recorder(), tmp_path).calls == STEPS


def test_a_step_is_tried_again_while_something_is_unavailable(tmp_path: Path) -> None:
    recorder = processed(Recorder({"infer": [UnavailableError("the reader is away")]}), tmp_path)
    assert recorder.calls == ["deidentify", "infer", *STEPS[1:]]


def test_a_step_that_stays_unavailable_gives_the_study_up(tmp_path: Path) -> None:
    away: list[Exception] = [UnavailableError("the reader is away")] * 2
    recorder = processed(Recorder({"infer": away}), tmp_path, attempts=2)
    assert recorder.given_up == ["the reader is away"]


def test_wrong_input_is_not_tried_again(tmp_path: Path) -> None:
    recorder = processed(Recorder({"encode": [InputError("no patient")]}), tmp_path)
    assert recorder.calls == STEPS[:3]
    assert recorder.given_up == ["no patient"]


def test_a_defect_is_told_by_its_place_and_never_by_its_text(tmp_path: Path) -> None:
    recorder = processed(Recorder({"check": [KeyError("Example^Ada")]}), tmp_path)
    assert "KeyError" in recorder.given_up[0]
    database = sqlite3.connect(tmp_path / "workflows.db")
    rows = repr(database.execute("SELECT * FROM operation_outputs").fetchall())
    database.close()
    assert "Ada" not in recorder.given_up[0] + rows


def test_a_step_that_hangs_ends_at_its_limit(tmp_path: Path) -> None:
    release = threading.Event()

    class Hanging(Recorder):
        def infer(self, revision: RevisionKey) -> None:
            release.wait(30)

    recorder = processed(Hanging(), tmp_path, step_limit_s=0.2, attempts=1)
    release.set()
    assert "did not end within" in recorder.given_up[0]


def test_a_study_that_is_submitted_twice_runs_once(tmp_path: Path) -> None:
    recorder = Recorder()
    with running(recorder, tmp_path) as engine:
        engine.submit(REVISION)
        engine.submit(REVISION)
        assert recorder.done.wait(30)
    with running(recorder, tmp_path) as engine:
        engine.submit(REVISION)
    assert recorder.calls == STEPS


def test_the_next_attempt_of_a_delivery_is_enqueued(tmp_path: Path) -> None:
    recorder = Recorder()
    with running(recorder, tmp_path) as engine:
        engine.submit_delivery(REVISION, "pacs", due=utc_now(), now=utc_now())
        assert recorder.done.wait(30)
    assert recorder.calls == ["pacs", "pacs", "pacs"]
