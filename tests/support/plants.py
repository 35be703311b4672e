"""Values left on purpose in each place that is searched: the search must find every one."""

import base64
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import date
from pathlib import Path

from core.errors import ServiceError
from core.model import InstanceKey
from inference.client import ReaderClient
from inference.requests import ModelOrder, StudyInstance
from tests.support.builders import part10
from tests.support.installation import Service
from tests.support.leaks import Secret, forms
from tests.support.marked import Marks, marked_object

OTHER_DATES = date(1752, 1, 1)
"""So that what was planted shares no date with what was sent."""
PLACES = (
    "data",
    "database",
    "write-ahead log",
    "keystore",
    "audit log",
    "logs",
    "temporary files",
    "unlinked files",
    "writes",
    "reader",
)

_PLANTER = """
import os, sys
path, value = sys.stdin.readline().strip(), bytes.fromhex(sys.stdin.readline())
with open(path, "wb") as file:
    file.write(value)
os.unlink(path)
print("done", flush=True)
sys.stdin.read()
"""


@contextmanager
def planter_process() -> Iterator["subprocess.Popen[bytes]"]:
    """Start a process that writes what it is told to a file, and unlinks it at once."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PLANTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.communicate(timeout=30)


@contextmanager
def unlinked_file(service: Service, secret: Secret) -> Iterator[int]:
    """Hold a file without a name open; yield the process that does."""
    with tempfile.TemporaryFile(dir=service.environment["TMPDIR"]) as file:
        file.write(_latin(secret))
        file.flush()
        yield os.getpid()


def plant(
    service: Service,
    planted: Mapping[str, Secret],
    planter: "subprocess.Popen[bytes]",
) -> None:
    """Leave one value in each place, each in another form."""
    values = {place: dict(forms(_latin(secret))) for place, secret in planted.items()}
    folder = service.folder
    (folder / "data" / "objects" / "planted").write_bytes(b"...." + values["data"]["plain"])
    (folder / "keystore" / "planted").write_bytes(values["keystore"]["HEX"])
    (folder / "audit" / "planted").write_bytes(
        base64.b64encode(b"a" + _latin(planted["audit log"]))
    )
    with service.log.open("ab") as log:
        log.write(b"{" + values["logs"]["hex"] + b"}\n")
    temporary = Path(service.environment["TMPDIR"], "planted")
    temporary.write_bytes(base64.b64encode(b"ab" + planted["temporary files"].text.encode()))
    _plant_in_database(service, planted)
    assert planter.stdin is not None
    assert planter.stdout is not None
    planter.stdin.write(f"{temporary}.gone\n{values['writes']['plain'].hex()}\n".encode())
    planter.stdin.flush()
    planter.stdout.readline()
    _plant_in_reader(service, planted["reader"])


def _plant_in_database(service: Service, planted: Mapping[str, Secret]) -> None:
    database = service.folder / "data" / "archive.db"
    with closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE planted (value)")
        for place in ("database", "write-ahead log"):
            connection.execute("INSERT INTO planted VALUES (?)", (planted[place].text,))


def _plant_in_reader(service: Service, secret: Secret) -> None:
    """Send the reader an instance that was not de-identified."""
    made = marked_object(Marks(since=OTHER_DATES))
    made.SpecificCharacterSet = "ISO_IR 100"
    made.PatientName = secret.text
    reader = ReaderClient(service.folder / "run" / "reader.sock", timeout_s=60)
    whole = StudyInstance.whole(InstanceKey("planted"), part10(made))
    with suppress(ServiceError):
        reader.read_study([whole], [ModelOrder("bright")])


def _latin(secret: Secret) -> bytes:
    return dict(secret.encodings)["its character set ISO_IR 100"]
