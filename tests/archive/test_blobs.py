"""Sealed object files."""

import errno
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.blobs import BlobStore
from archive.errors import DiskError, DiskFullError, MissingObjectError
from core.errors import SealError
from tests.support.archives import FailingDisk

KEY = b"o" * 32
STEPS = ("create", "write", "fsync", "rename", "fsync_folder")


@pytest.fixture
def store(tmp_path: Path, disk: FailingDisk) -> BlobStore:
    made = BlobStore(tmp_path / "objects", disk=disk)
    disk.calls.clear()
    return made


def _files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]


@given(pieces=st.lists(st.binary(max_size=4096), max_size=8))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_written_in_any_pieces_is_read_back(store: BlobStore, pieces: list[bytes]) -> None:
    writer = store.create(KEY)
    for piece in pieces:
        writer.write(piece)
    writer.commit()
    assert store.read(writer.name, KEY) == b"".join(pieces)
    assert writer.size_bytes == len(b"".join(pieces))


def test_a_long_object_is_written_while_it_arrives(store: BlobStore, disk: FailingDisk) -> None:
    writer = store.create(KEY)
    for _ in range(64):
        writer.write(bytes(64 * 1024))
    assert [call for call, _ in disk.calls].count("write") >= 12
    writer.commit()
    assert store.read(writer.name, KEY) == bytes(64 * 64 * 1024)


def test_file_is_synced_before_it_is_named_and_its_folder_after(
    store: BlobStore, disk: FailingDisk
) -> None:
    store.put(KEY, b"pixels")
    assert [call for call, _ in disk.calls] == [
        "create",
        "write",
        "fsync",
        "rename",
        "fsync_folder",
    ]


def test_nothing_of_the_plaintext_is_on_the_disk(store: BlobStore, tmp_path: Path) -> None:
    store.put(KEY, b"Example^Ada" * 1000)
    assert all(b"Example" not in path.read_bytes() for path in _files(tmp_path))


def test_only_we_may_read_the_files(store: BlobStore, tmp_path: Path) -> None:
    store.put(KEY, b"pixels")
    (path,) = _files(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("code", "leaf"),
    [(errno.ENOSPC, DiskFullError), (errno.EDQUOT, DiskFullError), (errno.EIO, DiskError)],
)
def test_a_fault_of_the_disk_has_our_name(
    store: BlobStore, disk: FailingDisk, step: str, code: int, leaf: type[Exception]
) -> None:
    disk.fail(step, code)
    with pytest.raises(leaf):
        store.put(KEY, b"pixels")


@pytest.mark.parametrize("step", ["write", "fsync"])
def test_an_object_that_failed_leaves_no_file(
    store: BlobStore, disk: FailingDisk, step: str, tmp_path: Path
) -> None:
    disk.fail(step, errno.ENOSPC)
    with pytest.raises(DiskFullError):
        store.put(KEY, b"pixels")
    assert _files(tmp_path) == []


def test_a_file_whose_sync_failed_is_never_synced_again(
    store: BlobStore, disk: FailingDisk
) -> None:
    writer = store.create(KEY)
    writer.write(b"pixels")
    disk.fail("fsync")
    with pytest.raises(DiskError):
        writer.commit()
    disk.fail("")
    with pytest.raises(DiskError):
        writer.commit()
    assert [call for call, _ in disk.calls].count("fsync") == 1


def test_a_discarded_object_leaves_no_file(store: BlobStore, tmp_path: Path) -> None:
    writer = store.create(KEY)
    writer.write(bytes(10**6))
    writer.discard()
    assert _files(tmp_path) == []


@pytest.mark.parametrize("place", [0, 10, 50, 110, -1])
def test_a_flipped_byte_is_found(store: BlobStore, tmp_path: Path, place: int) -> None:
    writer = store.put(KEY, b"pixels" * 100)
    (path,) = _files(tmp_path)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(SealError):
        store.read(writer.name, KEY)


def test_two_swapped_files_are_found(store: BlobStore, tmp_path: Path) -> None:
    one, other = store.put(KEY, b"one"), store.put(KEY, b"two")
    paths = {path.name: path for path in _files(tmp_path)}
    first, second = paths[one.name].read_bytes(), paths[other.name].read_bytes()
    paths[one.name].write_bytes(second)
    paths[other.name].write_bytes(first)
    with pytest.raises(SealError):
        store.read(one.name, KEY)


def test_a_missing_file_is_corruption(store: BlobStore) -> None:
    writer = store.put(KEY, b"pixels")
    store.delete(writer.name)
    store.delete(writer.name)
    with pytest.raises(MissingObjectError):
        store.read(writer.name, KEY)


@pytest.mark.parametrize("is_left", [False, True])
def test_no_file_counts_as_missing_while_the_whole_folder_is_gone(
    store: BlobStore, tmp_path: Path, is_left: bool
) -> None:
    """A disk that is not mounted says nothing of what is on it: nothing is held back for that."""
    writer = store.put(KEY, b"pixels")
    (tmp_path / "objects").rename(tmp_path / "elsewhere")
    if is_left:  # an empty mount point
        (tmp_path / "objects").mkdir()
    with pytest.raises(DiskError, match="ENOENT"):
        store.read(writer.name, KEY)
