"""The power goes at any moment: everything that was acknowledged before is there, whole.

A run under four senders is recorded. The recording is cut at random, half of the times right after
an answer, and the service starts on what such a disk would hold.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from random import Random

import pytest

from core.errors import ServiceError
from service.foundation import opened
from service.settings import load_settings
from tests.support.installation import running
from tests.support.senders import SentObject
from tests.torture.disk import Mercy
from tests.torture.house import Diary, judging
from tests.torture.judge import halves, losses
from tests.torture.manifest import diary_file, size
from tests.torture.preload import Action, Kind, Rule
from tests.torture.recording import Recording, recorded

CUTS_IN_ONE_RUN = 5
SEED = 20261121
DIARY = Diary(diary_file("power-loss"))

pytestmark = [pytest.mark.external("DCMTK", "gcc"), pytest.mark.slow, pytest.mark.timeout(600)]

Runs = Callable[[int], Recording]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Return what gives the recording of a number, made when it is asked for."""
    with ExitStack() as stack:

        @lru_cache(maxsize=1)
        def run(number: int) -> Recording:
            folder = tmp_path_factory.mktemp(f"run-{number}")
            random = Random(SEED + number)
            answers = random.randint(30, 60)
            return stack.enter_context(recorded(folder, random, answers=answers))

        yield run


def _moment(made: Recording, random: Random) -> int:
    if random.random() < 0.5:
        return random.choice(made.replies()) + 1
    return random.randrange(len(made.records))


@pytest.mark.parametrize("trial", range(size("power-loss")))
def test_what_was_acknowledged_before_the_power_went_is_there_whole(
    runs: Runs, tmp_path: Path, trial: int
) -> None:
    if DIARY.has(trial):
        pytest.skip(f"done before, says {DIARY.file}")
    made, random = runs(trial // CUTS_IN_ONE_RUN), Random(SEED + trial)
    moment, mercy = _moment(made, random), list(Mercy)[trial % len(Mercy)]
    told = made.told(moment)
    rest = [one for one in made.sent.values() if one not in told]
    service = made.left(tmp_path / "installation", moment, mercy=mercy, random=random)
    with running(service), judging(service) as judge:
        facts = judge.assert_whole(told, rest)
        assert halves(judge.archive, rest) == []
    DIARY.note(trial, {"mercy": mercy, "moment": moment, "of": len(made.records), **facts})


def _lost(made: Recording, folder: Path, lied_about: tuple[str, ...]) -> list[str]:
    """Return what is not found after the run, without the service, if these syncs are lies."""
    end = len(made.records)
    service = made.left(
        folder, end, mercy=Mercy.NOTHING, random=Random(SEED), lied_about=lied_about
    )
    told = made.told(end)
    assert told
    return _losses_or_error(service.config, told)


def _losses_or_error(config: Path, told: list[SentObject]) -> list[str]:
    try:
        with opened(load_settings(config), "test") as foundation:
            return losses(foundation.archive, told)
    except ServiceError as error:
        return [str(error)]


def test_a_disk_that_keeps_nothing_but_what_was_synced_keeps_all_that_was_acknowledged(
    runs: Runs, tmp_path: Path
) -> None:
    assert _lost(runs(0), tmp_path / "left", ()) == []


@pytest.mark.parametrize(
    "sync",
    [
        "*/data/objects/*.part",
        "*/data/objects/??",
        "*/data/archive.db-wal",
        "*/keystore/*.part",
        "*/keystore/??",
    ],
)
def test_the_loss_is_seen_if_one_kind_of_sync_does_nothing(
    runs: Runs, tmp_path: Path, sync: str
) -> None:
    """The suite can fail."""
    assert _lost(runs(0), tmp_path / "left", (sync,))


def test_the_loss_is_seen_if_a_running_service_is_lied_to(tmp_path: Path) -> None:
    lie = Rule(Kind.SYNC, "*/data/objects/*.part", Action.LIE, times=0)
    with recorded(tmp_path / "run", Random(SEED), answers=5, rules=[lie]) as made:
        assert _lost(made, tmp_path / "left", ())
