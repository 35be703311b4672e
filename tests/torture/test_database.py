"""The database is locked, gone, or stopped: stores are refused, none that was acknowledged is lost,
and the service goes on within seconds.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.support.installation import running
from tests.support.senders import push, send
from tests.torture.faults import RECOVERED_WITHIN_S, statuses, wait_until
from tests.torture.house import (
    Diary,
    judging,
    outcome,
    senders,
    small_house,
    studies,
    wait_for_answers,
)
from tests.torture.judge import Judge
from tests.torture.manifest import diary_file, size
from tests.torture.postgres import Postgres, postgres

SEED = 20261121
DIARY = Diary(diary_file("database"))
TRIALS = size("database")
LOCKED_S = 30.0 if TRIALS > 1 else 4.0
SECTIONS = {"archive": {"busy_timeout_s": 1.0}}
HOLD = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
database.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    service = small_house(tmp_path_factory.mktemp("database"), sections=SECTIONS)
    with running(service), judging(service) as made:
        yield made


def _hurt(
    judge: Judge, folder: Path, hurt: Callable[[], None], mend: Callable[[], None]
) -> tuple[list[str], float]:
    """Hurt the database while senders push, send more, mend it, and send again.

    Returns what was answered in between, and after how many seconds stores were taken again.
    """
    service = judge.service
    pushed = senders(folder / "pushed", service, Random(SEED), number=2, pause_s=0.2)

    def until() -> None:
        wait_for_answers(pushed, 3)
        hurt()
        time.sleep(1.0)

    push(pushed, until)
    (late,) = studies(folder / "late", Random(SEED), number=1)
    answers = statuses(service, late)
    mend()
    recovered_s = wait_until(
        lambda: len(send(service.dicom_port, late)) == len(late),
        f"nothing was taken again\n{service.tail()}",
        seconds=RECOVERED_WITHIN_S,
    )
    acknowledged, unanswered = outcome(pushed)
    judge.assert_whole(acknowledged + late, unanswered)
    return answers, recovered_s


@contextmanager
def _lock(judge: Judge) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(judge.service.folder / "data" / "archive.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    try:
        yield
    finally:
        process.communicate()


@pytest.mark.external("DCMTK")
@pytest.mark.parametrize("trial", range(TRIALS))
def test_stores_are_refused_while_another_process_holds_the_database(
    judge: Judge, tmp_path: Path, trial: int
) -> None:
    if DIARY.has(trial):
        pytest.skip(f"done before, says {DIARY.file}")
    lock = _lock(judge)

    def let_go() -> None:
        time.sleep(LOCKED_S)
        lock.__exit__(None, None, None)

    answers, recovered_s = _hurt(judge, tmp_path, lock.__enter__, let_go)
    assert all(answer.startswith("Refused") for answer in answers), answers
    DIARY.note(trial, {"locked_s": LOCKED_S, "recovered_s": recovered_s})


@pytest.mark.external("DCMTK")
def test_nothing_is_lost_while_the_database_file_is_away(judge: Judge, tmp_path: Path) -> None:
    data, away = judge.service.folder / "data", tmp_path / "away"
    away.mkdir()
    named = ("archive.db", "archive.db-wal", "archive.db-shm")

    def move() -> None:
        for name in named:
            (data / name).rename(away / name)

    def move_back() -> None:
        for name in named:
            (data / name).unlink(missing_ok=True)
            (away / name).rename(data / name)

    answers, _ = _hurt(judge, tmp_path, move, move_back)
    assert all(answer.startswith("Refused") for answer in answers), answers


@pytest.fixture
def server() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="second-reader-"))
    folder.chmod(0o755)
    with postgres(folder / "postgres") as made:
        yield made


@pytest.mark.external("DCMTK", "PostgreSQL")
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_nothing_is_lost_while_postgresql_is_stopped(
    server: Postgres, tmp_path: Path, mode: str
) -> None:
    service = small_house(tmp_path, sections={"archive": {"database_url": server.url}})
    with running(service), judging(service) as judge:
        answers, _ = _hurt(judge, tmp_path, lambda: server.stop(mode), server.start)
    assert all(answer.startswith("Refused") for answer in answers), answers
