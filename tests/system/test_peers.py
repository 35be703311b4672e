"""A modality that is refused: listed, allowed in one step, and received without a restart."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_node.association import Destination, echo
from dicom_node.errors import AssociationRejectedError
from tests.support.builders import part10
from tests.support.house import image_with_cells
from tests.support.installation import (
    AE_TITLE,
    SENDER,
    Service,
    command,
    install,
    running,
    storescu,
)

pytestmark = [pytest.mark.external("DCMTK"), pytest.mark.timeout(180)]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "frame.dcm"
    file.write_bytes(part10(image_with_cells((2, 3))))
    return file


def sends(service: Service, image: Path, calling: str = "CT1") -> bool:
    """Whether an unchanged storescu gets rid of its object."""
    process = storescu(service.dicom_port, image, calling=calling)
    process.communicate(timeout=60)
    return process.returncode == 0


def test_a_refused_modality_is_listed_allowed_and_received_without_a_restart(
    tmp_path: Path, image: Path
) -> None:
    with running(install(tmp_path / "site")) as service:
        pids = sorted(process.pid for process in service.processes())
        assert not sends(service, image)
        caller = _listed(service)
        assert caller["calling_ae_title"] == "CT1"
        refused = _run(service, f"{caller['what_allows'].replace('NAME', 'ct1')}")
        assert "sender (127.0.0.0/8)" in refused  # nothing is widened silently

        allowed = _run(service, f"peer allow {caller['id']} --name ct1 --shared-address")
        assert "ct1 may connect: as CT1 from 127.0.0.1" in allowed

        _wait(lambda: sends(service, image))
        assert sorted(process.pid for process in service.processes()) == pids
        assert service.get("/v1/studies")["studies"]
        assert service.json("peer", "list")[1]["last_seen_at"]
        assert service.json("peer", "unknown") == []


def test_a_removed_peer_is_cut_off_and_a_wrong_file_stops_nobody(
    tmp_path: Path, image: Path
) -> None:
    with running(install(tmp_path / "site")) as service:
        text = service.config.read_text()
        service.config.write_text(text + "nothing: here\n")
        _wait(lambda: "is wrong" in service.log.read_text())
        assert sends(service, image, SENDER)
        assert "config.yaml is wrong" in str(service.get("/readyz"))
        service.config.write_text(text)
        assert "may not connect" in _run(service, "peer remove sender")
        _wait(lambda: _is_rejected(service))


def _is_rejected(service: Service) -> bool:
    try:
        echo(Destination("us", "127.0.0.1", service.dicom_port, AE_TITLE, SENDER))
    except AssociationRejectedError:
        return True
    return False


def _run(service: Service, typed: str) -> str:
    """Run a command as it is shown to an administrator; return all it says."""
    words = typed.removeprefix("second-reader ").split()
    done = command(*words, environment={**service.environment, **service._variables()})
    return done.stdout + done.stderr


def _listed(service: Service) -> dict[str, str]:
    callers: list[dict[str, str]] = []

    def is_there() -> bool:
        callers[:] = service.json("peer", "unknown")
        return bool(callers)

    _wait(is_there)
    return callers[0]


def _wait(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)
