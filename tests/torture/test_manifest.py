"""The table of the long suites."""

import pytest

from tests.torture.manifest import SUITES, diary_file, size


def test_every_suite_is_small_in_the_gate_and_large_in_a_long_run() -> None:
    assert all(0 < suite.gate <= suite.long for suite in SUITES.values())


def test_the_environment_says_how_large_a_suite_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECOND_READER_POWER_LOSS_TRIALS", "50")
    assert size("power-loss") == 50
    monkeypatch.delenv("SECOND_READER_POWER_LOSS_TRIALS")
    assert size("power-loss") == SUITES["power-loss"].gate


def test_a_long_run_says_its_size_and_where_its_trials_are_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SECOND_READER_TORTURE_STATE", raising=False)
    environment = SUITES["kill"].environment(60)
    assert environment["SECOND_READER_KILL_TRIALS"] == "60"
    assert environment["SECOND_READER_TORTURE_STATE"].endswith(".torture")
    assert diary_file("kill") is None
    assert SUITES["parse"].command(7)[3:5] == ["--runs", "7"]


def test_what_a_suite_runs_exists_or_is_left_out() -> None:
    assert SUITES["kill"].is_here
    assert SUITES["failpoints"].is_here
