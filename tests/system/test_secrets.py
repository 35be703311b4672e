"""No identity value of what came in lies open anywhere, nor reaches the models.

Everything that a study can go through is gone through once, while strace records what every
process writes to any file and what the reader receives. A second set of values is planted in each
place on purpose: the same search must find every one of them.
"""

import base64
import os
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import part10
from tests.support.detector import bright_cells_package, hanging_package
from tests.support.installation import SENDER, Service, install, running
from tests.support.leaks import Hit, Scanner, Secret
from tests.support.marked import ALPHABETS, Marks, marked_object
from tests.support.peers import free_port, orthanc
from tests.support.plants import OTHER_DATES, PLACES, plant, planter_process, unlinked_file
from tests.support.play import HANGING, Play
from tests.support.syscalls import (
    CONTENTS,
    parse_trace,
    received,
    recording,
    role_of_each_thread,
    written,
)


@dataclass
class Played:
    """What was found after everything had been gone through."""

    hits: set[Hit]
    planted: dict[str, Secret]
    outcomes: dict[str, str] = field(default_factory=dict)
    """What became of what was tried, so that a path that was not taken is noticed."""
    read: int = 0
    """How many bytes the reader received."""
    wrote: int = 0
    """How many bytes were written to files."""

    def hits_of(self, secrets: set[str]) -> list[Hit]:
        """Return the hits of these values."""
        return sorted(hit for hit in self.hits if hit.value in secrets)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("secrets")
    marks, control = Marks(), Marks()
    planted = {place: Secret.of(control.word("ISO_IR 100", 16), ["ISO_IR 100"]) for place in PLACES}
    with ExitStack() as stack:
        server = stack.enter_context(orthanc(folder / "orthanc"))
        service = _installed(folder, server.dicom_port)
        stack.enter_context(running(service))
        planter = stack.enter_context(planter_process())
        play = Play(service, marks)
        trace = folder / "trace"
        threads = _threads(service)
        watched = [*(process.pid for process in service.processes()), planter.pid]
        with recording(watched, CONTENTS, trace):
            play.everything()
            plant(service, planted, planter)
        unlinked = stack.enter_context(unlinked_file(service, planted["unlinked files"]))
        scanner = Scanner([*marks.secrets(*play.sent), *planted.values()])
        processes = [process.pid for process in service.processes()]
        hits = scanner.scan_unlinked("unlinked files", [*processes, unlinked])
        hits |= _scan(scanner, service)
        hits |= scanner.scan("metrics", _metrics(service))
    hits |= _scan(scanner, service)  # once more, now that nothing is open
    with trace.open() as lines:
        calls = parse_trace(line for line in lines if not _is_read_of_file(line))
    trace.unlink()
    roles = role_of_each_thread(calls, threads)
    to_reader = received(calls, {thread for thread, role in roles.items() if role == "reader"})
    to_files = written(calls)
    hits |= scanner.scan_streams("reader", to_reader) | scanner.scan_streams("writes", to_files)
    return Played(
        hits,
        planted,
        play.outcomes,
        sum(map(len, to_reader.values())),
        sum(map(len, to_files.values())),
    )


def _installed(folder: Path, port: int) -> Service:
    bright_cells_package(folder / "packages" / "bright")
    hanging_package(folder / "packages" / "hanging")
    for name in ("tmp", "home"):
        (folder / "private" / name).mkdir(parents=True)
    private = {
        "TMPDIR": str(folder / "private" / "tmp"),
        "HOME": str(folder / "private" / "home"),
        "XDG_CACHE_HOME": str(folder / "private" / "home" / "cache"),
    }
    pacs = {"name": "pacs", "host": "127.0.0.1", "called_ae_title": "ORTHANC"}
    peers = [
        {"name": "sender", "ae_title": SENDER, "addresses": ["127.0.0.0/8"]},
        {"name": "hanging", "ae_title": HANGING, "addresses": ["127.0.0.0/8"]},
    ]
    return install(
        folder / "installation",
        destinations=[
            {**pacs, "port": port},
            {**pacs, "name": "dead", "port": free_port()},
        ],
        sections={
            "anonymizer": {"date_shift_max_days": 30},
            "completeness": {"quiet_time_s": 3.0, "association_lease_s": 15.0},
            "delivery": {"first_delay_s": 1.0, "longest_delay_s": 4.0},
            "dicom_node": {"peers": peers},
            "inference": {
                "models": [
                    {"name": "bright", "peers": ["sender"]},
                    {"name": "hanging", "peers": ["hanging"]},
                ],
                "package_folders": [str(folder / "packages")],
                "model_deadline_s": 3.0,
            },
            "pipeline": {"attempts": 2},
        },
        environment={**os.environ, **private},
    )


