"""The other systems that tests talk to: which there are, and how an Orthanc is started."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PEERS = {
    "DCMTK": "storescu",
    "Orthanc": "Orthanc",
    "dciodvfy": "dciodvfy",
    "PixelMed": "/usr/share/java/pixelmed.jar",
    "strace": "strace",
    "sslscan": "sslscan",
    "gcc": "gcc",
    "PostgreSQL": "/usr/lib/postgresql",
}
"""Name in the summary, and the program or file that shows it is there."""

REQUIRED = "SECOND_READER_REQUIRE_PEERS"


def is_here(peer: str) -> bool:
    """Whether this machine has the peer."""
    program = PEERS[peer]
    return Path(program).exists() if program.startswith("/") else shutil.which(program) is not None


def are_required() -> bool:
    """Whether a missing peer fails a test instead of skipping it."""
    return os.environ.get(REQUIRED) == "1"


def free_port() -> int:
    """Return a TCP port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, *, seconds: float = 30.0) -> None:
    """Return once something listens on the port; TimeoutError if nothing does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


@dataclass
class Orthanc:
    """A real Orthanc on loopback with an empty storage."""

    dicom_port: int
    http_port: int
    ae_title: str
    folder: Path
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.folder / "orthanc.log"

    def get(self, path: str) -> Any:
        """Return what its REST API answers, as JSON."""
        return json.loads(self.get_bytes(path))

    def get_bytes(self, path: str) -> bytes:
        """Return what its REST API answers."""
        address = f"http://127.0.0.1:{self.http_port}{path}"
        with urllib.request.urlopen(address, timeout=60) as answer:
            return bytes(answer.read())

    def instances(self) -> list[str]:
        """Return Orthanc's own ids of everything it holds."""
        return [str(name) for name in self.get("/instances")]

    def file(self, instance: str) -> bytes:
        """Return a stored Part 10 file."""
        return self.get_bytes(f"/instances/{instance}/file")


@contextmanager
def orthanc(folder: Path, *, ae_title: str = "ORTHANC") -> Iterator[Orthanc]:
    """Run an Orthanc in `folder`; stops it at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    server = Orthanc(free_port(), free_port(), ae_title, folder)
    config = {
        "Name": "test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomAet": ae_title,
        "DicomPort": server.dicom_port,
        "HttpPort": server.http_port,
        "HttpBindAddresses": ["127.0.0.1"],
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "OverwriteInstances": True,
        "StorageCompression": False,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(config))
    with server.log.open("wb") as log:
        process = subprocess.Popen(
            ["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=subprocess.STDOUT
        )
        try:
            wait_for_port(server.http_port)
            wait_for_port(server.dicom_port)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
