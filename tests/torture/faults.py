"""A running service with our library below its writing roles, whose rules change while it runs."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.installation import Service, running, storescu
from tests.support.peers import Orthanc
from tests.support.senders import SentObject
from tests.torture.disk import Disk
from tests.torture.house import judging, small_house
from tests.torture.judge import Judge
from tests.torture.preload import Control, Preload, preload
from tests.torture.recording import WRITERS

RECOVERED_WITHIN_S = 60.0
"""On a machine that does much else; the seconds that were seen are noted with each trial."""


@dataclass
class Hurt:
    """One such service."""

    judge: Judge
    below: Preload
    before: Disk
    """What was on the disk before its first start."""

    @property
    def service(self) -> Service:
        """The service."""
        return self.judge.service

    @property
    def control(self) -> Control:
        """The rules."""
        return self.below.control


@contextmanager
def hurt(
    folder: Path,
    *,
    traced: bool = False,
    destination: Orthanc | None = None,
    sections: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[Hurt]:
    """Run a service with the library below its writing roles; no rule holds yet."""
    with ExitStack() as stack:
        service = small_house(folder, destination=destination, sections=sections)
        before = Disk(service.folder)
        below = stack.enter_context(preload(service.folder, folder / "below", traced=traced))
        below.put_under(service, *WRITERS)
        stack.enter_context(running(service))
        yield Hurt(stack.enter_context(judging(service)), below, before)


def statuses(service: Service, objects: list[SentObject]) -> list[str]:
    """Send objects; return what was answered to each, in `storescu`'s words.

    Nothing if the association was rejected, as it is when its opening cannot be noted.
    """
    output, _ = storescu(service.dicom_port, *(o.file for o in objects)).communicate(timeout=120)
    mark = "I: Received Store Response ("
    lines = output.decode(errors="replace").splitlines()
    return [line[len(mark) : -1] for line in lines if line.startswith(mark)]


def readiness(service: Service) -> dict[str, str]:
    """Return which parts `/readyz` says are not ready, with the reason it gives."""
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{service.api_port}/readyz", timeout=20
        ) as ok:
            answer = ok.read()
    except urllib.error.HTTPError as error:
        answer = error.read()
    parts = json.loads(answer)["parts"]
    return {part["name"]: part["reason"] for part in parts if not part["is_ready"]}


def rest_status(service: Service, path: str) -> int:
    """Return the HTTP status of a GET with the key of the installation."""
    try:
        service.get(path)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


def wait_until(holds: Callable[[], bool], what: str, *, seconds: float) -> float:
    """Return after how many seconds something held."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < seconds, what
        time.sleep(0.1)
    return round(time.monotonic() - started, 2)
