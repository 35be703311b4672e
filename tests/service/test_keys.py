"""Keys of an installation: made once, opened again, refused when something is off."""

from pathlib import Path

import pytest

from core.errors import ConfigurationError
from service.keys import KEY_FILE, PURPOSES_FILE, Purpose, create_keys, key_faults, load_keys


def test_keys_open_again_as_they_were_made(tmp_path: Path) -> None:
    create_keys(tmp_path / "keys")
    first, second = load_keys(tmp_path / "keys"), load_keys(tmp_path / "keys")
    assert first.versions == second.versions


def test_no_two_purposes_share_a_key(tmp_path: Path) -> None:
    create_keys(tmp_path)
    keyring = load_keys(tmp_path)
    assert len({keyring.key(purpose) for purpose in Purpose}) == len(Purpose)


def test_keys_are_never_replaced(tmp_path: Path) -> None:
    create_keys(tmp_path)
    with pytest.raises(ConfigurationError, match="already holds keys"):
        create_keys(tmp_path)


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    create_keys(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    assert key_faults(tmp_path)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_keys(tmp_path)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=KEY_FILE):
        load_keys(tmp_path)


def test_keys_of_another_installation_do_not_open(tmp_path: Path) -> None:
    create_keys(tmp_path / "a")
    create_keys(tmp_path / "b")
    (tmp_path / "b" / PURPOSES_FILE).replace(tmp_path / "a" / PURPOSES_FILE)
    with pytest.raises(ConfigurationError, match="does not open"):
        load_keys(tmp_path / "a")


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"1": 3}', b'{"1": {"index": "!"}}'])
def test_a_damaged_purposes_file_is_refused(tmp_path: Path, content: bytes) -> None:
    create_keys(tmp_path)
    (tmp_path / PURPOSES_FILE).write_bytes(content)
    with pytest.raises(ConfigurationError, match=PURPOSES_FILE):
        load_keys(tmp_path)


def test_a_keyring_does_not_show_its_keys(tmp_path: Path) -> None:
    create_keys(tmp_path)
    keyring = load_keys(tmp_path)
    assert not any(repr(key) in repr(keyring) for key in keyring.versions[1].values())
