"""The service is told to end while senders push, and its database goes a schema back and forth."""

import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

import archive
from archive.schema import HEAD
from service.wiring import EXIT_CONFIGURATION
from tests.support.installation import Service, running
from tests.support.senders import SentObject, push
from tests.torture.house import (
    Diary,
    judging,
    outcome,
    send_again,
    senders,
    small_house,
    wait_for_answers,
)
from tests.torture.judge import Judge
from tests.torture.manifest import diary_file, size

SEED = 20261121
DRAINED_WITHIN_S = 30.0 + 15.0
"""After 30 s the supervisor ends what is left; the rest is for a machine that does much else."""
DIARY = Diary(diary_file("drain"))
MIGRATIONS = Path(archive.__path__[0]) / "migrations"

pytestmark = [pytest.mark.external("DCMTK"), pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    service = small_house(tmp_path_factory.mktemp("drain"))
    with running(service), judging(service) as made:
        yield made


def _push(judge: Judge, folder: Path, seed: int, seconds: float) -> float:
    """Stop while senders push; return after how many seconds all had ended."""
    service, ended = judge.service, 0.0
    pushed = senders(folder, service, Random(seed))

    def stop() -> None:
        nonlocal ended
        time.sleep(seconds)
        started = time.monotonic()
        service.stop()
        ended = time.monotonic() - started

    push(pushed, stop)
    service.start()
    acknowledged, unanswered = outcome(pushed)
    judge.assert_kept(acknowledged)
    send_again(service, pushed)
    judge.assert_whole(acknowledged + unanswered)
    return round(ended, 2)


@pytest.mark.parametrize("trial", range(size("drain")))
def test_what_was_begun_is_finished_or_handed_back_when_the_service_is_told_to_end(
    judge: Judge, tmp_path: Path, trial: int
) -> None:
    if DIARY.has(trial):
        pytest.skip(f"done before, says {DIARY.file}")
    seconds = Random(SEED + trial).uniform(1.0, 4.0)
    ended_s = _push(judge, tmp_path, SEED + trial, seconds)
    assert ended_s < DRAINED_WITHIN_S
    DIARY.note(trial, {"ended_s": ended_s})


def _revisions() -> list[str]:
    """Return the schemas before this one, the newest first."""
    scripts = ScriptDirectory(str(MIGRATIONS))
    return [one.revision for one in scripts.walk_revisions() if one.revision != HEAD]


def _downgrade(service: Service, revision: str) -> None:
    engine = create_engine(f"sqlite:///{service.folder / 'data' / 'archive.db'}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
    engine.dispose()


def _stored(folder: Path, service: Service) -> list[SentObject]:
    pushed = senders(folder / "sent", service, Random(SEED), number=1)
    push(pushed, lambda: wait_for_answers(pushed, 3))
    acknowledged, _ = outcome(pushed)
    assert acknowledged
    return acknowledged


def test_an_older_schema_is_brought_to_this_one_at_start_with_all_that_it_holds(
    tmp_path: Path,
) -> None:
    service = small_house(tmp_path)
    with running(service), judging(service) as judge:
        sent = _stored(tmp_path, service)
        judge.assert_whole(sent)
    for revision in _revisions():
        _downgrade(service, revision)
        with running(service), judging(service) as judge:
            judge.assert_whole(sent)
            assert _version(service) == HEAD


def test_a_schema_of_a_newer_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    service = small_house(tmp_path)
    engine = create_engine(f"sqlite:///{service.folder / 'data' / 'archive.db'}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    service.launch()
    assert service.process is not None
    assert service.process.wait(60) != 0
    assert f"ended with {EXIT_CONFIGURATION}" in service.tail() or "9999" in service.tail()
    assert "newer" in service.tail()


def _version(service: Service) -> str:
    engine = create_engine(f"sqlite:///{service.folder / 'data' / 'archive.db'}")
    with engine.connect() as connection:
        found = str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar())
    engine.dispose()
    return found
