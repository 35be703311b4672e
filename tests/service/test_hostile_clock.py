"""A clock that was wrong and is set right: what it wrote must not wait for years."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from archive.archive import Archive
from core.states import RevisionState
from service.completeness_settings import CompletenessSettings
from tests.archive.test_leases import _acquire
from tests.service.test_completeness import _arrive, _completeness
from tests.service.test_hostile_sweep import ward
from tests.support.archives import at, make_archive
from tests.support.house import image_with_cells
from tests.support.peers import free_port

YEARS = 4 * 365 * 86400.0
DEAD = "association:a1"


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    opened = make_archive(tmp_path)
    yield opened
    opened.close()


@pytest.mark.parametrize("is_lease_left", [False, True])
def test_a_study_from_the_future_is_complete_after_a_quiet_time_from_now(
    archive: Archive, is_lease_left: bool
) -> None:
    key = _arrive(archive, seconds=YEARS)
    if is_lease_left:  # by a process that died before the clock was set back
        with archive.transaction() as tx:
            archive.leases.acquire(tx, DEAD, owner="a1", now=at(YEARS), lifetime_s=30)
    completeness = _completeness(archive, CompletenessSettings(quiet_time_s=60))
    assert completeness.close_due(at(0)) == []
    assert completeness.close_due(at(59)) == []
    assert completeness.close_due(at(61)) == [key]


def test_a_lease_from_the_future_is_nobodys(archive: Archive) -> None:
    assert _acquire(archive, "one", YEARS)
    taken = _acquire(archive, "two", 0)
    assert taken is not None
    assert taken.generation == 2


def test_a_delivery_planned_by_a_wrong_clock_is_attempted_soon(tmp_path: Path) -> None:
    pacs = {"name": "pacs", "host": "127.0.0.1", "port": free_port(), "called_ae_title": "PACS"}
    with ward(tmp_path, destinations=[pacs]) as opened:
        revision = opened.home.take(image_with_cells((1, 1)))
        opened.sweep_until(lambda: opened.state(revision) is RevisionState.COMPLETED)
        archive = opened.home.foundation.archive
        with archive.snapshot() as tx:
            due = archive.deliveries.due(tx, revision, "pacs")
        planned = {one.next_attempt_at for one in due}
        opened.ahead = -timedelta(days=2)  # the clock was two days fast until now

        def is_planned_anew() -> bool:
            with archive.snapshot() as tx:
                due = archive.deliveries.due(tx, revision, "pacs")
            return not planned & {one.next_attempt_at for one in due}

        opened.sweep_until(is_planned_anew)
