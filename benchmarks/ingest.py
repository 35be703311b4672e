"""How fast an unchanged `storescu` can send, to us and to an Orthanc beside us.

    python -m benchmarks.ingest [--rounds N] [--objects N]

One association at a time, every object durable before it is answered: ours by default, Orthanc's by
its default `SyncStorageArea`. Rounds are interleaved, each sends a new study to both. Studies do
not become complete meanwhile, so that what is measured is the intake. Prints a table; asserts
nothing.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from core.uids import random_uid
from tests.support.builders import ct_image
from tests.support.installation import install, running, storescu
from tests.support.peers import orthanc

SIDES = {"40 kB": 140, "512 kB": 512}
"""Rows and columns of 16-bit pixels."""

Rates = dict[str, list[float]]
"""Objects per second of each round, by receiver."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--objects", type=int, default=200, help="of 40 kB; a quarter of 512 kB")
    options = parser.parse_args()
    print(
        f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; "
        f"{options.rounds} rounds of {options.objects} objects"
    )
    print(f"{'objects/s, median (lowest to highest)':10} {'us':>24} {'Orthanc':>24} {'ratio':>8}")
    with tempfile.TemporaryDirectory(prefix="sr-ingest-") as folder:
        for size, side in SIDES.items():
            count = options.objects if side == min(SIDES.values()) else options.objects // 4
            rates = measured(Path(folder, size.replace(" ", "")), side, count, options.rounds)
            print(row(size, rates))


def measured(folder: Path, side: int, objects: int, rounds: int) -> Rates:
    """Send `rounds` studies to both receivers, and return the rates."""
    rates: Rates = {"us": [], "Orthanc": []}
    service = install(folder / "installation", sections={"completeness": {"quiet_time_s": 3600.0}})
    with orthanc(folder / "orthanc") as peer, running(service):
        ports = {"us": service.dicom_port, "Orthanc": peer.dicom_port}
        send(ports, study(folder / "warm", side, 5))
        for number in range(rounds):
            order = sorted(ports, reverse=bool(number % 2))
            files = study(folder / f"round-{number}", side, objects)
            for name, rate in send({name: ports[name] for name in order}, files).items():
                rates[name].append(rate)
            for file in files.iterdir():
                file.unlink()
    return rates


def study(folder: Path, side: int, objects: int) -> Path:
    """Write a new study of noise, which nothing can compress."""
    folder.mkdir()
    noise = np.random.default_rng(0)
    uids = {"StudyInstanceUID": random_uid(), "SeriesInstanceUID": random_uid()}
    for number in range(objects):
        pixels = noise.integers(-1024, 3000, (side, side), np.int16)
        made = ct_image(pixels, {**uids, "InstanceNumber": number + 1})
        made.save_as(folder / f"{number:04d}.dcm", enforce_file_format=True)
    return folder


def send(ports: Mapping[str, int], files: Path) -> dict[str, float]:
    """Send a folder to each receiver in turn; return objects per second."""
    count = len(list(files.iterdir()))
    rates = {}
    for name, port in ports.items():
        started = time.perf_counter()
        output, _ = storescu(port, files).communicate()
        spent = time.perf_counter() - started
        stored = output.count(b"Received Store Response (Success)")
        if stored != count:
            raise SystemExit(f"{name} stored {stored} of {count} objects")
        rates[name] = count / spent
    return rates


def row(size: str, rates: Rates) -> str:
    """Return one line of the table."""
    ours, theirs = (shown(rates[name]) for name in ("us", "Orthanc"))
    ratio = statistics.median(rates["us"]) / statistics.median(rates["Orthanc"])
    return f"{size:37} {ours:>24} {theirs:>24} {ratio:8.1f}"


def shown(values: Sequence[float]) -> str:
    """Return the median and the range."""
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


if __name__ == "__main__":
    main()
