"""`doctor` on DICOM over TLS: each thing that will keep peers out is said before it does."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.clock import utc_now
from service.checks import CHECKS, Result, Verdict, judge, on_scene
from tests.dicom_node.secure import Hospital, scanner, secure_node
from tests.support.peers import free_port


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(tmp_path / "tls")


def look(
    folder: Path, name: str, tls: dict[str, object], *, days: int = 0, **settings: Any
) -> Result:
    """Let one check look, so many days from now."""
    node = {"host": "127.0.0.1", "port": None, "tls": tls} | settings
    config = folder / "config.yaml"
    config.write_text(json.dumps({"dicom_node": node}, default=str))
    (check,) = [one for one in CHECKS if one.name == name]
    with on_scene(config, clock=lambda: utc_now() + timedelta(days=days)) as scene:
        return judge(check, scene)


def files(folder: Path, tls: dict[str, object], *, days: int = 0) -> Result:
    return look(folder, "DICOM TLS files", tls, days=days)


def test_files_that_fit_together_are_fine(hospital: Hospital, tmp_path: Path) -> None:
    lasting = Hospital(tmp_path / "lasting", days=300)
    tls = lasting.tls(crl_file=lasting.authority.revocation_list())
    assert files(tmp_path, tls).verdict is Verdict.FINE


def test_a_certificate_that_expires_is_announced_a_month_before(
    hospital: Hospital, tmp_path: Path
) -> None:
    found = files(tmp_path, hospital.tls(), days=10)
    assert found.verdict is Verdict.WARNING
    assert "expires in 19 days" in found.what
    found = files(tmp_path, hospital.tls(), days=33)
    assert found.verdict is Verdict.WRONG
    assert "has expired 3 days ago" in found.what


def test_a_revocation_list_that_expires_is_announced(hospital: Hospital, tmp_path: Path) -> None:
    lasting = Hospital(tmp_path / "lasting", days=300)
    tls = lasting.tls(crl_file=lasting.authority.revocation_list(days=0.5))
    found = files(tmp_path, tls)
    assert found.verdict is Verdict.WARNING
    assert "the revocation list" in found.what


def test_a_key_that_others_can_read_is_wrong(hospital: Hospital, tmp_path: Path) -> None:
    hospital.reader.key_file.chmod(0o644)
    found = files(tmp_path, hospital.tls())
    assert found.verdict is Verdict.WRONG
    assert "can be read by others (mode 0644)" in found.what
    assert "chmod 600" in found.remedy


def test_a_key_of_another_certificate_is_wrong(hospital: Hospital, tmp_path: Path) -> None:
    found = files(tmp_path, hospital.tls(key_file=hospital.scanner.key_file))
    assert found.verdict is Verdict.WRONG
    assert "belong together" in found.remedy


def test_a_certificate_that_no_authority_vouches_for_is_a_warning(
    hospital: Hospital, tmp_path: Path
) -> None:
    lasting = Hospital(tmp_path / "lasting", days=300)
    found = files(tmp_path, lasting.tls(ca_file=Hospital(tmp_path / "x", days=300).other.file))
    assert found.verdict is Verdict.WARNING
    assert "vouches" in found.what


def port(folder: Path, hospital: Hospital, number: int, *certificates: str) -> Result:
    peer = {"name": "ct", "ae_title": "CT", "addresses": ["192.0.2.1"]}
    peers = [peer | {"certificates": list(certificates)}]
    return look(folder, "DICOM TLS port", hospital.tls(port=number), peers=peers, port=1)


def test_a_port_that_is_free_or_ours_is_fine(hospital: Hospital, tmp_path: Path) -> None:
    assert port(tmp_path, hospital, free_port(), "ANY").verdict is Verdict.FINE
    with secure_node(hospital, scanner()) as running:
        assert running.node.tls_port is not None
        assert port(tmp_path, hospital, running.node.tls_port, "ANY").verdict is Verdict.FINE
        assert running.observer.events == []


def test_a_port_that_is_somebody_elses_is_wrong(hospital: Hospital, tmp_path: Path) -> None:
    other = hospital.authority.issue("OTHER", names=["127.0.0.1"])
    with secure_node(hospital, tls=hospital.tls(other)) as running:
        for number in (running.node.tls_port, running.node.port):
            assert number is not None
            found = port(tmp_path, hospital, number, "ANY")
            assert found.verdict is Verdict.WRONG
            assert "does not show our certificate" in found.what


def test_a_tls_port_that_no_peer_may_use_is_a_warning(hospital: Hospital, tmp_path: Path) -> None:
    found = port(tmp_path, hospital, free_port())
    assert found.verdict is Verdict.WARNING
    assert "no peer has `certificates`" in found.what
