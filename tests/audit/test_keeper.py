"""The keeper: what it appends it signs in time, inside and outside, and never over another log."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from audit.checkpoint import load_checkpoints, load_public_key
from audit.errors import BrokenChainError, CheckpointError, LogBusyError, LogUnwritableError
from audit.segments import CHECKPOINTS, PUBLIC_KEY
from audit.verify import verify
from core.errors import ConfigurationError
from tests.audit import builders
from tests.audit.builders import NOON, OTHER_KEY, FakeClock, Installation, records


def sizes(path: Path) -> list[int]:
    return [checkpoint.size for checkpoint in load_checkpoints(path, builders.PUBLIC_KEY)]


def test_a_new_log_is_signed_empty_and_shows_its_public_key(tmp_path: Path) -> None:
    site = Installation(tmp_path)
    with site.keeper() as keeper:
        assert (keeper.size, keeper.last_checkpoint.size) == (0, 0)
        assert sizes(site.folder / CHECKPOINTS) == sizes(site.outside) == [0]
    key = load_public_key((site.folder / PUBLIC_KEY).read_bytes())
    assert key.public_bytes_raw() == builders.PUBLIC_KEY.public_bytes_raw()


def test_it_signs_after_so_many_records_however_they_come(tmp_path: Path) -> None:
    site = Installation(tmp_path, checkpoint_every_events=8)
    with site.keeper() as keeper:
        keeper.append(records(range(7)))
        assert keeper.last_checkpoint.size == 0
        keeper.append(records(range(7, 8)))
        assert keeper.last_checkpoint.size == 8
        keeper.append(records(range(8, 30)))
    assert sizes(site.folder / CHECKPOINTS) == [0, 8, 16, 24, 30]
    assert sizes(site.outside) == [0, 8, 16, 24, 30]


def test_it_signs_after_so_much_time_also_when_nothing_happens(tmp_path: Path) -> None:
    site = Installation(tmp_path, clock=FakeClock(step=timedelta(0)))
    with site.keeper() as keeper:
        keeper.append(records(range(1)))
        site.clock.now += timedelta(seconds=59)
        assert keeper.sign_if_due() is None
        site.clock.now += timedelta(seconds=1)
        checkpoint = keeper.sign_if_due()
        assert checkpoint is not None
        assert (checkpoint.size, checkpoint.time) == (1, NOON + timedelta(seconds=60))
        site.clock.now += timedelta(hours=1)
        assert keeper.sign_if_due() is None  # nothing new


def test_the_wait_counts_from_the_first_unsigned_record(tmp_path: Path) -> None:
    site = Installation(tmp_path, clock=FakeClock(step=timedelta(0)))
    with site.keeper() as keeper:
        for n in range(3):
            keeper.append(records(range(n, n + 1)))
            site.clock.now += timedelta(seconds=25)
        assert keeper.sign_if_due() is not None


def test_a_clock_that_is_set_back_does_not_delay_a_checkpoint(tmp_path: Path) -> None:
    site = Installation(tmp_path, clock=FakeClock(step=timedelta(0)))
    with site.keeper() as keeper:
        keeper.append(records(range(1)))
        site.clock.now -= timedelta(hours=1)
        assert keeper.sign_if_due() is not None


def test_what_a_killed_process_left_unsigned_is_signed_at_start(tmp_path: Path) -> None:
    site = Installation(tmp_path)
    keeper = site.keeper()
    keeper.append(records(range(5)))
    keeper._log.close()  # without signing, as after a kill
    with site.keeper() as again:
        assert again.last_checkpoint.size == 5


def test_a_second_keeper_is_refused(tmp_path: Path) -> None:
    site = Installation(tmp_path)
    with site.keeper(), pytest.raises(LogBusyError):
        site.keeper()


def test_a_checkpoint_file_that_is_away_stops_nothing_but_is_named(tmp_path: Path) -> None:
    site = Installation(tmp_path)
    with site.keeper() as keeper:
        shutil.rmtree(site.outside.parent)
        keeper.append(records(range(8)))
        assert list(keeper.unreachable) == [site.outside]
        site.outside.parent.mkdir()
        keeper.append(records(range(8, 16)))
        assert list(keeper.unreachable) == []
    assert sizes(site.outside) == [16]


def test_a_checkpoint_that_was_cut_off_outside_spoils_no_later_one(tmp_path: Path) -> None:
    """The outside may be a file that only ever grows."""
    site = Installation(tmp_path).fill(8)
    for path in (site.outside, site.folder / CHECKPOINTS):
        with path.open("a") as file:
            file.write("second-reader/site-a\n99\nAAAA")
    site.fill(16)
    assert sizes(site.outside) == sizes(site.folder / CHECKPOINTS) == [0, 8, 16]


def test_a_log_of_another_key_is_not_gone_on_with(tmp_path: Path) -> None:
    site = Installation(tmp_path).fill(3)
    with pytest.raises(CheckpointError):
        site.keeper(OTHER_KEY)


def test_a_log_whose_checkpoints_are_gone_is_not_signed_anew(tmp_path: Path) -> None:
    site = Installation(tmp_path).fill(3)
    (site.folder / CHECKPOINTS).unlink()
    site.outside.unlink()
    with pytest.raises(BrokenChainError, match="checkpoints are gone"):
        site.keeper()


def test_an_empty_log_that_was_begun_with_another_key_is_refused(tmp_path: Path) -> None:
    site = Installation(tmp_path).fill(0)
    (site.folder / CHECKPOINTS).unlink()
    with pytest.raises(ConfigurationError, match="another signing key"):
        site.keeper(OTHER_KEY)


def test_a_restored_copy_is_not_gone_on_with(tmp_path: Path) -> None:
    """The file outside knows that the log was longer."""
    site = Installation(tmp_path).fill(8)
    copy = shutil.copytree(site.folder, tmp_path / "backup")
    site.fill(16)
    shutil.rmtree(site.folder)
    shutil.copytree(copy, site.folder)
    with pytest.raises(BrokenChainError, match="signed at size 16"):
        site.keeper()


def test_a_refused_start_leaves_the_log_to_the_next(tmp_path: Path) -> None:
    site = Installation(tmp_path).fill(3)
    with pytest.raises(CheckpointError):
        site.keeper(OTHER_KEY)
    site.fill(6)
    report = verify(site.folder, builders.PUBLIC_KEY, now=NOON, outside=site.kept_outside())
    assert (report.is_ok, report.proven_size) == (True, 6)


def test_a_file_outside_that_holds_something_else_is_no_reason_to_stop(tmp_path: Path) -> None:
    site = Installation(tmp_path).fill(3)
    site.outside.write_text("notes of somebody else\n")
    site.fill(6)
    assert sizes(site.outside) == [6]


def test_checkpoints_that_cannot_be_written_are_unavailability(tmp_path: Path) -> None:
    site = Installation(tmp_path)
    keeper = site.keeper()
    (site.folder / CHECKPOINTS).unlink()
    (site.folder / CHECKPOINTS).mkdir()
    with pytest.raises(LogUnwritableError, match="checkpoints"):
        keeper.append(records(range(8)))
    with pytest.raises(LogUnwritableError, match="checkpoints"):
        keeper.close()
    (site.folder / CHECKPOINTS).rmdir()
    with site.keeper() as again:  # the file outside still knows the empty log
        assert again.append(records(range(9))) == 9
