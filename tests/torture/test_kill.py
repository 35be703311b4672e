"""The whole service is killed while four senders push: nothing that was acknowledged is lost."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from service.supervisor import ROLES
from tests.support.installation import Service, running
from tests.support.peers import orthanc
from tests.support.senders import Sender, SentObject, push
from tests.torture.house import (
    Diary,
    ReceiveLog,
    judging,
    outcome,
    send_again,
    senders,
    small_house,
)
from tests.torture.judge import Judge
from tests.torture.manifest import diary_file, size

LONGEST_PUSH_S = 6.0
LONGEST_RECOVERY_S = 4.0
"""Every third trial kills again, while what was left of the first time is taken up."""


SEED = 20261121
DIARY = Diary(diary_file("kill"))

pytestmark = [
    pytest.mark.external("DCMTK", "Orthanc"),
    pytest.mark.slow,
    pytest.mark.timeout(600),
]


@dataclass
class House:
    """One installation and one archive that results go to, for all trials."""

    judge: Judge
    log: ReceiveLog
    folder: Path
    sent: list[SentObject] = field(default_factory=list)
    """All that was acknowledged, over all trials."""

    @property
    def service(self) -> Service:
        """What is killed."""
        return self.judge.service

    def restart(self) -> float:
        """Return after how many seconds the service was ready again."""
        started = time.monotonic()
        self.service.start()
        return round(time.monotonic() - started, 2)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("kill")
    with ExitStack() as stack:
        server = stack.enter_context(orthanc(folder / "orthanc"))
        service = small_house(folder, destination=server, sections={"dicom_node": {"processes": 2}})
        stack.enter_context(running(service))
        yield House(stack.enter_context(judging(service)), ReceiveLog(server), folder)


@pytest.mark.parametrize("trial", range(size("kill")))
def test_nothing_acknowledged_is_lost_and_every_study_ends_once(house: House, trial: int) -> None:
    if DIARY.has(trial):
        pytest.skip(f"done before, says {DIARY.file}")
    random = Random(SEED + trial)
    after_s = random.uniform(0.1, LONGEST_PUSH_S)
    pushed = senders(house.folder / f"trial-{trial}", house.service, random)

    def kill() -> None:
        time.sleep(after_s)
        house.service.kill()

    push(pushed, kill)
    restarted_s = house.restart()
    if trial % 3 == 2:
        time.sleep(random.uniform(0.0, LONGEST_RECOVERY_S))
        house.service.kill()
        restarted_s = max(restarted_s, house.restart())
    facts = _assert_whole(house, pushed, send_the_rest=trial % 2 == 1)
    if (trial + 1) % 10 == 0:
        house.judge.assert_kept(house.sent)
    DIARY.note(trial, {"killed_after_s": round(after_s, 2), "restarted_s": restarted_s, **facts})


def test_nothing_is_lost_when_one_role_after_the_other_is_killed(house: House) -> None:
    random = Random(SEED)
    pushed = senders(house.folder / "roles", house.service, random)

    def kill() -> None:
        for role in ("receiver", *random.sample(ROLES, k=len(ROLES))):
            time.sleep(random.uniform(0.5, 2.5))
            house.service.role(role).kill()

    push(pushed, kill)
    house.service.wait_until_ready()
    _assert_whole(house, pushed, send_the_rest=True)
    house.judge.assert_kept(house.sent)


def _assert_whole(house: House, pushed: list[Sender], *, send_the_rest: bool) -> dict[str, float]:
    """Compare what the senders were told with what is kept, read, recorded and delivered."""
    acknowledged, unanswered = outcome(pushed)
    house.judge.assert_kept(acknowledged)
    if send_the_rest:
        send_again(house.service, pushed)
        acknowledged += unanswered
    house.sent += acknowledged
    facts = house.judge.assert_whole(acknowledged, unanswered)
    house.log.read_on()
    assert set(house.log.received) == house.judge.results
    return {**facts, "received_again": house.log.received.total() - len(house.judge.results)}
