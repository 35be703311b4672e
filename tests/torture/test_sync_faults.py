"""The k-th sync of a role fails: nobody hears of success that would not last, no sync is asked for
twice, and the service goes on by itself.
"""

import errno
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from service.foundation import opened
from service.settings import load_settings
from tests.support.senders import SentObject, push, send
from tests.torture.disk import Mercy
from tests.torture.faults import RECOVERED_WITHIN_S, Hurt, hurt, statuses, wait_until
from tests.torture.house import Diary, outcome, senders, studies
from tests.torture.judge import losses
from tests.torture.manifest import SUITES, diary_file, size
from tests.torture.preload import Action, Kind, Rule
from tests.torture.trace import TraceReader, acknowledged, retried_syncs

SEED = 20261121
FIRES_WITHIN_S = 120.0
ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS)
DIARY = Diary(diary_file("sync-faults"))
LARGEST = SUITES["sync-faults"].long - 1

pytestmark = [pytest.mark.external("DCMTK", "gcc"), pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass
class House:
    """One service for all trials, and its disk as a power cut would leave it."""

    hurt: Hurt
    trace: TraceReader
    folder: Path
    sent: dict[str, SentObject] = field(default_factory=dict)
    told: dict[str, SentObject] = field(default_factory=dict)
    """What any sender was told is stored."""

    def losses(self, name: str) -> list[str]:
        """Return what would be lost of what was told, if the power went now."""
        records = self.trace.read_on()
        assert not retried_syncs(records)
        self.hurt.before.replay(records)
        self.told |= {uid: self.sent[uid] for r in records if (uid := acknowledged(r)) is not None}
        left = self.folder / f"left-{name}"
        self.hurt.before.cut(left, mercy=Mercy.NOTHING, random=Random(SEED))
        with opened(load_settings(left / "config.yaml"), "test") as foundation:
            return losses(foundation.archive, self.told.values())


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("sync")
    with hurt(folder, traced=True) as made:
        assert made.below.trace is not None
        yield House(made, TraceReader(made.below.trace), folder)


def _push_until_fired(house: House, name: str, rules: list[Rule]) -> None:
    control = house.hurt.control
    pushed = senders(house.folder / name, house.hurt.service, Random(name), number=2, pause_s=0.2)

    def hit() -> None:
        control.arm(*rules)
        wait_until(lambda: control.fired() >= len(rules), name, seconds=FIRES_WITHIN_S)
        time.sleep(0.3)

    push(pushed, hit)
    control.clear()
    told, unanswered = outcome(pushed)
    house.sent |= {one.sop_instance_uid: one for one in [*told, *unanswered]}


def _wait_until_taken(house: House, name: str) -> float:
    """Return after how many seconds an object was stored again."""
    (probe,) = studies(house.folder / f"{name}-probe", Random(name), number=1)
    house.sent |= {one.sop_instance_uid: one for one in probe}
    return wait_until(
        lambda: len(send(house.hurt.service.dicom_port, probe)) == len(probe),
        f"nothing was taken after {name}\n{house.hurt.service.tail()}",
        seconds=RECOVERED_WITHIN_S,
    )


@pytest.mark.parametrize("trial", range(size("sync-faults")))
def test_nothing_is_acknowledged_that_a_failed_sync_lost(house: House, trial: int) -> None:
    if DIARY.has(trial):
        pytest.skip(f"done before, says {DIARY.file}")
    k = trial * LARGEST // max(1, size("sync-faults") - 1)
    error = ERRORS[trial % len(ERRORS)]
    _push_until_fired(
        house,
        f"k-{k}",
        [
            Rule(Kind.SYNC, "*", Action.FAIL, error=error, role=role, skip=k)
            for role in ("dicom", "worker")
        ],
    )
    recovered_s = _wait_until_taken(house, f"k-{k}")
    assert house.losses(str(k)) == []
    DIARY.note(trial, {"k": k, "error": errno.errorcode[error], "recovered_s": recovered_s})


def test_every_store_is_refused_while_no_sync_succeeds(house: House) -> None:
    house.hurt.control.arm(Rule(Kind.SYNC, "*", Action.FAIL, role="dicom", times=0))
    (objects,) = studies(house.folder / "never", Random(SEED), number=1)
    house.sent |= {one.sop_instance_uid: one for one in objects}
    answers = statuses(house.hurt.service, objects)
    house.hurt.control.clear()
    assert {answer.partition(":")[0] for answer in answers} <= {"Refused"}
    _wait_until_taken(house, "never")
    assert house.losses("never") == []


def test_every_study_ends_and_the_log_verifies_after_all_that(house: House) -> None:
    house.losses("end")
    house.hurt.judge.assert_whole(list(house.told.values()))
