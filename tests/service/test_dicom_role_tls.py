"""The `dicom` role over TLS, with receivers in processes of their own, and what it records."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from audit.events import AuditEvent
from audit.records import SealedRecord
from audit.vocabulary import Alert
from dicom_node.association import Destination, echo
from dicom_node.errors import AssociationRejectedError, TlsError
from dicom_node.part10 import from_part10
from dicom_node.settings import TlsCallSettings
from dicom_node.store_scu import SendState, send
from service.foundation import opened
from service.settings import load_settings
from service.wiring import EXIT_CONFIGURATION
from tests.dicom_node.secure import Hospital
from tests.support.builders import endoscopic_image, part10
from tests.support.certificates import Owned
from tests.support.installation import AE_TITLE, SENDER, Service, install
from tests.support.peers import free_port, wait_for_port


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(tmp_path / "certificates")


def secure_service(folder: Path, hospital: Hospital, port: int, processes: int) -> Service:
    files = {name: str(path) for name, path in hospital.tls().items()}
    peer = {"name": "sender", "ae_title": SENDER, "addresses": ["127.0.0.1/32"]}
    section = {
        "processes": processes,
        "port": None,
        "tls": files | {"port": port},
        "peers": [peer | {"certificates": ["CN:SCANNER"]}],
    }
    return install(folder, sections={"dicom_node": section})


@contextmanager
def dicom_role(service: Service, port: int) -> Iterator[None]:
    with service.log.open("wb") as log:
        role = subprocess.Popen(
            [sys.executable, "-m", "service.wiring", "dicom", str(service.config)],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for_port(port)
            yield
        finally:
            role.terminate()
            role.wait(60)


def call(hospital: Hospital, port: int, owned: Owned) -> Destination:
    tls = TlsCallSettings.model_validate(hospital.tls(owned))
    return Destination("us", "127.0.0.1", port, AE_TITLE, SENDER, timeout_s=30.0, tls=tls)


def alerts(service: Service) -> list[AuditEvent]:
    with opened(load_settings(service.config), "test") as foundation:
        with foundation.archive.snapshot() as tx:
            waiting = foundation.archive.outbox.pending(tx, 1000)
        sealer = foundation.trail.sealer
        events = [sealer.open(SealedRecord(one.event_id, one.sealed)) for one in waiting]
    return [event for event in events if event.kind.name == "SECURITY_ALERT"]


def test_receivers_in_other_processes_speak_tls_and_refusals_are_alerts(
    tmp_path: Path, hospital: Hospital
) -> None:
    """PS3.15 A.5.3.13: Security Alert, type Node Authentication."""
    port = free_port()
    service = secure_service(tmp_path / "service", hospital, port, processes=2)
    mammo = hospital.authority.issue("MAMMO")
    with dicom_role(service, port):
        image = part10(endoscopic_image())
        (outcome,) = send([from_part10(lambda: [image])], call(hospital, port, hospital.scanner))
        assert outcome.state is SendState.STORED, outcome.text
        with pytest.raises(AssociationRejectedError):
            echo(call(hospital, port, mammo))
        with pytest.raises(TlsError):
            echo(call(hospital, port, hospital.other.issue("SCANNER")))
    found = alerts(service)
    assert [alert.type_code for alert in found] == [Alert.NODE_AUTHENTICATION.code] * 2
    said = " ".join(repr(alert) for alert in found)
    assert f"SHA256:{mammo.fingerprint}" in said
    assert "127.0.0.1" in said
    assert "dicom_node.tls.ca_file" in said


@pytest.mark.parametrize("processes", [1, 2])
def test_a_key_that_others_can_read_is_an_operators_matter(
    tmp_path: Path, hospital: Hospital, processes: int
) -> None:
    service = secure_service(tmp_path / "service", hospital, free_port(), processes)
    hospital.reader.key_file.chmod(0o644)
    role = subprocess.run(
        [sys.executable, "-m", "service.wiring", "dicom", str(service.config)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert role.returncode == EXIT_CONFIGURATION
    assert "can be read by others" in role.stderr
