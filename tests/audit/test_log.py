"""The log: durable, in order, each record once, and what a crash leaves behind."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.checkpoint import Checkpoint
from audit.errors import BrokenChainError, LogBusyError, LogUnwritableError
from audit.id_index import FILE
from audit.log import AuditLog
from audit.records import SealedRecord
from audit.segments import Segment, decode_entry, encode_entry, find_segments, read_entries
from audit.tree import leaf_hash, root_of
from tests.audit.builders import NOON, event_id

CAPACITY = 8


def opened(folder: Path, signed: Checkpoint | None = None) -> AuditLog:
    return AuditLog(folder, entries_per_segment=CAPACITY, signed=signed)


def record(number: int) -> SealedRecord:
    return SealedRecord(event_id(number), f"sealed {number}".encode() * (number % 3 + 1))


def held(folder: Path) -> list[SealedRecord]:
    return [decode_entry(entry) for _, entry in read_entries(folder)]


def filled(folder: Path, size: int) -> Path:
    with opened(folder) as log:
        log.append([record(n) for n in range(size)])
    return folder


def signed(folder: Path, size: int) -> Checkpoint:
    leaves = [leaf_hash(entry) for _, entry in read_entries(folder)]
    return Checkpoint("o", size, root_of(leaves[:size]), NOON)


# --- appending ---------------------------------------------------------------------------------


def test_records_are_kept_in_order_and_positions_have_no_holes(tmp_path: Path) -> None:
    filled(tmp_path, 20)
    assert held(tmp_path) == [record(n) for n in range(20)]
    assert [position for position, _ in read_entries(tmp_path)] == list(range(20))


def test_reading_can_begin_anywhere(tmp_path: Path) -> None:
    filled(tmp_path, 20)
    for start in range(22):
        assert [p for p, _ in read_entries(tmp_path, start)] == list(range(start, 20))


def test_the_size_and_root_are_those_of_the_entries(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        assert log.append([record(n) for n in range(11)]) == 11
        assert log.root() == root_of(leaf_hash(encode_entry(record(n))) for n in range(11))


@settings(max_examples=12, deadline=None)
@given(st.lists(st.lists(st.integers(0, 30), max_size=12), max_size=6))
def test_each_record_is_kept_once_however_often_it_comes(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[int]]
) -> None:
    """Whatever the batches, the segments and the restarts between them."""
    folder = tmp_path_factory.mktemp("log")
    for batch in batches:
        with opened(folder) as log:
            log.append([record(n) for n in batch])
    first_seen = list(dict.fromkeys(n for batch in batches for n in batch))
    assert held(folder) == [record(n) for n in first_seen]
    with opened(folder) as log:
        assert log.root() == root_of(leaf_hash(encode_entry(record(n))) for n in first_seen)


def test_segments_hold_as_many_entries_as_they_say(tmp_path: Path) -> None:
    filled(tmp_path, 20)
    assert [s.first for s in find_segments(tmp_path)] == [0, 8, 16]
    assert [len(s.leaf_hashes()) for s in find_segments(tmp_path)] == [8, 8, 4]


def test_a_log_keeps_its_own_segment_size(tmp_path: Path) -> None:
    filled(tmp_path, 4)
    with AuditLog(tmp_path, entries_per_segment=3) as log:
        log.append([record(n) for n in range(20)])
    assert [s.first for s in find_segments(tmp_path)] == [0, 8, 16]


def test_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    folder = filled(tmp_path / "new", 1)
    assert folder.stat().st_mode & 0o077 == 0


def test_only_one_may_append(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(LogBusyError):
        opened(tmp_path)
    opened(tmp_path).close()


def test_append_returns_only_after_the_entries_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a segment's folder before its first entry counts."""
    calls: list[str] = []
    fdatasync, fsync = os.fdatasync, os.fsync

    def name(file: int) -> str:
        return Path(f"/proc/self/fd/{file}").readlink().name

    def data(file: int) -> None:
        calls.append(f"{name(file)} {os.fstat(file).st_size}")
        fdatasync(file)

    def full(file: int) -> None:
        calls.append(name(file))
        fsync(file)

    monkeypatch.setattr(os, "fdatasync", data)
    monkeypatch.setattr(os, "fsync", full)
    with opened(tmp_path / "a") as log:
        assert calls[-2:] == ["000000000000.new", "a"]
        log.append([record(0)])
        length = (tmp_path / "a" / "000000000000.log").stat().st_size
        assert calls[-1] == f"000000000000.log {length}"
        log.append([record(n) for n in range(9)])
        assert calls[-3:-1] == ["a", "000000000000.hashes 256"]


# --- when the disk fails -----------------------------------------------------------------------


