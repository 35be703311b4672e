"""Files and rows in agreement."""

import time
from pathlib import Path

from archive.archive import Archive
from tests.support.archives import new_instance, stored

STUDY_UID = "2.25.1000"


def _files(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "data" / "objects").rglob("*") if path.is_file()}


def test_what_a_row_names_stays(archive: Archive, tmp_path: Path) -> None:
    stored(archive, 1, 2)
    before = _files(tmp_path)
    report = archive.upkeep.sweep(now=time.time() + 10**6, grace_s=60)
    assert (report.files, report.orphans_removed, report.missing) == (2, 0, ())
    assert _files(tmp_path) == before


def test_a_file_without_a_row_is_removed_after_the_grace_time(
    archive: Archive, tmp_path: Path
) -> None:
    new_instance(archive)  # durable, but its row was never written
    study_key = archive.index.study_key(STUDY_UID)
    unfinished = archive.new_object(study_key)
    young = archive.upkeep.sweep(now=time.time() + 10, grace_s=60)
    assert (young.orphans_removed, young.partials_removed, len(_files(tmp_path))) == (0, 0, 2)
    old = archive.upkeep.sweep(now=time.time() + 100, grace_s=60)
    assert (old.orphans_removed, old.partials_removed) == (1, 1)
    assert _files(tmp_path) == set()
    unfinished.discard()


def test_a_row_without_a_file_is_reported(archive: Archive) -> None:
    new = new_instance(archive)
    with archive.transaction() as tx:
        key = archive.studies.add(tx, new).revision
    archive.blobs.delete(new.blob_name)
    (missing,) = archive.upkeep.sweep(now=time.time(), grace_s=60).missing
    assert (missing.study_key, missing.blob_name) == (key.study_key, new.blob_name)


def test_progress_is_told_for_each_folder(archive: Archive) -> None:
    told: list[int] = []
    archive.upkeep.sweep(now=time.time(), grace_s=60, progress=told.append)
    assert told == list(range(1, 257))


def test_what_a_process_left_in_the_keystore_is_removed(archive: Archive, tmp_path: Path) -> None:
    key = stored(archive, 1)
    leftover = tmp_path / "keystore" / key.study_key[:2] / f"{key.study_key}.0123.part"
    leftover.write_bytes(b"half a key")
    report = archive.upkeep.sweep(now=time.time() + 100, grace_s=60)
    assert (report.partials_removed, leftover.exists()) == (1, False)
    assert archive.keystore.get(key.study_key)
