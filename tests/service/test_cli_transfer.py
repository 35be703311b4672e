"""`send` and `echo`: against a real node, and into the audit log."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.dicom_node.fakes import MemorySink, RunningNode, peer, running_node
from tests.dicom_node.secure import Hospital, secure_node
from tests.support.builders import endoscopic_image, part10
from tests.support.commands import Ran, second_reader


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where there is no installation."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SECOND_READER_CONFIG", raising=False)


def sent(node: RunningNode, *words: str | Path, called: str = "READER") -> Ran:
    to = f"127.0.0.1:{node.node.port}"
    return second_reader("send", *words, "--to", to, "--called", called, "--calling", "SCANNER")


def folder_of(tmp_path: Path, count: int) -> Path:
    folder = tmp_path / "study"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.dcm").write_bytes(part10(endoscopic_image()))
    return folder


def test_a_folder_is_sent(tmp_path: Path) -> None:
    with running_node() as node:
        ran = sent(node, folder_of(tmp_path, 3), "--json")
    assert ran.code == 0, ran.err
    assert ran.data == {"stored": 3, "failed": [], "skipped": []}
    assert len(node.sink.committed) == 3


def test_the_members_of_a_zip_are_sent(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        archive.writestr("a/b.dcm", part10(endoscopic_image()))
    with running_node() as node:
        assert sent(node, tmp_path / "study.zip").out == "1 stored, 0 failed, 0 not DICOM\n"


def test_what_is_no_object_is_named_and_the_rest_is_sent(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, 1)
    (folder / "note.txt").write_text("hello")
    with running_node() as node:
        ran = sent(node, folder)
    assert ran.code == 1
    assert "note.txt: not a DICOM file" in ran.err
    assert "1 stored, 0 failed, 1 not DICOM" in ran.out


def test_an_object_that_is_refused_is_named_with_the_reason(tmp_path: Path) -> None:
    from archive.errors import DiskFullError

    sink = MemorySink(failures={(1, "commit"): DiskFullError("no room")})
    with running_node(sink=sink) as node:
        ran = sent(node, folder_of(tmp_path, 2))
    assert ran.code == 1
    assert "0.dcm: " in ran.err
    assert "1 stored, 1 failed" in ran.out


def test_a_node_that_does_not_know_us_says_so(tmp_path: Path) -> None:
    with running_node(peer(ae_title="OTHER")) as node:
        ran = sent(node, folder_of(tmp_path, 1))
    assert ran.code == 1
    assert "does not know the AE title SCANNER" in ran.err


def test_echo_says_how_long_it_took() -> None:
    with running_node() as node:
        to = f"127.0.0.1:{node.node.port}"
        ran = second_reader("echo", to, "--called", "READER", "--calling", "SCANNER")
    assert ran.code == 0
    assert "answered in" in ran.out


def test_echo_to_nobody_names_where_it_asked() -> None:
    ran = second_reader("echo", "127.0.0.1:1", "--called", "READER")
    assert ran.code == 1
    assert "127.0.0.1:1 cannot be reached" in ran.err


def test_a_transfer_is_in_the_log_of_the_installation(tmp_path: Path) -> None:
    second_reader("init", tmp_path / "site")
    config = tmp_path / "site" / "config.yaml"
    from archive.errors import DiskFullError

    sink = MemorySink(failures={(1, "commit"): DiskFullError("no room")})
    folder = tmp_path / "study"
    folder.mkdir()
    for number in range(2):
        same = endoscopic_image(attributes={"StudyInstanceUID": "2.25.7"})
        (folder / f"{number}.dcm").write_bytes(part10(same))
    with running_node(sink=sink) as node:
        sent(node, folder, "--config", config)
    began, ended = events_of(config, "PID-0001")
    assert (began["event"], ended["event"]) == ("110102", "110104")
    assert ended["outcome"] == 4
    assert ended["details"]["NumberOfInstances"] == "1"
    assert ended["details"]["Failed"] == "1"


def events_of(config: Path, patient: str) -> list[dict[str, Any]]:
    ran = second_reader("audit", "search", "--patient", patient, "--json", "--config", config)
    found: list[dict[str, Any]] = ran.data
    return found


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(tmp_path / "tls")


def secure(hospital: Hospital, *words: str) -> tuple[str, ...]:
    files = {
        "--tls-certificate": hospital.scanner.certificate_file,
        "--tls-key": hospital.scanner.key_file,
        "--tls-ca": hospital.authority.file,
    }
    named = (word for option, file in files.items() for word in (option, str(file)))
    return ("--calling", "SCANNER", "--called", "READER", "--tls", *named, *words)


def test_echo_and_send_go_over_tls(tmp_path: Path, hospital: Hospital) -> None:
    with secure_node(hospital, port=None) as node:
        to = f"127.0.0.1:{node.node.tls_port}"
        ran = second_reader("echo", to, *secure(hospital))
        assert ran.code == 0, ran.err
        assert "over TLS" in ran.out
        folder = folder_of(tmp_path, 2)
        assert second_reader("send", folder, "--to", to, *secure(hospital)).code == 0
    assert len(node.sink.committed) == 2


def test_a_call_over_tls_shows_the_certificate_of_the_installation(
    tmp_path: Path, hospital: Hospital
) -> None:
    files = {name: str(path) for name, path in hospital.tls(hospital.scanner).items()}
    (tmp_path / "config.yaml").write_text(json.dumps({"dicom_node": {"tls": files}}))
    with secure_node(hospital) as node:
        to = f"127.0.0.1:{node.node.tls_port}"
        words = ("--called", "READER", "--calling", "SCANNER", "--tls")
        assert second_reader("echo", to, *words).code == 0
        named = second_reader("echo", to, *words, "--tls-peer", "CN:PACS")
    assert named.code == 1
    assert "certificate of somebody else" in named.err


def test_what_is_missing_for_a_call_over_tls_is_said(hospital: Hospital) -> None:
    bare = second_reader("echo", "127.0.0.1:1", "--called", "READER", "--tls")
    assert bare.code != 0
    assert "--tls-certificate" in bare.err
    words = [word for word in secure(hospital) if word != "--tls"]
    assert second_reader("echo", "127.0.0.1:1", *words).code == 2
    odd = second_reader("echo", "127.0.0.1:1", *secure(hospital, "--tls-peer", "PACS"))
    assert odd.code == 2
    assert "a certificate is named by" in odd.err