class Failing:
    """Stands for a system call of `os` that fails after some calls."""

    def __init__(
        self, call: Callable[..., int | None], *, after: int, partly: bool = False
    ) -> None:
        self.call, self.left, self.partly = call, after, partly

    def __call__(self, file: int, *rest: memoryview) -> int | None:
        if self.left == 0:
            if self.partly and rest:
                self.call(file, rest[0][: len(rest[0]) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        self.left -= 1
        return self.call(file, *rest)


@pytest.mark.parametrize("after", range(12))
@pytest.mark.parametrize(
    ("call", "partly"), [("write", False), ("write", True), ("fdatasync", False)]
)
def test_a_failing_disk_loses_nothing_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, partly: bool, after: int
) -> None:
    log, done = opened(tmp_path), 0
    with monkeypatch.context() as patch:
        patch.setattr(os, call, Failing(getattr(os, call), after=after, partly=partly))
        try:
            for n in range(0, 30, 3):
                log.append([record(n + i) for i in range(3)])
                done = n + 3
        except LogUnwritableError:
            with pytest.raises(LogUnwritableError):
                log.append([record(99)])  # never tried again on the same files
    log.close()
    assert held(tmp_path)[:done] == [record(n) for n in range(done)]
    with opened(tmp_path) as again:
        again.append([record(n) for n in range(30)])
    assert held(tmp_path) == [record(n) for n in range(30)]


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogUnwritableError, match="cannot be written"):
        opened(tmp_path / "file" / "log")


# --- after a crash -----------------------------------------------------------------------------


def newest(folder: Path) -> Segment:
    return find_segments(folder)[-1]


@pytest.mark.parametrize("cut", [1, 5, 8, 20])
def test_an_entry_that_was_cut_off_is_cut_back_and_kept_aside(tmp_path: Path, cut: int) -> None:
    filled(tmp_path, 11)
    path, hashes = newest(tmp_path).path, newest(tmp_path).hashes_path
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    hashes.write_bytes(hashes.read_bytes()[:-32])  # noted only after the sync
    with opened(tmp_path, signed(tmp_path, 8)) as log:
        assert log.size == 10
        assert log.torn_tail is not None
        assert log.torn_tail.position == 10
        assert log.torn_tail.kept_in.read_bytes() == whole[len(path.read_bytes()) : -cut]
        log.append([record(n) for n in range(12)])
    assert held(tmp_path) == [record(n) for n in range(12)]


