"""What each role takes, alone and beside the others, at rest and after work.

    python -m benchmarks.memory [--detections 200]

Prints a table of proportional memory (PSS), children included; asserts nothing
(`tests/system/test_roles.py` does).
"""

import argparse
import base64
import json
import os
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks.detect import pictures
from service.supervisor import ROLES
from tests.support.installation import Service, install, running
from tests.support.memory import REST_S, alone, pss_mib


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detections", type=int, default=200)
    parser.add_argument("--data", default=os.environ.get("SECOND_READER_TEST_DATA"))
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory(prefix="sr-") as folder:
        for name, mib in _measured(Path(folder), options):
            print(f"{name:58} {mib:.0f} MiB", flush=True)


def _measured(folder: Path, options: argparse.Namespace) -> Iterator[tuple[str, float]]:
    service = install(folder / "installation")
    for role in ROLES:
        with alone(service, role) as process:
            yield f"{role}, alone, at rest", pss_mib(process)
    with running(service):
        time.sleep(REST_S)
        yield from _together(service, "at rest")
        frames = [picture.read_bytes() for picture in pictures(folder / "pictures", options.data)]
        for number in range(options.detections):
            _detect(service, frames[number % len(frames)])
        time.sleep(REST_S)
        yield from _together(service, f"after {options.detections} detections")


def _together(service: Service, when: str) -> Iterator[tuple[str, float]]:
    for role in ROLES:
        yield f"{role}, beside the others, {when}", pss_mib(service.role(role))
    supervisor, *_ = service.processes()
    yield f"all roles and the supervisor, {when}", pss_mib(supervisor)


def _detect(service: Service, picture: bytes) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{service.api_port}/v1/detect",
        data=json.dumps({"image": base64.b64encode(picture).decode()}).encode(),
        headers={
            "Authorization": f"Bearer {service.api_key}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


if __name__ == "__main__":
    main()
