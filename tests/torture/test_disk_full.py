"""No space is left, for each folder that we write to: senders are told to come back, nothing that
was acknowledged is lost, and the service goes on by itself when there is space again.
"""

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.installation import Service
from tests.support.senders import SentObject, push, send
from tests.torture.faults import (
    RECOVERED_WITHIN_S,
    Hurt,
    hurt,
    readiness,
    rest_status,
    statuses,
    wait_until,
)
from tests.torture.house import (
    Diary,
    judging,
    outcome,
    senders,
    small_house,
    studies,
    wait_for_answers,
)
from tests.torture.manifest import diary_file, size
from tests.torture.preload import GROWING, Action, Rule

SEED = 20261121
DIARY = Diary(diary_file("disk-full"))
DISK_MIB = 32
FULL = ("Refused: OutOfResources", "Refused")

pytestmark = [pytest.mark.external("DCMTK", "gcc"), pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Place:
    """A folder or file that may be on a disk of its own."""

    pattern: str
    section: str
    key: str
    refuses_stores: bool = True
    """Records wait in the database until the log takes them."""


PLACES = {
    "archive": Place("*/data/objects/*", "archive", "folder"),
    "database": Place("*/data/archive.db*", "archive", "database_url"),
    "keystore": Place("*/keystore/*", "archive", "keystore_folder"),
    "audit": Place("*/audit/*", "audit", "folder", refuses_stores=False),
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hurt]:
    with hurt(tmp_path_factory.mktemp("full")) as made:
        yield made


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("trial", range(size("disk-full")))
def test_a_full_disk_is_told_and_survived(
    house: Hurt, tmp_path: Path, place: str, trial: int
) -> None:
    number = trial * len(PLACES) + list(PLACES).index(place)
    if DIARY.has(number):
        pytest.skip(f"done before, says {DIARY.file}")
    error = (errno.ENOSPC, errno.EDQUOT)[trial % 2]
    rule = Rule(GROWING, PLACES[place].pattern, Action.FAIL, error=error, times=0)
    facts = _full(
        house.service,
        tmp_path,
        PLACES[place],
        (lambda: house.control.arm(rule), house.control.clear),
    )
    house.judge.assert_whole(*facts[:2])
    DIARY.note(number, {"place": place, "recovered_s": facts[2]})


def _full(
    service: Service,
    folder: Path,
    place: Place,
    disk: tuple[Callable[[], None], Callable[[], None]],
) -> tuple[list[SentObject], list[SentObject], float]:
    """Fill the disk while senders push, send more, empty it, and send again.

    Returns what was acknowledged, what was not, and after how many seconds it went on.
    """
    fill, empty = disk
    pushed = senders(folder / "pushed", service, Random(SEED), number=2, pause_s=0.2)

    def until() -> None:
        wait_for_answers(pushed, 3)
        fill()
        time.sleep(1.0)

    push(pushed, until)
    (late,) = studies(folder / "late", Random(SEED), number=1)
    answers = statuses(service, late)
    if place.refuses_stores:
        assert all(answer.startswith(FULL) for answer in answers), answers
    if place.key == "database_url":
        assert rest_status(service, "/v1/studies") in {503, 507}
    empty()
    recovered_s = wait_until(
        lambda: len(send(service.dicom_port, late)) == len(late),
        f"nothing was taken again\n{service.tail()}",
        seconds=RECOVERED_WITHIN_S,
    )
    acknowledged, unanswered = outcome(pushed)
    return acknowledged + late, unanswered, recovered_s


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts; the library did the same above")
@pytest.mark.parametrize("place", list(PLACES)[: 1 if size("disk-full") == 1 else None])
def test_a_real_disk_that_is_full_is_told_and_survived(tmp_path: Path, place: str) -> None:
    mounted = tmp_path / "mounted"
    with _small_disk(mounted):
        service = small_house(tmp_path, sections=_sections(PLACES[place], mounted))
        try:
            service.launch()
            _wait_until_only_the_disk_is_small(service)
            ballast = mounted / "ballast"
            with judging(service) as judge:
                facts = _full(
                    service, tmp_path, PLACES[place], (lambda: _fill(ballast), ballast.unlink)
                )
                assert "MiB are free" in readiness(service).get("disk", "")
                judge.assert_whole(*facts[:2])
        finally:
            service.stop()


def _sections(place: Place, mounted: Path) -> dict[str, dict[str, Any]]:
    value = str(mounted / "own")
    if place.key == "database_url":
        value = f"sqlite:///{mounted / 'archive.db'}"
    return {place.section: {place.key: value}}


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here ({done.stderr.strip()})")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(ballast: Path) -> None:
    """Take all the space there is."""
    size = 1 << 20
    with ballast.open("wb", buffering=0) as file:
        while size >= 512:
            try:
                file.write(bytes(size))
            except OSError:  # now in smaller pieces
                size //= 2
    assert shutil.disk_usage(ballast.parent).free < 4096


def _wait_until_only_the_disk_is_small(service: Service) -> None:
    """Less than 1 GiB is never ready."""

    def is_so() -> bool:
        try:
            return set(readiness(service)) <= {"disk"}
        except (OSError, KeyError):
            return False

    wait_until(is_so, f"not ready\n{service.tail()}", seconds=180)