def test_a_second_cut_at_the_same_place_keeps_both(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    kept = []
    for garbage in (b"one", b"two"):
        with newest(tmp_path).path.open("ab") as file:
            file.write(garbage)
        with opened(tmp_path) as log:
            assert log.torn_tail is not None
            kept.append(log.torn_tail.kept_in.read_bytes())
    assert kept == [b"one", b"two"]


def test_a_page_of_zeros_after_a_power_cut_is_no_entry(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    with newest(tmp_path).path.open("ab") as file:
        file.write(bytes(4096))
    with opened(tmp_path) as log:
        assert log.size == 3


@pytest.mark.parametrize("size", [0, 3, 8, 11])
def test_a_whole_log_has_nothing_to_cut(tmp_path: Path, size: int) -> None:
    filled(tmp_path, size)
    with opened(tmp_path) as log:
        assert (log.size, log.torn_tail) == (size, None)


def test_hashes_that_a_crash_left_out_are_noted_at_open(tmp_path: Path) -> None:
    filled(tmp_path, 11)
    hashes = newest(tmp_path).hashes_path
    complete = hashes.read_bytes()
    for left in (complete[:-32], complete[:-40], b"", bytes(len(complete))):
        hashes.write_bytes(left)
        opened(tmp_path).close()
        assert hashes.read_bytes() == complete
    hashes.unlink()
    opened(tmp_path).close()
    assert hashes.read_bytes() == complete


def test_a_segment_that_was_just_begun_is_gone_on_with(tmp_path: Path) -> None:
    filled(tmp_path, 9)
    path = newest(tmp_path).path
    path.write_bytes(path.read_bytes()[: 20 + 32])  # header of 20 bytes and one peak
    newest(tmp_path).hashes_path.unlink()
    (tmp_path / "000000000016.new").write_bytes(b"half a hea")
    with opened(tmp_path) as log:
        assert log.append([record(n) for n in range(20)]) == 20
    assert held(tmp_path) == [record(n) for n in range(20)]


# --- the index of event ids --------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["gone", "garbage", "emptied", "of another log", "too long"])
def test_the_id_index_may_be_lost_or_wrong_at_any_time(tmp_path: Path, damage: str) -> None:
    folder, other = filled(tmp_path / "log", 20), tmp_path / "other"
    index = folder / FILE
    if damage == "gone":
        index.unlink()
    elif damage == "garbage":
        index.write_bytes(b"\x00garbage" * 999)
    elif damage == "emptied":
        with sqlite3.connect(index) as database:
            database.execute("DELETE FROM ids")
            database.execute("DELETE FROM complete_to")
        database.close()
    else:
        with opened(other) as log:
            log.append([record(100 + n) for n in range(12 if damage == "of another log" else 40)])
        shutil.copy(other / FILE, index)
    with opened(folder) as log:
        assert log.append([record(n) for n in range(22)]) == 22
    assert held(folder) == [record(n) for n in range(22)]


def test_an_index_that_is_behind_learns_what_came_later(tmp_path: Path) -> None:
    folder = filled(tmp_path, 10)
    old = (folder / FILE).read_bytes()
    with opened(folder) as log:
        log.append([record(n) for n in range(30)])
    (folder / FILE).write_bytes(old)
    with opened(folder) as log:
        assert log.append([record(n) for n in range(30)]) == 30


# --- what is no accident -----------------------------------------------------------------------


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


def test_a_damaged_entry_that_was_durable_is_never_cut_back(tmp_path: Path) -> None:
    filled(tmp_path, 11)
    flip(newest(tmp_path).path, -1)
    with pytest.raises(BrokenChainError, match="entry 10"):
        opened(tmp_path)


def test_a_log_that_lost_its_tail_is_not_gone_on_with(tmp_path: Path) -> None:
    filled(tmp_path, 11)
    checkpoint = signed(tmp_path, 11)
    path, hashes = newest(tmp_path).path, newest(tmp_path).hashes_path
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BrokenChainError):
        opened(tmp_path)
    hashes.write_bytes(hashes.read_bytes()[:-32])
    with pytest.raises(BrokenChainError, match="signed at size 11"):
        opened(tmp_path, checkpoint)


def test_a_log_that_was_rolled_back_is_not_gone_on_with(tmp_path: Path) -> None:
    folder = filled(tmp_path / "log", 11)
    copy = shutil.copytree(folder, tmp_path / "copy")
    with opened(folder) as log:
        log.append([record(n) for n in range(20)])
    with pytest.raises(BrokenChainError, match="signed at size 20"):
        opened(copy, signed(folder, 20))


def test_another_log_under_the_same_checkpoint_is_refused(tmp_path: Path) -> None:
    first, second = filled(tmp_path / "a", 11), tmp_path / "b"
    with opened(second) as log:
        log.append([record(n + 50) for n in range(11)])
    with pytest.raises(BrokenChainError, match="not the one that was signed"):
        opened(second, signed(first, 11))


def test_a_log_that_is_gone_is_not_begun_anew(tmp_path: Path) -> None:
    checkpoint = signed(filled(tmp_path / "a", 3), 3)
    with pytest.raises(BrokenChainError, match="gone"):
        opened(tmp_path / "b", checkpoint)


def test_a_missing_or_exchanged_segment_is_noticed(tmp_path: Path) -> None:
    folder = filled(tmp_path / "a", 30)
    checkpoint = signed(folder, 12)
    other = tmp_path / "b"
    with opened(other) as log:
        log.append([record(n + 50) for n in range(30)])
    shutil.copy(Segment.at(other, 16).path, Segment.at(folder, 16).path)
    with pytest.raises(BrokenChainError, match="breaks before"):
        opened(folder, checkpoint)
    Segment.at(folder, 16).path.unlink()
    with pytest.raises(BrokenChainError, match="breaks before"):
        opened(folder, checkpoint)
    for segment in find_segments(folder)[:2]:
        segment.path.unlink()
    with pytest.raises(BrokenChainError, match="beginning"):
        opened(folder, checkpoint)


def test_a_file_that_is_no_segment_is_refused(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    for content in (b"", b"short", b"2RAUDIT0" + bytes(12)):
        newest(tmp_path).path.write_bytes(content)
        with pytest.raises(BrokenChainError, match="does not begin"):
            opened(tmp_path)


def test_a_tail_that_was_rewritten_after_the_checkpoint_is_noticed_by_its_notes(
    tmp_path: Path,
) -> None:
    filled(tmp_path / "a", 11)
    with opened(tmp_path / "b") as log:
        log.append([record(n) for n in (*range(8), 10, 9, 8)])
    shutil.copy(newest(tmp_path / "b").path, newest(tmp_path / "a").path)
    with pytest.raises(BrokenChainError, match="not the ones that were written"):
        opened(tmp_path / "a", signed(tmp_path / "b", 8))


def test_after_a_refusal_the_log_can_be_opened_again(tmp_path: Path) -> None:
    filled(tmp_path, 11)
    flip(newest(tmp_path).path, -1)
    with pytest.raises(BrokenChainError):
        opened(tmp_path)
    flip(newest(tmp_path).path, -1)
    opened(tmp_path).close()
