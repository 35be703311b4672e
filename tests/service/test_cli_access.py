"""Every command: its help, its example, its exit codes, and the audit event that it leaves."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from archive.callers import CallerName, Refusals
from audit.vocabulary import EventKind
from dicom_node.ports import RefusalReason
from service.cli import build
from service.cli.access import ACCESS
from tests.support.builders import part10
from tests.support.commands import second_reader
from tests.support.house import House, house, image_with_cells


def commands() -> dict[str, Any]:
    """Return every command by its words."""
    return dict(_below(typer.main.get_command(build()), ()))


def _below(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield " ".join(words), command
        return
    for name, child in command.commands.items():
        yield from _below(child, (*words, name))


ALL = sorted(commands())


def test_every_command_names_its_audit_event_or_why_it_has_none() -> None:
    assert set(ACCESS) == set(ALL)
    for name, access in ACCESS.items():
        assert bool(access.events) != bool(access.exempt_because), name


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_help_with_an_example(name: str) -> None:
    command = commands()[name]
    assert command.help
    assert f"second-reader {name}" in command.epilog
    assert second_reader(*name.split(), "--help").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["study", "nothing"],
        ["study", "list", "--state", "NONE"],
        ["study", "show"],
        ["audit", "search", "--from", "yesterday"],
        ["audit", "search", "--event", "1"],
        ["apikey", "add", "x", "--scope", "everything"],
        ["echo", "nowhere", "--called", "A"],
        ["detect", "x.png", "--confidence", "2"],
        ["--nothing"],
    ],
)
def test_wrong_use_exits_with_2_and_says_how_it_is_used(arguments: list[str]) -> None:
    ran = second_reader(*arguments)
    assert ran.code == 2
    assert "Usage:" in ran.err
    assert not ran.out


def test_a_missing_installation_is_named_with_its_remedy(tmp_path: Path) -> None:
    ran = second_reader("study", "list", "--config", tmp_path / "config.yaml")
    assert ran.code == 1
    assert str(tmp_path / "config.yaml") in ran.err
    assert "second-reader init" in ran.err


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from service.cli import run; run(['--help']); "
        "sys.exit(any(name in sys.modules for name in ('pydicom', 'numpy', 'pydantic', 'core')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_the_version_is_printed() -> None:
    assert second_reader("--version").out.startswith("second-reader ")


def test_a_defect_is_told_without_the_text_of_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Path) -> None:
        raise ValueError("Example^Ada")

    monkeypatch.setattr("service.settings.load_settings", broken)
    ran = second_reader("config", "check", "--config", tmp_path / "config.yaml")
    assert ran.code == 1
    assert "ValueError" in ran.err
    assert "Example^Ada" not in ran.err


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    peer = {"name": "scanner", "ae_title": "SCANNER", "addresses": ["192.0.2.1"]}
    folder = tmp_path_factory.mktemp("house")
    with house(folder, sections={"dicom_node": {"peers": [peer]}}) as opened:
        yield opened


SCENARIOS: dict[str, list[str]] = {
    "doctor": ["doctor"],
    "send": ["send", "{dicom}", "--to", "127.0.0.1:1", "--called", "PACS"],
    "deidentify": ["deidentify", "{dicom}", "{new}"],
    "detect": ["detect", "{picture}"],
    "study list": ["study", "list"],
    "study show": ["study", "show", "{uid}"],
    "study retry": ["study", "retry", "{uid}", "--again"],
    "study cancel": ["study", "cancel", "{waiting}"],
    "archive scrub": ["archive", "scrub"],
    "audit read": ["audit", "read"],
    "audit search": ["audit", "search", "--patient", "PID-0001"],
    "audit verify": ["audit", "verify"],
    "audit prove": ["audit", "prove", "{event}"],
    "audit export": ["audit", "export", "{new}.zip"],
    "peer list": ["peer", "list"],
    "peer unknown": ["peer", "unknown"],
    "peer allow": ["peer", "allow", "{caller}", "--name", "ct"],
    "peer remove": ["peer", "remove", "scanner"],
    "peer forget": ["peer", "forget", "{caller}"],
    "key status": ["key", "status"],
    "apikey add": ["apikey", "add", "emr", "--scope", "detect"],
    "apikey list": ["apikey", "list"],
    "apikey revoke": ["apikey", "revoke", "{prefix}"],
}
ELSEWHERE = {
    "audit begin": "tests/service/test_cli_audit.py, for it wants a log that is lost",
    "init": "tests/service/test_cli_setup.py",
    "serve": "its roles, in tests/system",
}


def test_every_command_with_an_event_has_a_scenario() -> None:
    assert {name for name, access in ACCESS.items() if access.events} == set(SCENARIOS) | set(
        ELSEWHERE
    )


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_command_leaves_the_event_that_it_names(home: House, tmp_path: Path, name: str) -> None:
    config = home.foundation.installation.config_file
    words = prepared(home, tmp_path)
    before = {event["event_id"] for event in logged(config)}
    arguments = [argument.format(**words) for argument in SCENARIOS[name]]
    ran = second_reader(*arguments, "--config", config)
    assert ran.code in {0, 1}, ran.err
    mine = [
        event
        for event in logged(config)
        if event["event_id"] not in before and event["details"].get("Command") == name
    ]
    kinds = {event["event"] for event in mine}
    assert kinds
    assert kinds <= {kind.value for kind in ACCESS[name].events}
    assert kinds != {EventKind.QUERY.value} or name == "study list"


def prepared(home: House, folder: Path) -> dict[str, str]:
    """Return what the scenarios work on."""
    config = home.foundation.installation.config_file
    image, waiting = image_with_cells((1, 1)), image_with_cells((1, 1))
    home.process(home.take(image))
    home.take(waiting)
    (folder / "image.dcm").write_bytes(part10(image))
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(folder / "picture.png")
    added = second_reader("apikey", "add", "x", "--scope", "detect", "--json", "--config", config)
    return {
        "dicom": str(folder / "image.dcm"),
        "picture": str(folder / "picture.png"),
        "new": str(folder / "new"),
        "uid": str(image.StudyInstanceUID),
        "waiting": str(waiting.StudyInstanceUID),
        "event": logged(config)[0]["event_id"],
        "prefix": added.data["prefix"],
        "caller": refused_caller(home),
    }


def refused_caller(home: House) -> str:
    """Let somebody be refused; return the id by which he is listed."""
    callers, now = home.foundation.archive.callers, home.foundation.clock()
    reason = RefusalReason.UNKNOWN_CALLING_AE_TITLE.value
    caller = CallerName("192.0.2.7", "CT", "SECOND_READER")
    with home.foundation.archive.transaction() as tx:
        callers.refused(tx, [Refusals(caller, "", reason, "", now, now, 1)])
        return callers.all_refused(tx)[0].caller_id


def logged(config: Path) -> list[dict[str, Any]]:
    """Return the whole audit log."""
    ran = second_reader("audit", "read", "--limit", "10000", "--json", "--config", config)
    found: list[dict[str, Any]] = ran.data
    return found
