"""The installation that is hurt: all roles, one model, and perhaps a place that results go to."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from service.foundation import opened
from service.settings import load_settings
from tests.support.detector import bright_cells_package
from tests.support.installation import Service, install
from tests.support.peers import Orthanc
from tests.support.senders import Sender, SentObject, send
from tests.torture.judge import Judge

ANSWERED_WITHIN_S = 30.0


def small_house(
    folder: Path,
    *,
    destination: Orthanc | None = None,
    sections: Mapping[str, Mapping[str, Any]] | None = None,
) -> Service:
    """Make an installation whose studies are complete after a second, and whose model is quick."""
    bright_cells_package(folder / "packages" / "bright")
    destinations = [] if destination is None else [_destination(destination)]
    settings: dict[str, dict[str, Any]] = {
        "completeness": {
            "quiet_time_s": 1.0,
            "check_interval_s": 0.25,
            "association_lease_s": 5.0,
        },
        "dicom_node": {"heartbeat_s": 1.0},
        "inference": {
            "models": [{"name": "bright"}],
            "package_folders": [str(folder / "packages")],
        },
        "delivery": {"first_delay_s": 1.0},
    }
    for name, values in (sections or {}).items():
        settings.setdefault(name, {}).update(values)
    return install(folder / "installation", destinations=destinations, sections=settings)


def _destination(server: Orthanc) -> dict[str, Any]:
    return {
        "name": "pacs",
        "host": "127.0.0.1",
        "port": server.dicom_port,
        "called_ae_title": server.ae_title,
    }


@contextmanager
def judging(service: Service) -> Iterator[Judge]:
    """Open what a service keeps, to be looked at while it runs or after its end."""
    with opened(load_settings(service.config), "test") as foundation:
        yield Judge(service, foundation)


def senders(
    folder: Path, service: Service, random: Random, *, number: int = 4, pause_s: float = 0.6
) -> list[Sender]:
    """Return senders that push small studies to a service."""
    return [
        Sender(folder / f"{which}", service.dicom_port, Random(random.random()), pause_s=pause_s)
        for which in range(number)
    ]


def studies(folder: Path, random: Random, *, number: int) -> list[list[SentObject]]:
    """Make so many small studies, ready to be sent."""
    maker = Sender(folder, 0, random)
    return [maker.study(folder / f"{which}") for which in range(number)]


def wait_for_answers(pushed: Sequence[Sender], number: int, *, seconds: float = 120.0) -> None:
    """Return once senders were told of so many objects that they are stored."""
    deadline = time.monotonic() + seconds
    while sum(len(sender.acknowledged) for sender in pushed) < number:
        assert time.monotonic() < deadline, f"not even {number} objects were stored"
        time.sleep(0.05)


def outcome(pushed: Sequence[Sender]) -> tuple[list[SentObject], list[SentObject]]:
    """Return what all of them were told is stored, and what not."""
    acknowledged = [one for sender in pushed for one in sender.acknowledged]
    return acknowledged, [one for sender in pushed for one in sender.unanswered]


def send_again(service: Service, pushed: Sequence[Sender]) -> None:
    """Send what was not answered, and with it something that was, until all of it is."""
    deadline = time.monotonic() + ANSWERED_WITHIN_S
    for sender in pushed:
        left = sender.unanswered + sender.acknowledged[-1:]
        while left:
            stored = send(service.dicom_port, left)
            left = [one for one in left if one not in stored]
            assert not left or time.monotonic() < deadline, f"{len(left)} are refused"


@dataclass
class ReceiveLog:
    """How often a destination received each object, as its own log says."""

    server: Orthanc
    received: Counter[str] = field(default_factory=Counter)
    _read_to: int = 0

    def read_on(self) -> None:
        """Count what came since the last time."""
        page = {"Done": False}
        while not page["Done"]:
            page = self.server.get(f"/changes?since={self._read_to}&limit=1000")
            for change in page["Changes"]:
                if change["ChangeType"] == "NewInstance":
                    tags = self.server.get(f"/instances/{change['ID']}/simplified-tags")
                    self.received[tags["SOPInstanceUID"]] += 1
            self._read_to = page["Last"]


@dataclass(frozen=True)
class Diary:
    """Which trials of a suite are done, so that a long run goes on where it was stopped."""

    file: Path | None

    def has(self, trial: int) -> bool:
        """Whether a trial is done."""
        if self.file is None or not self.file.exists():
            return False
        lines = self.file.read_text().splitlines()
        return any(json.loads(line)["trial"] == trial for line in lines)

    def note(self, trial: int, facts: Mapping[str, Any]) -> None:
        """Say that a trial is done, and what was seen."""
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a") as file:
                file.write(json.dumps({"trial": trial, **facts}) + "\n")
