"""`key` and `apikey`: shown once, listed by prefix, taken back at once."""

from datetime import timedelta
from pathlib import Path

import pytest

from archive.errors import ExpiredApiKeyError, RevokedApiKeyError
from core.clock import utc_now
from service.foundation import opened
from service.settings import load_settings
from tests.support.commands import second_reader


@pytest.fixture
def config(tmp_path: Path) -> Path:
    second_reader("init", tmp_path / "site")
    return tmp_path / "site" / "config.yaml"


def test_a_key_opens_until_it_is_revoked(config: Path) -> None:
    added = second_reader(
        "apikey", "add", "emr", "--scope", "results:read", "--json", "--config", config
    ).data
    with opened(load_settings(config), "cli") as foundation:
        archive = foundation.archive
        with archive.snapshot() as tx:
            found = archive.accounts.authenticate(tx, added["api_key"], at=utc_now())
        assert found.scopes == {"results:read"}
        assert second_reader("apikey", "revoke", added["prefix"], "--config", config).code == 0
        with archive.snapshot() as tx, pytest.raises(RevokedApiKeyError):
            archive.accounts.authenticate(tx, added["api_key"], at=utc_now())


def test_a_key_ends_when_it_was_told_to(config: Path) -> None:
    added = second_reader(
        "apikey", "add", "x", "--scope", "detect", "--expires", "1", "--json", "--config", config
    ).data
    with opened(load_settings(config), "cli") as foundation:
        archive = foundation.archive
        late = utc_now() + timedelta(days=2)
        with archive.snapshot() as tx, pytest.raises(ExpiredApiKeyError):
            archive.accounts.authenticate(tx, added["api_key"], at=late)


def test_a_list_never_shows_a_key(config: Path) -> None:
    added = second_reader(
        "apikey", "add", "emr", "--scope", "detect", "--json", "--config", config
    ).data
    for arguments in (["--json"], []):
        ran = second_reader("apikey", "list", *arguments, "--config", config)
        assert added["prefix"] in ran.out
        assert added["api_key"] not in ran.out


def test_a_prefix_that_nobody_has_is_named(config: Path) -> None:
    ran = second_reader("apikey", "revoke", "nobody", "--config", config)
    assert ran.code == 1
    assert "nobody" in ran.err
    assert "apikey list" in ran.err


def test_the_state_of_the_keys_is_told_and_nothing_of_what_they_hold(config: Path) -> None:
    ran = second_reader("key", "status", "--json", "--config", config)
    assert ran.code == 0
    assert ran.data["version"] == 1
    assert "pseudonym" in ran.data["purposes"]
    assert {entry["mode"] for entry in ran.data["files"]} == {"0600"}
    secret = (config.parent / "keys" / "kek.key").read_text().strip()
    assert secret not in ran.out
    assert "Back up" in second_reader("key", "status", "--config", config).out


def test_a_wrong_key_is_named_with_the_remedy(config: Path, tmp_path: Path) -> None:
    second_reader("init", tmp_path / "other")
    for name in ("kek.key", "purposes.json"):
        (tmp_path / "other" / "keys" / name).replace(config.parent / "keys" / name)
    ran = second_reader("key", "status", "--config", config)
    assert ran.code == 1
    assert "do not belong to this archive" in ran.err


def test_a_key_file_that_others_can_read_is_refused(config: Path) -> None:
    (config.parent / "keys" / "kek.key").chmod(0o644)
    ran = second_reader("key", "status", "--config", config)
    assert ran.code == 1
    assert "chmod 600" in ran.err
