"""The service is killed at every step between reading and replying, and between reading a study
and noting that its results were sent: nothing that was acknowledged is lost, nothing is doubled.

A trial is one step, before or after it. The process that reaches it ends there; then all others
end, and the service starts again.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from tests.support.peers import orthanc
from tests.support.senders import Sender, SentObject, push
from tests.torture.faults import Hurt, hurt, wait_until
from tests.torture.house import Diary, ReceiveLog, outcome, senders
from tests.torture.manifest import diary_file, size
from tests.torture.preload import Action, Kind, Rule

SEED = 20261121
FIRES_WITHIN_S = 120.0
DIARY = Diary(diary_file("failpoints"))

pytestmark = [
    pytest.mark.external("DCMTK", "Orthanc", "gcc"),
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

OBJECTS, KEYS = "*/data/objects/*", "*/keystore/*"
COMMIT, WORKFLOW, LOG = "*/data/archive.db-wal", "*/workflows.db-wal", "*/audit/*.log"
STEPS: list[tuple[str, Kind, str, int]] = [
    ("dicom", Kind.OPEN, OBJECTS, 6),
    ("dicom", Kind.WRITE, OBJECTS, 6),
    ("dicom", Kind.SYNC, OBJECTS + ".part", 6),
    ("dicom", Kind.RENAME, OBJECTS, 6),
    ("dicom", Kind.SYNC, "*/data/objects/??", 6),
    ("dicom", Kind.OPEN, KEYS, 3),
    ("dicom", Kind.WRITE, KEYS, 3),
    ("dicom", Kind.SYNC, KEYS + ".part", 3),
    ("dicom", Kind.LINK, KEYS, 3),
    ("dicom", Kind.UNLINK, KEYS, 3),
    ("dicom", Kind.SYNC, "*/keystore/??", 3),
    ("dicom", Kind.WRITE, COMMIT, 200),
    ("dicom", Kind.SYNC, COMMIT, 20),
    ("dicom", Kind.REPLY, "socket", 6),
    ("worker", Kind.WRITE, COMMIT, 200),
    ("worker", Kind.SYNC, COMMIT, 40),
    ("worker", Kind.WRITE, WORKFLOW, 200),
    ("worker", Kind.SYNC, WORKFLOW, 40),
    ("worker", Kind.WRITE, LOG, 4),
    ("worker", Kind.SYNC, LOG, 4),
    ("worker", Kind.WRITE, "*/audit/*.hashes", 4),
    ("worker", Kind.OPEN, OBJECTS, 4),
    ("worker", Kind.WRITE, OBJECTS, 4),
    ("worker", Kind.SYNC, OBJECTS + ".part", 4),
    ("worker", Kind.RENAME, OBJECTS, 4),
    ("worker", Kind.SYNC, "*/data/objects/??", 4),
    ("worker", Kind.REQUEST, "socket", 3),
]
"""Role, call, path, and among how many such calls the one that is hit is drawn."""

POINTS = [
    (role, kind, pattern, among, action)
    for role, kind, pattern, among in STEPS
    for action in (Action.KILL_BEFORE, Action.KILL_AFTER)
] + [
    ("dicom", Kind.WRITE, OBJECTS, 6, Action.KILL_HALF),
    ("dicom", Kind.WRITE, COMMIT, 200, Action.KILL_HALF),
    ("worker", Kind.WRITE, LOG, 4, Action.KILL_HALF),
    ("worker", Kind.WRITE, COMMIT, 200, Action.KILL_HALF),
]
ROTATION = 7
"""Coprime to the number of points, so that few trials are of different kinds."""
JUDGED_EVERY = 2
"""A study whose reading was cut off more than three times is given up; none is to be."""


@dataclass
class House:
    """One service for all trials, and the archive that its results go to."""

    hurt: Hurt
    log: ReceiveLog
    folder: Path
    last: int
    acknowledged: list[SentObject] = field(default_factory=list)
    unanswered: list[SentObject] = field(default_factory=list)

    def judge(self) -> dict[str, float]:
        """Compare all that was told since the last time with what is there."""
        facts = self.hurt.judge.assert_whole(self.acknowledged, self.unanswered)
        self.log.read_on()
        assert set(self.log.received) == self.hurt.judge.results
        self.acknowledged, self.unanswered = [], []
        return facts


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("failpoints")
    with ExitStack() as stack:
        server = stack.enter_context(orthanc(folder / "orthanc"))
        made = stack.enter_context(hurt(folder, destination=server))
        yield House(made, ReceiveLog(server), folder, size("failpoints") - 1)


def point(trial: int) -> tuple[Rule, str]:
    """Return what is hit in a trial, and its name."""
    role, kind, pattern, among, action = POINTS[trial * ROTATION % len(POINTS)]
    skip = Random(SEED + trial).randrange(among)
    name = f"{role} {action.name} {kind.name} {pattern} +{skip}"
    return Rule(kind, pattern, action, role=role, skip=skip), name


@pytest.mark.parametrize("trial", range(size("failpoints")))
def test_nothing_acknowledged_is_lost_when_a_process_ends_at_a_step(
    house: House, trial: int
) -> None:
    if DIARY.has(trial):
        pytest.skip(f"done before, says {DIARY.file}")
    rule, name = point(trial)
    control, service = house.hurt.control, house.hurt.service
    pushed = senders(
        house.folder / f"{trial}", service, Random(SEED + trial), number=2, pause_s=0.2
    )

    def kill() -> None:
        control.arm(rule)
        wait_until(lambda: control.fired() > 0, f"{name} was not reached", seconds=FIRES_WITHIN_S)
        control.clear()
        service.kill()

    push(pushed, kill)
    service.start()
    _note(house, pushed)
    house.hurt.judge.assert_kept(house.acknowledged)
    facts = house.judge() if trial % JUDGED_EVERY == JUDGED_EVERY - 1 or trial == house.last else {}
    DIARY.note(trial, {"point": name, **facts})


def _note(house: House, pushed: list[Sender]) -> None:
    acknowledged, unanswered = outcome(pushed)
    house.acknowledged += acknowledged
    house.unanswered += unanswered
