"""`doctor`: everything is broken once, and found by its own check, with a remedy."""

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from archive.callers import CallerName, Refusals
from archive.configurations import ConfigurationInForce
from audit.log import AuditLog
from core.clock import Clock, utc_now
from dicom_node.ports import RefusalReason
from service.checks import CHECKS, Limits, Result, Verdict, judge, on_scene
from service.checks.models import ENCODINGS, missing_decoders
from service.foundation import opened
from service.presence import LISTENER, Presence
from service.settings import load_settings
from tests.dicom_node.fakes import RunningNode, peer, running_node
from tests.dicom_node.secure import Hospital
from tests.support.commands import second_reader
from tests.support.detector import bright_cells_package
from tests.support.house import house, image_with_cells
from tests.support.peers import free_port

NAMES = [check.name for check in CHECKS]


@dataclass
class Site:
    """An installation in which nothing is wrong, until something is."""

    folder: Path
    stack: ExitStack
    settings: dict[str, Any]
    clock: Clock = utc_now
    limits: Limits = field(default_factory=Limits)

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    def set(self, section: str, **values: Any) -> None:
        """Change config.yaml."""
        self.settings.setdefault(section, {}).update(values)
        self.config.write_text(yaml.safe_dump(self.settings))

    def look(self, name: str) -> Result:
        """Let one check look."""
        (check,) = [check for check in CHECKS if check.name == name]
        with on_scene(self.config, clock=self.clock, limits=self.limits) as scene:
            return judge(check, scene)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an installation once: folder `site`, and `outside` with its checkpoints."""
    base = tmp_path_factory.mktemp("template")
    second_reader("init", base / "site")
    bright_cells_package(base / "site" / "models" / "bright")
    shutil.copy(base / "site" / "audit" / "checkpoints", base / "outside")
    return base


@pytest.fixture(scope="module")
def pacs() -> Iterator[RunningNode]:
    with running_node(peer(ae_title="SECOND_READER")) as node:
        yield node


@pytest.fixture
def site(tmp_path: Path, template: Path, pacs: RunningNode) -> Iterator[Site]:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    destination = {"name": "pacs", "host": "127.0.0.1", "called_ae_title": "READER"}
    values = {
        "dicom_node": {
            "host": "127.0.0.1",
            "port": free_port(),
            "peers": [{"name": "a", "ae_title": "A", "addresses": ["192.0.2.1"]}],
        },
        "api": {"port": free_port()},
        "delivery": {"destinations": [destination | {"port": pacs.node.port}]},
        "inference": {"models": [{"name": "bright"}], "package_folders": ["models"]},
        "audit": {"checkpoint_files": [str(tmp_path / "outside")]},
    }
    with ExitStack() as stack:
        limits = Limits(free_bytes=1, low_bytes=1, temp_bytes=1)
        site = Site(tmp_path / "site", stack, values, limits=limits)
        site.set("archive")
        yield site


def settings(site: Site) -> None:
    site.set("dicom_node", prot=1)


def keys(site: Site) -> None:
    (site.folder / "keys" / "kek.key").chmod(0o644)


def keys_apart_from_data(site: Site) -> None:
    shutil.move(site.folder / "keys", site.folder / "data" / "keys")
    site.set("keys", folder="data/keys")


def archive(site: Site) -> None:
    (site.folder / "data" / "archive.db").unlink()


def folders(site: Site) -> None:
    shutil.rmtree(site.folder / "audit")
    (site.folder / "audit").write_text("no folder")


def disk_space(site: Site) -> None:
    site.limits = Limits(free_bytes=2**62)


def database(site: Site) -> None:
    """Write over the pages of an index, which opening does not read."""
    path = site.folder / "data" / "archive.db"
    with (
        opened(load_settings(site.config), "cli") as foundation,
        foundation.archive.snapshot() as tx,
    ):
        run = tx.connection.exec_driver_sql
        run("PRAGMA wal_checkpoint(TRUNCATE)")
        size = int(run("PRAGMA page_size").scalar_one())
        indices = "SELECT max(rootpage) FROM sqlite_master WHERE type = 'index'"
        page = int(run(indices).scalar_one())
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(content)


def sealed_objects(site: Site) -> None:
    with house(site.folder / "other") as home:
        home.take(image_with_cells((1, 1)))
        for path in (site.folder / "other" / "data" / "objects").rglob("*"):
            if path.is_file():
                path.unlink()
    site.folder = site.folder / "other"


def audit_log(site: Site) -> None:
    segment = next((site.folder / "audit").glob("*.log"))
    content = bytearray(segment.read_bytes())
    content[-5] ^= 1
    segment.write_bytes(content)


def audit_checkpoint(site: Site) -> None:
    """Let a writer append, and die before it signs."""
    with opened(load_settings(site.config), "cli") as foundation:
        record = foundation.trail.process(started=True)
    with AuditLog(site.folder / "audit", entries_per_segment=1000) as log:
        log.append([record])
    site.clock = lambda: utc_now() + timedelta(hours=1)


def checkpoints_outside(site: Site) -> None:
    site.set("audit", checkpoint_files=[str(site.folder.parent / "never-written")])


def audit_outbox(site: Site) -> None:
    with opened(load_settings(site.config), "cli") as foundation:
        foundation.record(foundation.trail.process(started=True))
    site.clock = lambda: utc_now() + timedelta(hours=1)


def models(site: Site) -> None:
    weights = site.folder / "models" / "bright" / "cells.onnx"
    weights.write_bytes(weights.read_bytes() + b"\0")


def decoders(site: Site) -> None:
    site.set("inference", decoder={"deadline_s": 0.0001})


def listening(site: Site) -> int:
    taken = site.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    site.limits = Limits(echo_s=0.3)
    return int(taken.getsockname()[1])


def dicom_port(site: Site) -> None:
    site.set("dicom_node", port=listening(site))


def rest_port(site: Site) -> None:
    site.set("api", port=listening(site))


def peers(site: Site) -> None:
    site.set("dicom_node", peers=[])


def unknown_callers(site: Site) -> None:
    caller = CallerName("192.0.2.7", "CT", "SECOND_READER")
    reason = RefusalReason.UNKNOWN_CALLING_AE_TITLE.value
    with opened(load_settings(site.config), "cli") as foundation:
        now, callers = foundation.clock(), foundation.archive.callers
        with foundation.archive.transaction() as tx:
            callers.refused(tx, [Refusals(caller, "", reason, "", now, now, 5)])


def configuration_in_force(site: Site) -> None:
    in_force(site, ConfigurationInForce("here:104", "0" * 64, "line 3", "", utc_now()))


def in_force(site: Site, said: ConfigurationInForce) -> None:
    """Let a listener be up that says this."""
    with opened(load_settings(site.config), "cli") as foundation:
        Presence(foundation.archive, LISTENER, "here:104", foundation.clock).renew()
        with foundation.archive.transaction() as tx:
            foundation.archive.configurations.put(tx, said)


def destinations(site: Site) -> None:
    (one,) = site.settings["delivery"]["destinations"]
    site.set("delivery", destinations=[one | {"port": 1}])


def reader_socket(site: Site) -> None:
    site.set("inference", socket=f"{'long' * 30}/reader.sock")


def clock(site: Site) -> None:
    site.clock = lambda: utc_now() - timedelta(days=400)


def temporary_files(site: Site) -> None:
    site.limits = Limits(temp_bytes=2**62)


def open_files(site: Site) -> None:
    site.set("api", max_connections=10**9)


def tls_files(site: Site) -> None:
    hospital = Hospital(site.folder / "tls")
    site.set("dicom_node", tls={name: str(path) for name, path in hospital.tls().items()})
    hospital.reader.key_file.chmod(0o644)


def tls_port(site: Site) -> None:
    """Switch TLS on, and let nobody use it."""
    hospital = Hospital(site.folder / "tls")
    files = {name: str(path) for name, path in hospital.tls().items()}
    site.set("dicom_node", tls=files | {"port": free_port()})


BREAKS: dict[str, tuple[Callable[[Site], None], Verdict, str]] = {
    "DICOM TLS files": (tls_files, Verdict.WRONG, "can be read by others"),
    "DICOM TLS port": (tls_port, Verdict.WARNING, "no peer has `certificates`"),
    "settings": (settings, Verdict.WRONG, "did you mean port"),
    "keys": (keys, Verdict.WRONG, "chmod 600"),
    "keys apart from data": (keys_apart_from_data, Verdict.WARNING, "keys.folder"),
    "archive": (archive, Verdict.WRONG, "Restore `archive.folder`"),
    "folders": (folders, Verdict.WRONG, "Give it to the user"),
    "disk space": (disk_space, Verdict.WRONG, "Free space"),
    "database": (database, Verdict.WRONG, "restore `archive.folder`"),
    "sealed objects": (sealed_objects, Verdict.WRONG, "Restore `archive.folder`"),
    "audit log": (audit_log, Verdict.WRONG, "audit verify"),
    "audit checkpoint": (audit_checkpoint, Verdict.WRONG, "worker"),
    "checkpoints outside": (checkpoints_outside, Verdict.WRONG, "name another file"),
    "audit outbox": (audit_outbox, Verdict.WRONG, "worker"),
    "models": (models, Verdict.WRONG, "Fetch the whole package again"),
    "decoders": (decoders, Verdict.WRONG, "decoder"),
    "DICOM port": (dicom_port, Verdict.WRONG, "dicom_node.port"),
    "REST port": (rest_port, Verdict.WRONG, "api.port"),
    "peers": (peers, Verdict.WARNING, "dicom_node.peers"),
    "destinations": (destinations, Verdict.WRONG, "Check the address"),
    "unknown callers": (unknown_callers, Verdict.WARNING, "second-reader peer unknown"),
    "configuration in force": (configuration_in_force, Verdict.WRONG, "config check"),
    "reader socket": (reader_socket, Verdict.WRONG, "inference.socket"),
    "clock": (clock, Verdict.WRONG, "Set the clock"),
    "temporary files": (temporary_files, Verdict.WARNING, "TMPDIR"),
    "open files": (open_files, Verdict.WRONG, "ulimit -n"),
}


def test_every_check_is_broken_here_and_there_are_enough() -> None:
    assert set(BREAKS) == set(NAMES)
    assert len(NAMES) == len(set(NAMES)) >= 12


@pytest.mark.parametrize("name", NAMES)
def test_what_is_broken_is_found_with_its_reason_and_remedy(site: Site, name: str) -> None:
    fine = site.look(name)
    assert fine.verdict is Verdict.FINE, fine.what
    break_it, verdict, remedy = BREAKS[name]
    break_it(site)
    found = site.look(name)
    assert found.verdict is verdict, found.what
    assert remedy in found.remedy + found.what
    assert found.remedy
    assert found.why


def test_nothing_is_wrong_with_a_sound_installation(site: Site) -> None:
    ran = second_reader("doctor", "--json", "--config", site.config)
    assert ran.code == 0
    assert {result["name"]: result["verdict"] for result in ran.data} == {
        name: "warning" if name == "disk space" and _is_low(ran.data) else "fine" for name in NAMES
    }


def _is_low(results: list[dict[str, Any]]) -> bool:
    """Whether the machine that runs the tests has little room; no fault of the installation."""
    return any(one["name"] == "disk space" and one["verdict"] == "warning" for one in results)


def test_a_destination_that_is_the_service_itself_is_a_loop(site: Site) -> None:
    own = {
        "name": "self",
        "host": "127.0.0.1",
        "port": site.settings["dicom_node"]["port"],
        "called_ae_title": "SECOND_READER",
    }
    site.set("delivery", destinations=[own])
    found = site.look("destinations")
    assert found.verdict is Verdict.WRONG
    assert "is this service itself" in found.what


def test_a_port_that_our_own_node_answers_is_fine(site: Site) -> None:
    node = site.stack.enter_context(running_node(peer(ae_title="A")))
    mine = {"name": "a", "ae_title": "A", "addresses": ["127.0.0.0/8"]}
    site.set("dicom_node", port=node.node.port, ae_title="READER", peers=[mine])
    assert site.look("DICOM port").verdict is Verdict.FINE
    assert node.observer.wait_for("echoed")


def test_no_checkpoint_outside_is_a_warning(site: Site) -> None:
    site.set("audit", checkpoint_files=[])
    assert site.look("checkpoints outside").verdict is Verdict.WARNING


def test_a_peer_from_anywhere_is_a_warning(site: Site) -> None:
    site.set("dicom_node", peers=[{"name": "a", "ae_title": "A", "addresses": ["0.0.0.0/0"]}])
    found = site.look("peers")
    assert found.verdict is Verdict.WARNING
    assert "peer a may come from any address" in found.what


def test_keys_of_another_installation_are_found(site: Site, tmp_path: Path) -> None:
    second_reader("init", tmp_path / "other")
    shutil.rmtree(site.folder / "keys")
    shutil.copytree(tmp_path / "other" / "keys", site.folder / "keys")
    assert "do not belong" in site.look("archive").what


def test_an_encoding_without_decoder_is_named() -> None:
    """PS3.6 A: JPEG XL, which nothing here decodes."""
    assert not list(missing_decoders(ENCODINGS))
    (fault,) = missing_decoders(["1.2.840.10008.1.2.4.110"])
    assert "1.2.840.10008.1.2.4.110" in fault.what


def test_a_config_that_cannot_be_read_lets_the_rest_be_skipped(tmp_path: Path) -> None:
    ran = second_reader("doctor", "--json", "--config", tmp_path / "config.yaml")
    assert ran.code == 1
    first, *rest = ran.data
    assert first["verdict"] == "wrong"
    assert {result["verdict"] for result in rest} == {"skipped"}


def test_looking_never_makes_a_database_where_one_is_missing(site: Site) -> None:
    archive(site)
    second_reader("doctor", "--config", site.config)
    assert not (site.folder / "data" / "archive.db").exists()


def test_people_are_told_why_and_how_to_mend(site: Site) -> None:
    peers(site)
    ran = second_reader("doctor", "--config", site.config)
    assert ran.code == 0  # a warning alone
    assert "WARNING  peers: no peer is named" in ran.out
    assert "why:" in ran.out
    assert "mend:" in ran.out
    reader_socket(site)
    assert second_reader("doctor", "--config", site.config).code == 1
