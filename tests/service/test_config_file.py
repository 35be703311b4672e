"""config.yaml is replaced whole, with owner and mode, or not at all."""

import errno
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from service.config_file import digest_of, editing
from tests.support.archives import FailingDisk


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"api: {}\r\n")
    file.chmod(0o640)
    return file


def change(config: Path, disk: FailingDisk | None = None) -> None:
    with editing(config, disk) as draft:
        draft.prepare("keys: {}\n")
        draft.put()


def left(config: Path) -> list[str]:
    return [file.name for file in config.parent.iterdir()]


def test_a_new_content_takes_the_place_of_the_old_with_its_mode(config: Path) -> None:
    with editing(config) as draft:
        assert draft.text == "api: {}\r\n"
        digest = draft.prepare("keys: {}\r\n")
        assert config.read_bytes() == b"api: {}\r\n"
        draft.put()
    assert config.read_bytes() == b"keys: {}\r\n"
    assert digest == digest_of(b"keys: {}\r\n")
    assert config.stat().st_mode & 0o7777 == 0o640
    assert left(config) == ["config.yaml"]


def test_it_is_synced_before_it_is_renamed_and_the_folder_after(config: Path) -> None:
    disk = FailingDisk()
    with editing(config, disk) as draft:
        draft.prepare("keys: {}\n")
        draft.put()
    assert [call for call, _ in disk.calls] == [
        "create",
        "write",
        "fsync",
        "rename",
        "fsync_folder",
    ]


@pytest.mark.parametrize("call", ["create", "write", "fsync", "rename"])
def test_a_disk_that_fails_leaves_the_old_content_and_nothing_else(config: Path, call: str) -> None:
    disk = FailingDisk()
    disk.fail(call, errno.ENOSPC)
    with pytest.raises(ConfigurationError, match=r"written anew|replaced"):
        change(config, disk)
    assert config.read_bytes() == b"api: {}\r\n"
    assert left(config) == ["config.yaml"]


def test_what_is_not_put_leaves_nothing(config: Path) -> None:
    with editing(config) as draft:
        draft.prepare("keys: {}\n")
    assert left(config) == ["config.yaml"]


def test_a_file_that_somebody_else_changed_meanwhile_is_left_to_him(config: Path) -> None:
    with editing(config) as draft:
        draft.prepare("keys: {}\n")
        config.write_text("audit: {}\n")
        with pytest.raises(ConfigurationError, match="somebody else"):
            draft.put()
    assert config.read_text() == "audit: {}\n"


def test_two_commands_do_not_edit_at_once(config: Path) -> None:
    with editing(config), pytest.raises(ConfigurationError, match="another command"):
        change(config)
    change(config)


def test_a_link_stays_and_what_it_leads_to_is_replaced(config: Path, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    link = tmp_path / "etc" / "config.yaml"
    link.symlink_to(config)
    with editing(link) as draft:
        draft.prepare("keys: {}\n")
        draft.put()
    assert link.is_symlink()
    assert config.read_text() == "keys: {}\n"