def _metrics(service: Service) -> bytes:
    address = f"http://127.0.0.1:{service.api_port}/metrics"
    with urllib.request.urlopen(address, timeout=30) as answer:
        return bytes(answer.read())


def _is_read_of_file(line: str) -> bool:
    """Whether a line tells what was read from a file: modules and weights, mostly."""
    _, _, call = line.partition(" ")
    return call.lstrip().startswith("read(") and "<\\x2f" in call[:24]


def _threads(service: Service) -> dict[int, str]:
    """Return the role of each thread of the service."""
    roles: dict[int, str] = {}
    for role in ("dicom", "api", "worker", "reader"):
        process = service.role(role)
        for each in (process, *process.children(recursive=True)):
            roles.update({thread.id: role for thread in each.threads()})
    return roles


def _scan(scanner: Scanner, service: Service) -> set[Hit]:
    """Search every place that lasts."""
    folder = service.folder
    hits = scanner.scan_database("database", folder / "data" / "archive.db")
    hits |= scanner.scan_database("database", folder / "data" / "workflows.db")
    hits |= scanner.scan_database("database", folder / "audit" / "ids.db")
    hits |= scanner.scan_tree("installation", folder)
    hits |= scanner.scan_tree("temporary files", Path(service.environment["TMPDIR"]).parent)
    return hits | scanner.scan("logs", service.log.read_bytes())


ENDS = {
    "data": "installation: data/objects/planted",
    "database": "database: table planted",
    "write-ahead log": "installation: data/archive.db-wal",
    "keystore": "installation: keystore/planted",
    "audit log": "installation: audit/planted",
    "logs": "logs",
    "temporary files": "temporary files: tmp/planted",
    "unlinked files": "unlinked files",
    "writes": "writes: ",
    "reader": "reader: ",
}
"""Where each planted value must be found."""

peers = pytest.mark.external("DCMTK", "Orthanc", "strace")


@peers
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_identity_value_lies_open_anywhere_nor_reaches_the_reader(played: Played) -> None:
    planted = {secret.text for secret in played.planted.values()}
    assert sorted(hit for hit in played.hits if hit.value not in planted) == []


@peers
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("place", PLACES)
def test_a_value_that_is_planted_in_a_place_is_found_there(played: Played, place: str) -> None:
    hits = played.hits_of({played.planted[place].text})
    assert any(hit.place.startswith(ENDS[place]) for hit in hits), hits


@peers
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_path_was_taken(played: Played) -> None:
    """A search that finds nothing proves nothing about what did not happen."""
    assert {name: text[:4] for name, text in played.outcomes.items() if name.islower()} == {
        "unreadable": "C000",
        "no study": "C000",
        "mismatch": "A900",
        "abort": "none",
        "conflict": "0000",
        "correction": "0000",
        "mixed": "0000",
        "refused": "none",
        "undecodable": "0000",
        "hanging": "0000",
        "detect": "200",
        "detect, base64": "200",
        "detect, cut": "422",
        "detect, picture": "200",
    }
    assert played.outcomes.keys() >= {"COMPLETED", "HELD", "FAILED"}
    assert played.read > 100_000
    assert played.wrote > 100_000


@given(value=st.binary(min_size=8, max_size=40), before=st.binary(max_size=40), after=st.binary())
def test_every_form_of_a_value_is_found_wherever_it_stands(
    value: bytes, before: bytes, after: bytes
) -> None:
    scanner = Scanner([Secret("any value", (("raw", value),))])
    as_found = {
        "plain": value,
        "hex": value.hex().encode(),
        "base64": base64.b64encode(before + value + after),
        "base64url": base64.urlsafe_b64encode(before + value + after),
    }
    for form, data in as_found.items():
        assert scanner.scan("there", before + data + after), form


def test_nothing_is_found_where_nothing_is() -> None:
    marks = Marks()
    scanner = Scanner(marks.secrets(marked_object(marks)))
    other = marked_object(Marks(since=OTHER_DATES))
    assert scanner.scan("noise", Random(1).randbytes(1_000_000)) == set()
    assert scanner.scan("another object", part10(other)) == set()


def test_an_object_is_found_in_itself_by_each_of_its_values() -> None:
    for character_set in ALPHABETS:
        marks = Marks()
        made = marked_object(marks, character_set)
        secrets = marks.secrets(made)
        found = {hit.value for hit in Scanner(secrets).scan("itself", part10(made))}
        dashed = {secret.text for secret in secrets if secret.text[4:5] in "-."}
        assert found >= {secret.text for secret in secrets} - dashed
        assert len(found) > 70
