"""`init`: whole, once, or not at all."""

import re
import stat
from pathlib import Path

import pytest
import yaml

from api.events import Scope
from core.errors import ConfigurationError
from service.cli.setup import CONFIG, install
from service.keys import load_keys
from service.settings import Settings, parse_settings
from tests.support.commands import second_reader


def test_a_new_installation_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    ran = second_reader("init", folder, "--json")
    assert ran.code == 0, ran.err
    assert ran.data["api_key"].startswith("sr_")
    config = folder / "config.yaml"
    assert second_reader("config", "check", "--config", config).code == 0
    keys = second_reader("apikey", "list", "--json", "--config", config).data
    assert [key["scopes"] for key in keys] == [sorted(Scope)]
    assert load_keys(folder / "keys")
    assert second_reader("audit", "verify", "--config", config).code == 0


def test_the_key_is_shown_to_people_with_how_to_back_the_keys_up(tmp_path: Path) -> None:
    ran = second_reader("init", tmp_path / "new")
    assert re.search(r"sr_[a-z2-7]{8}_[a-z2-7]{32}", ran.out)
    assert "Back up" in ran.out
    assert ran.out.count("sr_") == 1


def test_making_an_installation_is_recorded(tmp_path: Path) -> None:
    second_reader("init", tmp_path / "new")
    config = tmp_path / "new" / "config.yaml"
    events = second_reader("audit", "read", "--json", "--config", config).data
    assert [event["type"] for event in events][:2] == [
        "Security Configuration",
        "User Security Attributes Changed",
    ]


def test_the_secrets_are_for_their_owner_alone(tmp_path: Path) -> None:
    second_reader("init", tmp_path / "new")
    for path in (tmp_path / "new" / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("present", ["config.yaml", "keys", "data", "keystore", "audit"])
def test_an_installation_that_is_there_is_never_touched(tmp_path: Path, present: str) -> None:
    (tmp_path / present).mkdir()
    ran = second_reader("init", tmp_path)
    assert ran.code == 1
    assert present in ran.err
    assert [path.name for path in tmp_path.iterdir()] == [present]


def test_what_fails_halfway_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    with pytest.raises(FileExistsError):
        install(folder, "archive: {folder: config.yaml/data}\n")
    assert not folder.exists()


def test_a_wrong_configuration_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="unknown key"):
        install(tmp_path / "new", "nothing: {}\n")
    assert not (tmp_path / "new").exists()


def test_the_new_config_changes_no_default() -> None:
    assert parse_settings(CONFIG, Path("config.yaml")) == Settings()


def test_what_the_new_config_shows_as_comments_is_right() -> None:
    text = CONFIG.replace("  destinations: []\n", "").replace("  checkpoint_files: []\n", "")
    uncommented = re.sub(
        r"^  # ( *(?:- |[a-z_]+: ?|peers:|destinations:))", r"  \1", text, flags=re.M
    )
    settings = parse_settings(uncommented, Path("config.yaml"))
    assert settings.dicom_node.peers[0].name == "endoscopy-1"
    assert settings.delivery.destinations[0].name == "pacs"
    assert settings.audit.checkpoint_files
    assert yaml.safe_load(uncommented)
