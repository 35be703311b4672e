"""`python -m audit`: an auditor's own verification of a copy, with the key that he kept."""

import sys
from pathlib import Path

import pytest

from audit.__main__ import main
from audit.checkpoint import public_key_pem
from tests.audit.builders import OTHER_KEY, PUBLIC_KEY, Installation, signer


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    (tmp_path / "kept.pem").write_bytes(public_key_pem(PUBLIC_KEY))
    return Installation(tmp_path).fill(20)


class Auditor:
    """Types the command and reads what it says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def verifies(self, site: Installation, *more: str) -> tuple[int, str]:
        key = str(site.root / "kept.pem")
        argv = ["audit", str(site.folder), "--public-key", key, *more]
        self._monkeypatch.setattr(sys, "argv", argv)
        code = main()
        said = self._capsys.readouterr()
        return code, said.out + said.err


@pytest.fixture
def auditor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Auditor:
    return Auditor(monkeypatch, capsys)


def test_a_log_that_is_well_holds(site: Installation, auditor: Auditor) -> None:
    code, said = auditor.verifies(site, "--checkpoint", str(site.outside))
    assert code == 0
    assert "the first 20 are those that were signed" in said
    assert said.endswith("The log holds.\n")


def test_a_cut_log_does_not_hold_and_the_place_is_named(
    site: Installation, auditor: Auditor
) -> None:
    last = list(site.segments())[-1]
    last.write_bytes(last.read_bytes()[:-7])
    code, said = auditor.verifies(site)
    assert code == 1
    assert "entry 19" in said
    assert "THE LOG DOES NOT HOLD" in said


def test_another_key_proves_nothing(site: Installation, auditor: Auditor) -> None:
    (site.root / "kept.pem").write_bytes(public_key_pem(signer(OTHER_KEY).public_key))
    code, said = auditor.verifies(site)
    assert code == 1
    assert "not signed by the key given" in said


@pytest.mark.parametrize("absent", ["key", "checkpoint"])
def test_what_cannot_be_read_is_said_so_in_one_line(
    site: Installation, auditor: Auditor, absent: str
) -> None:
    if absent == "key":
        (site.root / "kept.pem").unlink()
    code, said = auditor.verifies(site, *(["--checkpoint", "none"] if absent != "key" else []))
    assert (code, said.count("\n")) == (2, 1)
    assert "cannot be read" in said
