"""The auditor's questions: what a falsified log says of itself, and where it says it begins."""

import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from audit.checkpoint import Checkpoint
from audit.search import position_before
from audit.segments import CHECKPOINTS
from audit.verify import Report, verify
from audit.vocabulary import EventKind, Outcome
from service.cli.options import operator
from tests.audit import builders
from tests.audit.builders import NOON, Installation, records
from tests.support.house import house, image_with_cells
from tests.support.peers import free_port

SIZE = 40
REMOVED = 10


def report(site: Installation, outside: Sequence[Checkpoint] = ()) -> Report:
    return verify(site.folder, builders.PUBLIC_KEY, now=NOON, outside=outside)


def test_checkpoints_of_a_key_thief_do_not_shift_the_blame(tmp_path: Path) -> None:
    """Made anew without one record, and signed more often than the true log was."""
    written = records(range(SIZE))
    with Installation(tmp_path).keeper() as keeper:
        keeper.append(written)
    kept = Installation(tmp_path).kept_outside()
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    with Installation(tmp_path, checkpoint_every_events=1).keeper() as keeper:
        keeper.append([*written[:REMOVED], *written[REMOVED + 1 :]])

    found = report(Installation(tmp_path), kept)

    assert found.first_bad is not None
    assert found.first_bad.first <= REMOVED < found.first_bad.before


def test_a_log_begun_anew_is_bad_from_its_first_entry(tmp_path: Path) -> None:
    """The folder was removed; whoever came next began another and signed it."""
    kept = Installation(tmp_path).fill(SIZE).kept_outside()
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    with Installation(tmp_path).keeper() as keeper:
        keeper.append(records([SIZE]))

    found = report(Installation(tmp_path), kept)

    assert found.proven_size == 0
    assert found.first_bad is not None
    assert found.first_bad.first == 0


def test_a_log_that_lost_its_checkpoints_does_not_disown_those_kept_outside(tmp_path: Path) -> None:
    site = Installation(tmp_path).fill(SIZE)
    kept = site.kept_outside()
    (site.folder / CHECKPOINTS).unlink()

    found = report(site, kept)

    assert [step.number for step in found.steps if step.faults] == [1]
    assert found.proven_size == SIZE


def test_a_transfer_that_nobody_took_counts_no_instance(tmp_path: Path) -> None:
    pacs = {"name": "pacs", "host": "127.0.0.1", "port": free_port(), "called_ae_title": "PACS"}
    with house(tmp_path, destinations=[pacs]) as home:
        revision = home.take(image_with_cells((8, 16)))
        home.process(revision)
        home.delivery.attempt(revision, "pacs")
        ended = home.events()[-1]

    told = {detail.name: detail.value for detail in ended.details}
    assert ended.kind is EventKind.INSTANCES_TRANSFERRED
    assert ended.outcome is Outcome.MINOR_FAILURE
    assert (told["NumberOfInstances"], told["Failed"]) == ("0", "2")


def test_an_operator_cannot_give_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    before = operator()
    monkeypatch.setenv("USER", "somebody else")
    monkeypatch.setenv("LOGNAME", "somebody else")
    assert operator() == before


def test_a_search_may_begin_before_all_time(tmp_path: Path) -> None:
    """In the log's time zone the first moment of year 1 does not exist where the sun rises."""
    site = Installation(tmp_path).fill(SIZE)
    dawn = datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))

    assert position_before(site.folder, builders.SEALER, dawn) == 0
