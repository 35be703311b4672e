"""What is wrong gets one clear message with the remedy, and leaves nothing half done."""

import base64
import hashlib
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset

from archive.entries import StudyFilter
from dicom_node.association import Destination
from dicom_node.part10 import OutgoingObject
from dicom_node.store_scu import SendOutcome, send
from service.foundation import opened
from service.settings import load_settings
from tests.support.builders import encoded, endoscopic_image, transfer_syntax
from tests.support.detector import bright_cells_package
from tests.support.installation import (
    AE_TITLE,
    SENDER,
    Service,
    command,
    install,
    running,
    storescu,
)
from tests.support.peers import wait_for_port

STARTED_WITHIN_S = 120.0

pytestmark = [pytest.mark.external("DCMTK"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that runs while others send it what it cannot take."""
    made = _installed(tmp_path_factory.mktemp("bad-input"))
    with running(made):
        yield made


@pytest.fixture
def stopped(tmp_path: Path) -> Service:
    """An installation whose service does not run."""
    return _installed(tmp_path)


def _installed(folder: Path) -> Service:
    bright_cells_package(folder / "packages" / "bright")
    inference = {"models": [{"name": "bright"}], "package_folders": [str(folder / "packages")]}
    return install(folder / "installation", sections={"inference": inference})


def _push(service: Service, *objects: OutgoingObject) -> list[SendOutcome]:
    peer = Destination("us", "127.0.0.1", service.dicom_port, AE_TITLE, SENDER)
    return send(objects, peer)


def _outgoing(
    made: FileDataset, *, cut_to: int | None = None, sop_instance_uid: str = ""
) -> OutgoingObject:
    uid = sop_instance_uid or str(made.SOPInstanceUID)
    data = encoded(made)[:cut_to]
    syntax = transfer_syntax(implicit=False)
    return OutgoingObject(str(made.SOPClassUID), uid, syntax, lambda: [data])


def _kept(service: Service) -> tuple[int, int]:
    """Return how many instances are indexed, and how many object files there are."""
    with opened(load_settings(service.config), "test") as foundation:
        archive = foundation.archive
        with archive.snapshot() as tx:
            studies = archive.catalogue.find(tx, StudyFilter(), limit=1000)
    files = [path for path in (service.folder / "data" / "objects").rglob("*") if path.is_file()]
    return sum(study.number_of_instances for study in studies), len(files)


def _roles(service: Service) -> dict[str, int]:
    return {name: service.role(name).pid for name in ("dicom", "api", "worker", "reader")}


def test_an_unreadable_object_is_refused_and_the_association_goes_on(service: Service) -> None:
    roles, (instances, files) = _roles(service), _kept(service)
    objects = [endoscopic_image() for _ in range(3)]
    first, broken, last = _push(
        service, _outgoing(objects[0]), _outgoing(objects[1], cut_to=900), _outgoing(objects[2])
    )
    assert [first.status, broken.status, last.status] == [0x0000, 0xC000, 0x0000]
    assert broken.peer_comment == "the data set is cut off after 900 bytes"
    _line_of_log(service, "released: 2 stored, 1 failed")
    assert _kept(service) == (instances + 2, files + 2)
    assert _roles(service) == roles


@pytest.mark.parametrize("what", ["instance", "class"])
def test_an_object_that_is_not_what_its_command_says_is_refused(
    service: Service, what: str
) -> None:
    roles, kept = _roles(service), _kept(service)
    made = endoscopic_image()
    announced = _outgoing(made, sop_instance_uid="2.25.99" if what == "instance" else "")
    if what == "class":
        made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.4"  # VL Photographic Image
        announced = OutgoingObject(
            announced.sop_class_uid,
            announced.sop_instance_uid,
            announced.transfer_syntax_uid,
            _outgoing(made).read,
        )
    (outcome,) = _push(service, announced)
    assert outcome.status == 0xA900
    assert outcome.peer_comment == f"the SOP {what} differs between command and data set"
    assert _kept(service) == kept
    assert _roles(service) == roles


@pytest.mark.parametrize(
    ("calling", "called", "named"),
    [
        ("NOBODY", AE_TITLE, "`addresses` to dicom_node.peers"),
        (SENDER, "ELSEWHERE", "`called_ae_title` of its entry in dicom_node.peers"),
    ],
)
def test_an_unknown_peer_is_rejected_and_the_log_names_the_setting(
    service: Service, calling: str, called: str, named: str, tmp_path: Path
) -> None:
    kept = _kept(service)
    endoscopic_image().save_as(tmp_path / "1.dcm", enforce_file_format=True)
    output, _ = storescu(service.dicom_port, tmp_path, calling=calling, called=called).communicate(
        timeout=60
    )
    assert b"Rejected Permanent" in output
    said = json.dumps(f'refused "{calling}" calling "{called}"').strip('"')
    refusals = _lines(service, said)
    deadline = time.monotonic() + 30
    while not refusals and time.monotonic() < deadline:  # told aside, not by the door
        time.sleep(0.1)
        refusals = _lines(service, said)
    assert len(refusals) == 1
    assert named in refusals[0]
    assert _kept(service) == kept


@pytest.mark.parametrize("body", [b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_a_content_that_is_no_image_gets_a_problem_document(service: Service, body: bytes) -> None:
    fields = json.dumps({"image": base64.b64encode(body).decode(), "model": "bright"})
    request = urllib.request.Request(
        f"http://127.0.0.1:{service.api_port}/v1/detect",
        fields.encode(),
        {"Authorization": f"Bearer {service.api_key}", "Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    with refused.value as answer:
        problem = json.loads(answer.read())
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.code, problem["status"]) == (422, 422)
    assert problem["detail"]


def _spoil_other_key(service: Service) -> None:
    key = base64.b64encode(os.urandom(32)) + b"\n"
    (service.folder / "keys" / "kek.key").write_bytes(key)


def _spoil_missing_key(service: Service) -> None:
    (service.folder / "keys" / "kek.key").unlink()


def _spoil_open_key(service: Service) -> None:
    (service.folder / "keys" / "kek.key").chmod(0o644)


def _spoil_cut_key(service: Service) -> None:
    file = service.folder / "keys" / "kek.key"
    file.write_bytes(file.read_bytes()[:20])


def _spoil_whole_folder(service: Service) -> None:
    """Put the keys of another installation in the place of ours."""
    other = install(service.folder.parent / "other")
    for name in ("kek.key", "purposes.json"):
        (service.folder / "keys" / name).write_bytes((other.folder / "keys" / name).read_bytes())


def _spoil_configuration(service: Service) -> None:
    text = service.config.read_text()
    service.config.write_text(text.replace("  port:", "  prot:", 1))


SPOILED: dict[Callable[[Service], None], tuple[str, str]] = {
    _spoil_other_key: ("does not open with kek.key", "Restore both files"),
    _spoil_missing_key: ("kek.key is missing", "restore the keys folder"),
    _spoil_open_key: ("can be read by others (mode 0644)", "chmod 600"),
    _spoil_cut_key: ("does not hold a 256-bit key", "Restore the keys folder"),
    _spoil_whole_folder: ("the keys do not belong to this archive", "Restore the keys folder"),
    _spoil_configuration: ("unknown key dicom_node.prot (did you mean port?)", "config schema"),
}
"""What an operator may do wrong; what the message names, and its remedy."""


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__.removeprefix("_spoil_"))
def test_a_service_that_cannot_start_says_why_and_changes_nothing(
    stopped: Service, spoil: Callable[[Service], None]
) -> None:
    right = {path: path.read_bytes() for path in _touched(stopped)}
    spoil(stopped)
    before = _content(stopped.folder)
    message, remedy = SPOILED[spoil]
    for arguments in (["serve"], ["study", "list"]):
        done = command(*arguments, "--config", str(stopped.config), timeout_s=STARTED_WITHIN_S)
        told = [line for line in done.stderr.splitlines() if message in line]
        assert done.returncode == 1, arguments
        assert told, done.stderr
        assert remedy in told[0]
        assert "Traceback" not in done.stderr
    assert _content(stopped.folder) == before
    _mend(stopped, right)
    assert stopped.json("study", "list") == []


def _touched(service: Service) -> list[Path]:
    return [service.config, *(service.folder / "keys").iterdir()]


def _mend(service: Service, right: dict[Path, bytes]) -> None:
    for path, content in right.items():
        path.write_bytes(content)
        path.chmod(0o600)


def _content(folder: Path) -> dict[str, str]:
    """Return the digest of every file of an installation."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith("-shm")
    }


def test_corrupt_weights_are_refused_by_name_and_what_arrives_meanwhile_is_read_later(
    stopped: Service, tmp_path: Path
) -> None:
    weights = tmp_path / "packages" / "bright" / "cells.onnx"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    made = endoscopic_image()
    stopped.launch()
    try:
        wait_for_port(stopped.dicom_port)
        (outcome,) = _push(stopped, _outgoing(made))
        assert outcome.status == 0x0000
        told = _line_of_log(stopped, "cells.onnx are not those of model.yaml")
        assert "Fetch the whole package again; there is no fallback to other weights" in told
        assert not _is_ready(stopped)
        weights.write_bytes(content)
        stopped.wait_until_ready()
        _wait_until_completed(stopped, str(made.StudyInstanceUID))
    finally:
        stopped.stop()


def _line_of_log(service: Service, text: str) -> str:
    deadline = time.monotonic() + STARTED_WITHIN_S
    while time.monotonic() < deadline:
        for line in service.log.read_text().splitlines():
            if text in line:
                return line
        time.sleep(0.2)
    raise AssertionError(f"the log does not say: {text}\n{service.tail()}")


def _is_ready(service: Service) -> bool:
    wait_for_port(service.api_port)
    try:
        service.get("/readyz")
    except urllib.error.HTTPError as error:
        error.close()
        return False
    return True


def _wait_until_completed(service: Service, study_instance_uid: str) -> None:
    deadline = time.monotonic() + STARTED_WITHIN_S
    while (state := service.get(f"/v1/studies/{study_instance_uid}")["state"]) != "COMPLETED":
        assert time.monotonic() < deadline, f"{state}\n{service.tail()}"
        time.sleep(0.5)


def _lines(service: Service, said: str) -> list[str]:
    """Return the latest lines of the log that say something."""
    return [line for line in service.tail(50).splitlines() if said in line]
