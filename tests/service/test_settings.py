"""config.yaml: every default explained, and every fault named with its line and remedy."""

from pathlib import Path

import pytest

from core.errors import ConfigurationError
from service.reference import entries, example_config
from service.settings import Settings, load_settings, parse_settings

ROOT = Path(__file__).resolve().parents[2]
FILE = Path("config.yaml")


def refused(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parse_settings(text, FILE)
    return str(caught.value)


def test_an_empty_file_means_all_defaults() -> None:
    assert parse_settings("", FILE) == Settings()


def test_the_shipped_config_is_what_the_settings_say() -> None:
    """Made by `second-reader config schema --yaml > config.yaml`."""
    assert (ROOT / "config.yaml").read_text(encoding="utf-8") == example_config()


def test_the_shipped_config_holds_the_defaults() -> None:
    assert load_settings(ROOT / "config.yaml").settings == Settings()


def test_every_key_has_its_reason() -> None:
    assert not [entry.path for entry in entries() if not entry.reason]


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_one() -> None:
    message = refused("delivery:\n  destinations: []\n  atempts: 3\n")
    assert "config.yaml:3: unknown key delivery.atempts (did you mean attempts?)" in message


def test_an_unknown_section_is_named() -> None:
    assert "config.yaml:1: unknown key dicomnode (did you mean dicom_node?)" in refused(
        "dicomnode: {}"
    )


def test_an_unknown_key_in_a_list_is_named() -> None:
    text = "dicom_node:\n  peers:\n    - name: a\n      ae_title: A\n      adresses: []\n"
    assert "config.yaml:5: unknown key dicom_node.peers.0.adresses" in refused(text)


def test_all_faults_are_named_at_once() -> None:
    message = refused("api:\n  port: 99999\ndicom_node:\n  port: -1\n")
    assert "config.yaml:2: api.port" in message
    assert "config.yaml:4: dicom_node.port" in message


def test_what_is_no_yaml_is_named_with_its_line() -> None:
    assert "config.yaml:2" in refused("api:\n\t- [")


@pytest.mark.parametrize("text", ["[1, 2]", "just a text"])
def test_a_file_without_sections_is_refused(text: str) -> None:
    assert "sections" in refused(text)


def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="second-reader init"):
        load_settings(tmp_path / "config.yaml")


def test_a_refusal_never_quotes_a_value() -> None:
    """A secret that was put into the file by mistake must not reach a log."""
    assert "hunter2" not in refused("api:\n  port: hunter2\n  passwort: hunter2\n")


def test_a_key_that_is_given_twice_is_named_with_both_lines() -> None:
    message = refused("api:\n  port: 1\n  host: x\n  port: 2\napi:\n  port: 3\n")
    assert "config.yaml:4: key port is given twice, first on line 2" in message
    assert "config.yaml:5: key api is given twice, first on line 1" in message


def test_a_key_that_is_given_twice_within_a_list_is_named() -> None:
    text = "delivery:\n  destinations:\n    - name: a\n      port: 1\n      name: b\n"
    assert "config.yaml:5: key name is given twice, first on line 3" in refused(text)


@pytest.mark.parametrize("text", ["[" * 5000, "{a: " * 5000, "- " * 5000, "a:\n" + " [" * 900])
def test_brackets_without_end_are_refused_with_their_line(text: str) -> None:
    assert "nested more than 32 levels deep" in refused(text)


def test_a_few_lines_that_stand_for_millions_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "stands for more than 100000 values" in refused("\n".join(lines))


def test_a_list_that_holds_itself_is_refused() -> None:
    assert "stands for more than" in refused("api: &a [*a]\n")


def test_an_anchor_that_is_used_twice_is_no_fault() -> None:
    text = "completeness: {quiet_time_s: &s 7.0}\ndelivery: {timeout_s: *s}\n"
    settings = parse_settings(text, FILE)
    assert (settings.completeness.quiet_time_s, settings.delivery.timeout_s) == (7.0, 7.0)


def test_a_file_that_is_no_settings_at_all_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigurationError, match="larger than"):
        load_settings(file)
    with pytest.raises(ConfigurationError, match="larger than"):
        load_settings(Path("/dev/zero"))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"api:\n  host: \xff\xfe\n")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load_settings(file)


@pytest.mark.parametrize(
    "value", ["2026-99-99", "!!float x", "9" * 5000, "!!timestamp x", "!!bool x"]
)
def test_a_date_or_number_that_is_none_is_refused(value: str) -> None:
    assert "none of its kind" in refused(f"api:\n  host: {value}\n")
