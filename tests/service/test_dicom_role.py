"""The `dicom` role ends, and says why, when it cannot listen or has stopped to."""

import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from core.errors import UnavailableError
from dicom_node.server import DicomNode
from dicom_node.settings import NodeSettings, PeerSettings
from service.foundation import Foundation
from service.settings import load_settings
from service.wiring import EXIT_CONFIGURATION, dicom
from tests.dicom_node.fakes import MemorySink, RecordingObserver
from tests.support.installation import Service, command, install


class DeadNode:
    """A node whose listening thread has ended."""

    port = 11112
    is_listening = False

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def replace_peers(self, peers: Sequence[PeerSettings]) -> None:
        self.calls.append("replace_peers")


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return install(tmp_path / "installation")


def test_a_role_whose_listener_died_fails_so_that_it_is_started_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = DeadNode()

    def build(foundation: Foundation) -> DeadNode:
        return node

    monkeypatch.setattr(dicom, "build", build)
    monkeypatch.setattr(dicom, "on_signal", lambda _: None)
    with pytest.raises(UnavailableError, match="ended by itself"):
        dicom.run(load_settings(service.config))
    assert (node.calls[0], node.calls[-1]) == ("start", "stop")


def test_a_port_that_is_let_go_in_a_moment_is_waited_for() -> None:
    stopping = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as before:
        port = before.getsockname()[1]
        settings = NodeSettings(host="127.0.0.1", port=port)
        node = DicomNode(settings, MemorySink(), RecordingObserver())
        letting_go = threading.Timer(0.5, before.close)
        letting_go.start()
        dicom._start(node, stopping)
    assert node.port == port
    node.stop()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_port_that_is_taken_is_an_operators_matter(tmp_path: Path, processes: int) -> None:
    service = install(tmp_path / "taken", sections={"dicom_node": {"processes": processes}})
    with socket.create_server(("127.0.0.1", service.dicom_port)):
        role = subprocess.run(
            [sys.executable, "-m", "service.wiring", "dicom", str(service.config)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert role.returncode == EXIT_CONFIGURATION
    assert f"127.0.0.1:{service.dicom_port} cannot be listened on" in role.stderr
    assert "dicom_node.port" in role.stderr


@pytest.mark.slow
def test_the_service_does_not_start_for_ever_on_a_port_that_is_taken(service: Service) -> None:
    with socket.create_server(("127.0.0.1", service.dicom_port)):
        done = command("serve", "--config", str(service.config))
    assert done.returncode == 1
    assert "cannot be listened on" in done.stderr
