"""Verification: every way to falsify the log is found, and a log that is well is never accused."""

import random
import shutil
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from audit.checkpoint import Checkpoint
from audit.errors import LogUnreadableError
from audit.ledger import Ledger, NewBeginning, Owed
from audit.records import PendingRecord
from audit.segments import CHECKPOINTS, Segment, encode_frame
from audit.tree import leaf_hash
from audit.verify import BadPlace, Report, verify
from tests.audit import builders
from tests.audit.builders import NOON, OTHER_KEY, Installation, event_id, records

SIZE = 60  # segments of 16, checkpoints every 8


def report(site: Installation, outside: Sequence[Checkpoint] = ()) -> Report:
    return verify(site.folder, builders.PUBLIC_KEY, now=NOON, outside=outside)


@pytest.fixture(scope="module")
def well(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(tmp_path_factory.mktemp("well")).fill(SIZE)


@pytest.fixture
def site(tmp_path: Path, well: Installation) -> Installation:
    """A copy that a test may falsify."""
    shutil.copytree(well.root, tmp_path, dirs_exist_ok=True)
    return Installation(tmp_path)


def failed(found: Report) -> list[int]:
    return [step.number for step in found.steps if step.faults]


# --- writing files as somebody with access to the folder could ---------------------------------


def entries_of(segment: Segment) -> list[bytes]:
    return list(segment.frames())


def rewrite(segment: Segment, entries: Sequence[bytes], *, notes_too: bool = False) -> None:
    """Write the segment anew, with frames that are whole."""
    content = segment.header().encode() + b"".join(map(encode_frame, entries))
    segment.path.write_bytes(content)
    if notes_too:
        segment.hashes_path.write_bytes(b"".join(map(leaf_hash, entries)))


def edited(entries: list[bytes], i: int) -> list[bytes]:
    return [*entries[:i], entries[i][:-1] + bytes([entries[i][-1] ^ 1]), *entries[i + 1 :]]


def removed(entries: list[bytes], i: int) -> list[bytes]:
    return [*entries[:i], *entries[i + 1 :]]


def swapped(entries: list[bytes], i: int) -> list[bytes]:
    return [*entries[:i], entries[i + 1], entries[i], *entries[i + 2 :]]


def added(entries: list[bytes], i: int) -> list[bytes]:
    return [*entries[:i], b"a record that never was", *entries[i:]]


def repeated(entries: list[bytes], i: int) -> list[bytes]:
    return [*entries[:i], entries[i - 1], *entries[i:]]


FALSIFICATIONS: list[Callable[[list[bytes], int], list[bytes]]] = [
    edited, removed, swapped, added, repeated,
]  # fmt: skip


# --- a log that is well ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 7, 8, 16, 17, 60])
def test_a_log_that_is_well_is_proven_whole(tmp_path: Path, size: int) -> None:
    site = Installation(tmp_path).fill(size)
    found = report(site, site.kept_outside())
    assert found.is_ok
    assert (found.size, found.proven_size, found.first_bad) == (size, size, None)
    assert [step.number for step in found.steps] == [1, 2, 3, 4, 5, 6]


def test_the_report_says_up_to_where_it_can_speak(site: Installation) -> None:
    with site.keeper() as keeper:
        keeper.append(records(range(SIZE, SIZE + 3)))
        found = report(site)
    assert found.is_ok
    assert (found.size, found.proven_size) == (SIZE + 3, SIZE)
    assert found.proven_at is not None
    assert found.proven_at.isoformat() in found.summary()
    assert "The 3 after them are not proven" in found.summary()
    assert "could not be told from this one" in found.summary()


def test_a_checkpoint_from_outside_may_be_old(site: Installation) -> None:
    old = site.kept_outside()[2:3]
    found = report(site, old)
    assert found.is_ok
    assert found.has_outside
    assert "could not be told" not in found.summary()


def test_verification_needs_nothing_but_the_files_it_names(site: Installation) -> None:
    """No cache, no key that opens records, and no right to write."""
    (site.folder / "ids.db").unlink()
    (site.folder / "audit-public-key.pem").unlink()
    before = {path: path.read_bytes() for path in site.folder.iterdir()}
    assert report(site).is_ok
    assert {path: path.read_bytes() for path in site.folder.iterdir()} == before


def test_a_write_in_progress_is_no_fault(site: Installation) -> None:
    last = list(site.segments())[-1]
    with last.open("ab") as file:
        file.write(b"\0\0\0\x50half an ent")
    assert report(site, site.kept_outside()).is_ok


def test_hashes_that_lag_behind_are_no_fault(site: Installation) -> None:
    hashes = Segment(list(site.segments())[-1]).hashes_path
    hashes.write_bytes(hashes.read_bytes()[:-33])
    assert report(site).is_ok


# --- one record --------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [1, 8, 15, 16, 37, 58])
@pytest.mark.parametrize("falsify", FALSIFICATIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("knows_outside", [False, True])
def test_a_falsified_record_is_named(
    site: Installation,
    falsify: Callable[[list[bytes], int], list[bytes]],
    position: int,
    knows_outside: bool,
) -> None:
    segment = Segment.at(site.folder, position - position % 16)
    at = position % 16 - (1 if falsify is swapped and position % 16 == 15 else 0)
    rewrite(segment, falsify(entries_of(segment), at))
    found = report(site, site.kept_outside() if knows_outside else ())
    assert not found.is_ok
    assert found.first_bad == BadPlace(segment.first + at, segment.first + at + 1)
    assert found.proven_size <= segment.first + at
    assert f"entry {segment.first + at}." in found.summary()


@pytest.mark.parametrize("falsify", FALSIFICATIONS, ids=lambda f: f.__name__)
def test_a_falsifier_who_corrects_the_notes_too_is_found_between_two_checkpoints(
    site: Installation, falsify: Callable[[list[bytes], int], list[bytes]]
) -> None:
    segment = Segment.at(site.folder, 32)
    rewrite(segment, falsify(entries_of(segment), 5), notes_too=True)
    found = report(site)
    assert 3 in failed(found)
    assert found.first_bad is not None
    assert found.first_bad.first <= 37 < found.first_bad.before
    assert (found.first_bad.first, found.proven_size) == (32, 32)


@pytest.mark.parametrize("offset", [0, 3, 4, 8, 30, -1])
def test_a_flipped_bit_in_any_part_of_a_frame_is_named(site: Installation, offset: int) -> None:
    """Length, checksum, event id, sealed record."""
    segment = Segment.at(site.folder, 16)
    entries = entries_of(segment)
    start = len(segment.header().encode() + b"".join(map(encode_frame, entries[:6])))
    at = start + (offset if offset >= 0 else len(encode_frame(entries[6])) - 1)
    content = bytearray(segment.path.read_bytes())
    content[at] ^= 0x20
    segment.path.write_bytes(bytes(content))
    assert report(site).first_bad == BadPlace(22, 23)


# --- the tail, and the whole -------------------------------------------------------------------


@pytest.mark.parametrize("keep", [1, 11])
@pytest.mark.parametrize("notes_too", [False, True])
def test_a_cut_tail_is_named(site: Installation, keep: int, notes_too: bool) -> None:
    segment = Segment.at(site.folder, 48)
    rewrite(segment, entries_of(segment)[:keep], notes_too=notes_too)
    found = report(site)
    assert not found.is_ok
    last_signed_before = 48 + keep - keep % 8
    first = last_signed_before if notes_too else 48 + keep
    assert found.first_bad == BadPlace(first, 49 + keep)
    assert found.size == 48 + keep


def test_a_missing_segment_is_named(site: Installation) -> None:
    Segment.at(site.folder, 16).path.unlink()
    found = report(site)
    assert 2 in failed(found)
    assert found.first_bad == BadPlace(16, 17)


def test_two_exchanged_segments_are_named(site: Installation) -> None:
    first, second = Segment.at(site.folder, 16).path, Segment.at(site.folder, 32).path
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    assert report(site).first_bad == BadPlace(16, 17)


def test_records_exchanged_between_segments_are_named(site: Installation) -> None:
    first, second = Segment.at(site.folder, 16), Segment.at(site.folder, 32)
    one, other = entries_of(first), entries_of(second)
    rewrite(first, other, notes_too=True)
    rewrite(second, one, notes_too=True)
    assert report(site).first_bad == BadPlace(16, 24)


def test_everything_gone_is_found_with_and_without_the_outside(site: Installation) -> None:
    outside = site.kept_outside()
    shutil.rmtree(site.folder)
    assert failed(report(site)) == [1]
    found = report(site, outside)
    assert (found.first_bad, found.proven_size) == (BadPlace(0, 1), 0)


def test_a_rolled_back_copy_is_found_with_a_checkpoint_from_outside(tmp_path: Path) -> None:
    site = Installation(tmp_path).fill(20)
    yesterday = shutil.copytree(site.folder, tmp_path / "yesterday")
    site.fill(SIZE)
    outside = site.kept_outside()
    shutil.rmtree(site.folder)
    shutil.copytree(yesterday, site.folder)
    assert report(site).is_ok  # and the report says that it cannot tell
    found = report(site, outside)
    assert failed(found) == [4]
    assert found.first_bad == BadPlace(20, 21)


@pytest.mark.parametrize("size", [12, 60, 90])
def test_a_log_made_anew_with_the_stolen_key_is_found_with_a_checkpoint_from_outside(
    tmp_path: Path, size: int
) -> None:
    """Shorter, as long, or longer than the one it stands for."""
    site = Installation(tmp_path / "true")
    site.root.mkdir()
    outside = site.fill(SIZE).kept_outside()
    forged = Installation(tmp_path / "forged")
    forged.root.mkdir()
    with forged.keeper() as keeper:
        keeper.append(records(range(500, 500 + size)))
    assert report(forged).is_ok
    found = report(forged, outside)
    assert failed(found) == [4]
    assert found.first_bad is not None
    assert found.proven_size == 0
    newest_alone = report(forged, outside[-1:])
    assert failed(newest_alone) == [4]


def test_a_key_thief_who_appends_to_the_outside_is_found_by_what_was_there_before(
    tmp_path: Path,
) -> None:
    site = Installation(tmp_path).fill(SIZE)
    before = site.kept_outside()
    shutil.rmtree(site.folder)
    forged = Installation(tmp_path / "forged")
    forged.root.mkdir()
    with forged.keeper() as keeper:
        keeper.append(records(range(500, 500 + SIZE + 8)))
    found = report(forged, [*before, *forged.kept_outside()])
    assert failed(found) == [4]


# --- checkpoints -------------------------------------------------------------------------------


def test_a_log_signed_by_another_key_is_refused(tmp_path: Path) -> None:
    site = Installation(tmp_path)
    with site.keeper(OTHER_KEY) as keeper:
        keeper.append(records(range(3)))
    found = report(site)
    assert failed(found) == [1]
    assert found.proven_size == 0


def test_a_changed_checkpoint_is_found(site: Installation) -> None:
    path = site.folder / CHECKPOINTS
    path.write_text(path.read_text().replace("\n16\n", "\n17\n"))
    found = report(site)
    assert failed(found) == [1]
    assert found.proven_size == SIZE  # by those that are well


def test_a_log_without_checkpoints_proves_nothing(site: Installation) -> None:
    (site.folder / CHECKPOINTS).unlink()
    found = report(site)
    assert failed(found) == [1]
    assert (found.proven_size, found.proven_at) == (0, None)


def test_a_checkpoint_of_another_installation_is_no_proof_of_this_one(
    site: Installation, tmp_path: Path
) -> None:
    other = site.kept_outside()[-1]
    stranger = Checkpoint("second-reader/site-b", other.size, other.root, other.time)
    assert failed(report(site, [stranger])) == [4]


def test_changed_notes_accuse_the_notes_and_not_the_proven_entries(site: Installation) -> None:
    hashes = Segment.at(site.folder, 16).hashes_path
    content = bytearray(hashes.read_bytes())
    content[40] ^= 1
    hashes.write_bytes(bytes(content))
    found = report(site)
    assert failed(found) == [5]
    assert (found.first_bad, found.proven_size) == (None, SIZE)
    hashes.unlink()
    assert failed(report(site)) == [5]


def test_an_unsigned_record_that_was_changed_is_found_by_its_note(site: Installation) -> None:
    keeper = site.keeper()
    keeper.append(records(range(SIZE, SIZE + 3)))
    keeper._log.close()
    segment = Segment.at(site.folder, 48)
    rewrite(segment, edited(entries_of(segment), 13))
    assert report(site).first_bad == BadPlace(61, 62)


# --- the outbox --------------------------------------------------------------------------------


@pytest.mark.parametrize(("age_s", "is_ok"), [(0, True), (59, True), (60, True), (61, False)])
def test_a_record_may_wait_a_minute_for_the_log(
    site: Installation, age_s: int, is_ok: bool
) -> None:
    waiting = [
        PendingRecord(event_id(900), NOON),
        PendingRecord(event_id(901), NOON - timedelta(seconds=age_s)),
    ]
    found = verify(site.folder, builders.PUBLIC_KEY, now=NOON, ledger=Ledger(waiting))
    assert found.is_ok is is_ok
    assert failed(found) == ([] if is_ok else [6])


# --- what the database says ------------------------------------------------------------------


def owed(number: int, place: str = "instance k") -> Owed:
    return Owed(event_id(number), place, NOON)


def with_ledger(site: Installation, ledger: Ledger) -> Report:
    return verify(site.folder, builders.PUBLIC_KEY, now=NOON, ledger=ledger)


def test_what_is_kept_and_has_its_record_is_never_accused(site: Installation) -> None:
    waiting = [PendingRecord(event_id(900), NOON)]
    kept = [*(owed(number + 1) for number in range(SIZE)), owed(900)]
    found = with_ledger(site, Ledger(waiting, appended=kept[:SIZE], kept=kept))
    assert found.is_ok
    assert [step.number for step in found.steps] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_what_is_kept_without_a_record_is_named(site: Installation) -> None:
    found = with_ledger(site, Ledger(kept=[owed(3), owed(900, "instance abc")]))
    assert failed(found) == [8]
    assert found.steps[7].faults == ("instance abc",)


def test_of_very_many_without_a_record_some_are_named_and_all_are_counted(
    site: Installation,
) -> None:
    found = with_ledger(site, Ledger(kept=[owed(900 + number) for number in range(250)]))
    assert len(found.steps[7].faults) == 101
    assert found.steps[7].faults[-1] == "and 150 more"


def test_a_record_that_was_marked_as_appended_and_is_not_there_is_named(
    site: Installation,
) -> None:
    found = with_ledger(site, Ledger(appended=[owed(900, "record 17 of the outbox")]))
    assert failed(found) == [7]
    assert found.steps[6].faults == ("record 17 of the outbox",)


def test_a_rolled_back_copy_is_found_by_what_the_database_saw_signed(tmp_path: Path) -> None:
    site = Installation(tmp_path).fill(20)
    yesterday = shutil.copytree(site.folder, tmp_path / "yesterday")
    with site.fill(SIZE).keeper() as keeper:
        signed = keeper.last_note
    assert with_ledger(site, Ledger(signed=signed)).is_ok
    shutil.rmtree(site.folder)
    shutil.copytree(yesterday, site.folder)
    assert failed(with_ledger(site, Ledger(signed=signed))) == [7]
    forged = signed.replace(f"\n{SIZE}\n", "\n20\n")
    assert failed(with_ledger(site, Ledger(signed=forged))) == [7]


def test_a_new_beginning_excuses_what_is_older_only_if_it_is_in_the_log(
    site: Installation,
) -> None:
    later = NOON + timedelta(seconds=1)
    older, younger = owed(900), Owed(event_id(901), "instance new", later + timedelta(seconds=1))
    recorded, unrecorded = NewBeginning(event_id(5), later), NewBeginning(event_id(902), later)
    found = with_ledger(site, Ledger(kept=[older], beginning=recorded))
    assert found.is_ok
    assert "records of 1 older object" in found.summary()
    both = with_ledger(site, Ledger(kept=[older, younger], beginning=recorded))
    assert both.steps[7].faults == ("instance new",)
    assert failed(with_ledger(site, Ledger(kept=[older], beginning=unrecorded))) == [7, 8]


# --- by chance ---------------------------------------------------------------------------------


def test_seeded_falsifications_are_all_found(tmp_path: Path) -> None:
    """With a checkpoint from outside; with and without corrected notes."""
    chance, site = random.Random(20261120), Installation(tmp_path).fill(SIZE)
    outside = site.kept_outside()
    segments = [Segment(path) for path in site.segments()]
    well = {s: (s.path.read_bytes(), s.hashes_path.read_bytes()) for s in segments}
    entries = {s: entries_of(s) for s in segments}
    for _ in range(300):
        segment = chance.choice(segments)
        at = chance.randrange(1, len(entries[segment]) - 1)
        notes_too = chance.random() < 0.5
        rewrite(segment, chance.choice(FALSIFICATIONS)(entries[segment], at), notes_too=notes_too)
        found = report(site, outside)
        assert not found.is_ok
        assert found.first_bad is not None
        assert found.first_bad.first <= segment.first + at < found.first_bad.before
        segment.path.write_bytes(well[segment][0])
        segment.hashes_path.write_bytes(well[segment][1])
    assert report(site, outside).is_ok


def test_a_log_that_cannot_be_read_is_not_accused(site: Installation) -> None:
    (site.folder / CHECKPOINTS).unlink()
    (site.folder / CHECKPOINTS).mkdir()
    with pytest.raises(LogUnreadableError, match="cannot be read"):
        report(site)
