"""Scrub: what a disk forgot is found, held back, told, and mended by sending it again."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset
from sqlalchemy import update

from archive.scrub import Damage
from archive.tables import instance
from audit.vocabulary import EventKind
from core.clock import utc_now
from core.errors import CorruptionError
from core.states import HoldReason, RevisionState
from service.cli.audit_desk import verified
from service.health import ArchiveNumbers
from service.keys import Purpose
from service.scrub import LEASE, Scrubber, ScrubReport
from tests.support.builders import endoscopic_image
from tests.support.house import House, house, image_with_cells

STUDIES, MANY = 20, 1000


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as opened:
        yield opened


def scrubber(home: House) -> Scrubber:
    foundation = home.foundation
    key = foundation.keyring.key(Purpose.CONTENT)
    return Scrubber(foundation.archive, foundation.trail, utc_now, key)


def scrubbed(home: House) -> ScrubReport:
    return scrubber(home).run(bytes_per_s=1e12)


def objects(home: House) -> list[Path]:
    settings = home.foundation.installation.settings
    folder = home.foundation.installation.path(settings.archive.folder) / "objects"
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flip_a_bit(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def state(home: House, dataset: FileDataset) -> tuple[RevisionState, HoldReason | None]:
    archive = home.foundation.archive
    with archive.snapshot() as tx:
        key = archive.catalogue.locate(tx, str(dataset.StudyInstanceUID))
        newest = archive.revisions.newest(tx, key)
    return newest.state, newest.hold_reason


def damaged_number(home: House) -> float:
    for metric in ArchiveNumbers(home.foundation).collect():
        if metric.name == "second_reader_damaged_objects":
            return float(metric.samples[0].value)
    raise AssertionError("there is no such number")


@pytest.mark.slow
def test_a_flipped_bit_in_each_of_a_thousand_objects_is_found_and_none_in_whole_ones(
    tmp_path: Path,
) -> None:
    with house(tmp_path) as home:
        for study in range(STUDIES):
            uid = f"2.25.9{study}"
            for number in range(MANY // STUDIES):
                attributes = {
                    "StudyInstanceUID": uid,
                    "SOPInstanceUID": f"{uid}.{number}",
                    "SeriesInstanceUID": f"{uid}.0",
                    "InstanceNumber": number,
                }
                home.receive(endoscopic_image(None, attributes))
        assert len(objects(home)) == MANY
        clean = scrubbed(home)
        assert (clean.objects, clean.damaged, clean.unreadable) == (MANY, (), ())
        chance = random.Random(17)
        for path in objects(home):
            flip_a_bit(path, chance)
        found = scrubbed(home)
        assert {one.blob_name for one in found.damaged} == {path.name for path in objects(home)}
        assert len(found.damaged) == MANY
        assert damaged_number(home) == MANY
        assert len(scrubbed(home).damaged) == MANY  # known, and not told again
        alerts = [event for event in home.events() if event.kind is EventKind.SECURITY_ALERT]
        assert len(alerts) <= MANY


def test_what_a_whole_run_leaves_is_all_whole(home: House) -> None:
    """Originals, released copies and result objects."""
    home.process(home.take(image_with_cells((1, 1))))
    report = scrubbed(home)
    assert report.is_ok
    assert report.objects == len(objects(home)) == 4


def test_a_damaged_study_is_held_alarmed_and_named_and_nobody_in_it(home: House) -> None:
    image = image_with_cells((1, 1), PatientID="SECRET-ID")
    home.take(image)
    (path,) = objects(home)
    flip_a_bit(path, random.Random(1))
    (found,) = scrubbed(home).damaged
    assert found.kind == "instance"
    assert state(home, image) == (RevisionState.HELD, HoldReason.DAMAGED)
    alerts = [event for event in home.events() if event.kind is EventKind.SECURITY_ALERT]
    assert [found.row_key in alert.outcome_description for alert in alerts] == [True]
    assert "SECRET-ID" not in str(alerts) + str(found)
    assert verified(home.foundation, []).steps[7].faults == ()


def test_a_missing_file_and_one_that_another_took_the_place_of_are_found(home: House) -> None:
    for number in range(3):
        home.receive(image_with_cells((number, 1), StudyInstanceUID=f"2.25.8{number}"))
    one, other, gone = objects(home)
    one.write_bytes(other.read_bytes())
    gone.unlink()
    assert {found.blob_name for found in scrubbed(home).damaged} == {one.name, gone.name}


def test_an_object_that_is_sent_again_is_whole_again(home: House) -> None:
    image = image_with_cells((1, 1))
    home.receive(image)
    (path,) = objects(home)
    flip_a_bit(path, random.Random(2))
    assert not scrubbed(home).is_ok
    home.receive(image)
    report = scrubbed(home)
    assert report.is_ok
    assert damaged_number(home) == 0
    revision = home.close(image)
    archive = home.foundation.archive
    with archive.transaction() as tx:  # a person says that it may go on
        archive.revisions.reschedule(tx, revision, at=utc_now())
    home.process(revision)
    assert state(home, image) == (RevisionState.COMPLETED, None)


def test_a_file_that_was_restored_from_a_backup_is_whole_again(home: House) -> None:
    home.receive(image_with_cells((1, 1)))
    (path,) = objects(home)
    backup = path.read_bytes()
    flip_a_bit(path, random.Random(3))
    assert not scrubbed(home).is_ok
    path.write_bytes(backup)
    assert scrubbed(home).is_ok


def test_a_damaged_released_copy_is_found(home: House) -> None:
    revision = home.take(image_with_cells((1, 1)))
    before = set(objects(home))
    home.release.deidentify(revision)
    (copy,) = set(objects(home)) - before
    flip_a_bit(copy, random.Random(4))
    (found,) = scrubbed(home).damaged
    assert found.kind == "released copy"


def test_content_that_is_not_what_its_row_says_is_found(home: House) -> None:
    """As by somebody who has the keys, and seals another object under the same name."""
    image = image_with_cells((1, 1))
    revision = home.receive(image)
    archive = home.foundation.archive
    with archive.snapshot() as tx:
        (record,) = archive.catalogue.instances(tx, revision)
    content = archive.read_object(revision.study_key, record.blob_name)
    key = archive.keystore.get(revision.study_key).objects
    archive.blobs.delete(record.blob_name)
    forged = archive.blobs.create(key)
    forged.write(content[:-1] + bytes([content[-1] ^ 1]))
    forged.commit()
    with archive.transaction() as tx:
        tx.execute(update(instance).values(blob_name=forged.name))
    (found,) = scrubbed(home).damaged
    assert "digest" in found.reason


def test_a_slow_round_comes_to_every_object_and_goes_on_where_it_stood(home: House) -> None:
    images = [image_with_cells((n, 1), StudyInstanceUID=f"2.25.7{n}") for n in range(6)]
    home.receive(images[0])
    for image in images[1:]:
        home.receive(image)
    flip_a_bit(objects(home)[-1], random.Random(5))
    checked: list[int] = []
    while sum(checked) < 6:
        fresh = scrubber(home)  # as after a restart
        checked.append(fresh.step(days=1, interval_s=86_400 / 3, owner="here"))
    assert checked == [2, 2, 2]
    archive = home.foundation.archive
    with archive.snapshot() as tx:
        assert Damage().count(tx) == 1
    assert scrubber(home).step(days=30, interval_s=60, owner="here") == 0  # the round is over
    assert scrubber(home).step(days=30, interval_s=60, owner="here") == 1  # and the next begins


def test_only_one_process_scrubs(home: House) -> None:
    home.receive(image_with_cells((1, 1)))
    archive = home.foundation.archive
    with archive.transaction() as tx:
        archive.leases.acquire(tx, LEASE, owner="another", now=utc_now(), lifetime_s=60)
    assert scrubber(home).step(days=1, interval_s=60, owner="here") == 0


def test_the_rate_is_bounded(home: House) -> None:
    for number in range(3):
        home.receive(image_with_cells((number, 1), StudyInstanceUID=f"2.25.6{number}"))
    waits: list[float] = []
    report = scrubber(home).run(bytes_per_s=10.0, sleep=waits.append)
    assert waits[-1] > 0.9 * report.size_bytes / 10.0


def test_what_is_damaged_can_still_not_be_read(home: House) -> None:
    revision = home.take(image_with_cells((1, 1)))
    flip_a_bit(objects(home)[0], random.Random(6))
    scrubbed(home)
    archive = home.foundation.archive
    with archive.snapshot() as tx:
        (record,) = archive.catalogue.instances(tx, revision)
    with pytest.raises(CorruptionError):
        archive.read_object(revision.study_key, record.blob_name)
