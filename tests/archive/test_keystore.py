"""Study keys."""

import errno
import multiprocessing
from pathlib import Path

import pytest

from archive.disk import Disk
from archive.errors import DiskError, DiskFullError
from archive.keystore import Keystore
from core.errors import ForgottenError, SealError
from core.model import StudyKey
from tests.support.archives import FailingDisk, PlainWrapper

STUDY = StudyKey("abcdefghijklmnopqrstuvwxyz")


def _keystore(folder: Path, disk: Disk | None = None, keys_in_memory: int = 16) -> Keystore:
    return Keystore(folder, PlainWrapper(), disk=disk or Disk(), keys_in_memory=keys_in_memory)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_study_has_one_key_for_ever(tmp_path: Path) -> None:
    made = _keystore(tmp_path).obtain(STUDY)
    again = _keystore(tmp_path)
    assert again.get(STUDY) == again.obtain(STUDY) == made


def test_studies_and_purposes_have_different_keys(tmp_path: Path) -> None:
    keystore = _keystore(tmp_path)
    one, other = keystore.obtain(STUDY), keystore.obtain(StudyKey("b" * 26))
    keys = {one.records, one.objects, one.identities, other.records, other.objects}
    assert len(keys) == 5


def test_key_files_are_ours_alone_and_hold_no_plain_key(tmp_path: Path) -> None:
    _keystore(tmp_path).obtain(STUDY)
    (path,) = _files(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_no_secret_shows_in_a_log(tmp_path: Path) -> None:
    secrets = _keystore(tmp_path).obtain(STUDY)
    assert secrets.records.hex() not in repr(secrets)
    assert repr(secrets) == "StudySecrets()"


def test_a_forgotten_study_stays_forgotten_for_everybody(tmp_path: Path) -> None:
    one, other = _keystore(tmp_path), _keystore(tmp_path)
    one.obtain(STUDY)
    other.obtain(STUDY)  # and keeps it in memory
    one.forget(STUDY)
    one.forget(STUDY)
    for keystore in (one, other, _keystore(tmp_path)):
        with pytest.raises(ForgottenError):
            keystore.get(STUDY)
        with pytest.raises(ForgottenError):
            keystore.obtain(STUDY)
    assert [path.suffix for path in _files(tmp_path)] == [".forgotten"]


def test_a_study_without_a_key_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ForgottenError):
        _keystore(tmp_path).get(STUDY)


def test_a_key_file_of_another_study_is_refused(tmp_path: Path) -> None:
    other = StudyKey("abzzzzzzzzzzzzzzzzzzzzzzzz")
    keystore = _keystore(tmp_path)
    keystore.obtain(STUDY)
    (path,) = _files(tmp_path)
    path.rename(path.with_name(f"{other}.key"))
    with pytest.raises(SealError):
        keystore.get(other)


def test_a_damaged_key_file_is_refused(tmp_path: Path) -> None:
    _keystore(tmp_path).obtain(STUDY)
    (path,) = _files(tmp_path)
    path.write_bytes(path.read_bytes()[:7])
    with pytest.raises(SealError):
        _keystore(tmp_path).get(STUDY)


@pytest.mark.parametrize("step", ["create", "write", "fsync", "link", "fsync_folder"])
@pytest.mark.parametrize(("code", "leaf"), [(errno.ENOSPC, DiskFullError), (errno.EIO, DiskError)])
def test_no_key_is_given_out_that_may_be_lost(
    tmp_path: Path, step: str, code: int, leaf: type[Exception]
) -> None:
    disk = FailingDisk()
    keystore = _keystore(tmp_path / "keys", disk)
    disk.fail(step, code)
    with pytest.raises(leaf):
        keystore.obtain(STUDY)
    disk.fail("")
    assert keystore.obtain(STUDY) == _keystore(tmp_path / "keys").get(STUDY)


def test_a_key_that_another_process_made_is_synced_before_it_is_used(tmp_path: Path) -> None:
    _keystore(tmp_path).obtain(STUDY)
    disk = FailingDisk()
    keystore = _keystore(tmp_path, disk)
    disk.calls.clear()
    keystore.obtain(STUDY)
    assert ("fsync_folder", tmp_path / STUDY[:2]) in disk.calls


def test_memory_is_bounded(tmp_path: Path) -> None:
    keystore = _keystore(tmp_path, keys_in_memory=16)
    keys = [StudyKey(f"{number:026d}") for number in range(40)]
    made = {key: keystore.obtain(key) for key in keys}
    assert len(keystore._cache) == 16
    assert {key: keystore.get(key) for key in keys} == made


def _obtain_all(folder: str, barrier: "multiprocessing.synchronize.Barrier") -> list[bytes]:
    keystore = _keystore(Path(folder))
    barrier.wait(30)
    return [keystore.obtain(StudyKey(f"{number:026d}")).records for number in range(40)]


def _racer(folder: str, barrier: object, results: object) -> None:
    results.put(_obtain_all(folder, barrier))  # type: ignore[attr-defined, arg-type]


def test_processes_that_race_for_a_key_end_with_the_same(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    racers = [
        context.Process(target=_racer, args=(str(tmp_path), barrier, results)) for _ in range(3)
    ]
    for racer in racers:
        racer.start()
    answers = [results.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join(30)
    assert answers[0] == answers[1] == answers[2]
    assert len(_files(tmp_path)) == 40


@pytest.mark.parametrize("is_left", [False, True])
def test_no_key_is_made_where_the_folder_of_keys_is_gone(tmp_path: Path, is_left: bool) -> None:
    """A disk that is not mounted holds the old key; another would seal what that cannot open."""
    keystore = _keystore(tmp_path / "keys", keys_in_memory=1)
    made = keystore.obtain(STUDY)
    cached = StudyKey("b" * 26)
    keystore.obtain(cached)
    (tmp_path / "keys").rename(tmp_path / "elsewhere")
    if is_left:  # an empty mount point
        (tmp_path / "keys").mkdir()
    for ask in (keystore.obtain, keystore.get):
        for study in (STUDY, cached):
            with pytest.raises(DiskError, match="ENOENT"):
                ask(study)
    assert not _files(tmp_path / "keys")
    if is_left:
        (tmp_path / "keys").rmdir()
    (tmp_path / "elsewhere").rename(tmp_path / "keys")
    assert keystore.obtain(STUDY) == made
