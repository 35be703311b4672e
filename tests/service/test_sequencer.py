"""The sequencer: every record once and in order, one process at a time."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from archive.outbox import OutboxRecord
from audit.errors import BrokenChainError
from audit.records import SealedRecord
from audit.search import read_events
from core.clock import utc_now
from core.errors import UnavailableError
from service.foundation import Foundation
from service.keys import Purpose
from service.sequencer import BATCH, Sequencer
from tests.support.house import House, house


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as opened:
        yield opened


def sequencer(foundation: Foundation, owner: str = "here") -> Sequencer:
    return Sequencer(
        foundation.archive,
        foundation.audit_settings,
        signing_key=foundation.keyring.key(Purpose.AUDIT_SIGNING),
        owner=owner,
        trail=foundation.trail,
        clock=utc_now,
    )


def record(foundation: Foundation, count: int) -> list[str]:
    ids = []
    for _ in range(count):
        sealed = foundation.trail.process(started=True)
        foundation.record(sealed)
        ids.append(sealed.event_id)
    return ids


def logged(foundation: Foundation) -> list[str]:
    folder = foundation.audit_settings.folder
    return [one.event.event_id for one in read_events(folder, foundation.trail.sealer)]


def test_records_reach_the_log_once_and_in_their_order(home: House) -> None:
    ids = record(home.foundation, 5)
    one = sequencer(home.foundation)
    assert one.run_once() == 5
    assert one.run_once() == 0
    one.close()
    assert logged(home.foundation) == ids


def test_more_than_one_batch_is_appended_at_once(home: House) -> None:
    sealed = [home.foundation.trail.process(started=True) for _ in range(BATCH + 3)]
    with home.foundation.archive.transaction() as tx:
        for one in sealed:
            home.foundation.archive.outbox.add(tx, one.event_id, one.sealed, at=utc_now())
    appender = sequencer(home.foundation)
    assert appender.run_once() == BATCH + 3
    appender.close()
    assert logged(home.foundation) == [one.event_id for one in sealed]


def test_what_comes_while_it_appends_is_left_for_the_next_time(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would append every record by itself while senders store, and slow them down."""
    ids = record(home.foundation, 2)
    appender = sequencer(home.foundation)
    original = appender._append

    def append(records: tuple[OutboxRecord, ...]) -> None:
        original(records)
        ids.extend(record(home.foundation, 1))

    monkeypatch.setattr(appender, "_append", append)
    assert [appender.run_once() for _ in range(3)] == [2, 1, 1]
    appender.close()
    assert logged(home.foundation) == ids[:4]


def test_only_one_process_appends(home: House) -> None:
    record(home.foundation, 1)
    first, second = sequencer(home.foundation, "first"), sequencer(home.foundation, "second")
    assert first.run_once() == 1
    record(home.foundation, 1)
    assert second.run_once() == 0
    first.close()
    assert second.run_once() == 1
    second.close()


def test_a_record_that_was_appended_but_not_marked_is_not_appended_twice(home: House) -> None:
    ids = record(home.foundation, 2)
    one = sequencer(home.foundation)
    one.run_once()
    archive = home.foundation.archive
    sealed = home.foundation.trail.process(started=False)
    with archive.transaction() as tx:
        archive.outbox.add(tx, sealed.event_id, sealed.sealed, at=utc_now())
    assert one._keeper is not None
    one._keeper.append([SealedRecord(sealed.event_id, sealed.sealed)])
    one.run_once()
    one.close()
    assert logged(home.foundation) == [*ids, sealed.event_id]


def test_a_checkpoint_file_that_cannot_be_written_is_an_alert(tmp_path: Path) -> None:
    outside = {"checkpoint_files": ["nowhere/checkpoints"]}
    with house(tmp_path, sections={"audit": outside}) as home:
        record(home.foundation, 1)
        one = sequencer(home.foundation)
        one.run_once()
        one.run_once()
        one.close()
        kinds = [
            event.event.kind.name
            for event in read_events(
                home.foundation.audit_settings.folder, home.foundation.trail.sealer
            )
        ]
    assert kinds.count("SECURITY_ALERT") == 1


def test_a_log_that_is_taken_away_while_it_is_written_swallows_nothing(home: House) -> None:
    """What would go to a file that nobody finds stays in the database."""
    record(home.foundation, 1)
    one = sequencer(home.foundation)
    one.run_once()
    folder = home.foundation.audit_settings.folder
    folder.rename(folder.with_name("taken"))
    late = record(home.foundation, 1)
    with pytest.raises(UnavailableError):
        one.run_once()
    with pytest.raises(BrokenChainError, match="the log is gone"):
        one.run_once()
    archive = home.foundation.archive
    with archive.snapshot() as tx:
        assert [one.event_id for one in archive.outbox.pending(tx, 10)] == late
    folder.with_name("taken").rename(folder)
    one.run_once()
    one.close()
    assert logged(home.foundation)[1:] == late


def test_a_log_that_was_cut_back_together_with_its_checkpoints_is_not_gone_on_with(
    home: House,
) -> None:
    folder = home.foundation.audit_settings.folder
    first, second = sequencer(home.foundation), sequencer(home.foundation)
    record(home.foundation, 3)
    first.run_once()
    first.close()
    shutil.copytree(folder, folder.with_name("yesterday"))
    record(home.foundation, 3)
    first.run_once()
    first.close()
    shutil.rmtree(folder)
    folder.with_name("yesterday").rename(folder)
    with pytest.raises(BrokenChainError):
        second.run_once()
