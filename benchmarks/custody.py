"""What custody costs alone: from the first byte to "durable", without sockets.

    python -m benchmarks.custody [--objects N] [--rounds N] [--dir FOLDER] [--profile]

Each thread stores a study of its own, as an association does. Prints, for each size and number of
threads, objects per second, processor time of the whole process for one object, and how long one
thread waited for one object. `--profile` prints where the time of one thread goes instead. Asserts
nothing. FOLDER should be on the disk that the archive will be on.
"""

import argparse
import cProfile
import os
import pstats
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archive.archive import open_archive
from archive.settings import ArchiveSettings
from audit.records import RecordSealer
from core.clock import utc_now
from core.model import RemoteAE
from core.sealing import new_key
from core.uids import random_uid
from dicom_node.ports import AssociationOrigin, IncomingObject
from service.intake import Intake
from service.keys import FileKeyWrapper
from service.trail import Trail
from tests.support.builders import CT, ct_image, encoded, transfer_syntax

SIDES = {"40 kB": 140, "512 kB": 512}
"""Rows and columns of 16-bit pixels."""

SENDERS = (1, 4, 16)
FRAGMENT_BYTES = 1024 * 1024
PEER = RemoteAE("ct1", "CT1", "SECOND_READER", "192.0.2.7")
EXPLICIT = transfer_syntax(implicit=False)
HOTTEST = 40

_INSTANCE, _NUMBER = "2.25.770000000000000000", "88888888"
"""Stand in the encoded data set where each object has its own."""


@dataclass(frozen=True)
class Figures:
    """What one round measured."""

    rate: float
    """Objects per second."""
    processor_ms: float
    wall_ms: float
    """Median of how long one object took its thread."""


class Study:
    """Objects of one new study, which differ in SOP Instance UID and Instance Number."""

    def __init__(self, side: int) -> None:
        pixels = np.random.default_rng(0).integers(-1024, 3000, (side, side), np.int16)
        dataset = ct_image(pixels, {"SOPInstanceUID": _INSTANCE, "InstanceNumber": _NUMBER})
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = random_uid(), random_uid()
        content = encoded(dataset)
        place = len(content) - pixels.nbytes
        self._head, self._pixels = content[:place], content[place:]
        self._prefix = f"2.25.{int.from_bytes(os.urandom(4), 'big') + 10**9:010d}"

    def objects(self, count: int) -> list[tuple[IncomingObject, bytes]]:
        """Return so many objects, each with what its command set says."""
        made = []
        for number in range(count):
            uid = f"{self._prefix}{number + 1:0{len(_INSTANCE) - len(self._prefix)}d}"
            head = self._head.replace(_INSTANCE.encode(), uid.encode())
            head = head.replace(_NUMBER.encode(), f"{number:08d}".encode())
            made.append((IncomingObject(CT, uid, EXPLICIT), head + self._pixels))
        return made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=400, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", type=Path)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(dir=options.dir) as folder, _intake(Path(folder)) as intake:
        _store(intake, Study(32).objects(20))
        if options.profile:
            _print_profile(intake, options.objects)
            return
        print(f"{'object':8} {'threads':>8} {'objects/s':>10} {'CPU ms/object':>14} {'wall ms':>8}")
        for size, side in SIDES.items():
            for senders in SENDERS:
                rounds = [
                    measured(intake, side, senders, options.objects) for _ in range(options.rounds)
                ]
                best = statistics.median(one.rate for one in rounds)
                processor = statistics.median(one.processor_ms for one in rounds)
                wall = statistics.median(one.wall_ms for one in rounds)
                print(f"{size:8} {senders:8} {best:10.0f} {processor:14.2f} {wall:8.2f}")


def measured(intake: Intake, side: int, senders: int, objects: int) -> Figures:
    """Store `objects` objects of one size, divided among so many threads."""
    work = [Study(side).objects(objects // senders) for _ in range(senders)]
    walls: list[float] = []
    threads = [
        threading.Thread(target=lambda some=some: walls.extend(_store(intake, some)))
        for some in work
    ]
    started, processor = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, spent = time.perf_counter() - started, time.process_time() - processor
    count = sum(map(len, work))
    if len(walls) != count:
        raise SystemExit(f"{count - len(walls)} of {count} objects were not stored")
    return Figures(count / seconds, spent / count * 1e3, statistics.median(walls) * 1e3)


def _store(intake: Intake, objects: list[tuple[IncomingObject, bytes]]) -> list[float]:
    """Store some objects of one association; return how many seconds each took."""
    origin = AssociationOrigin(os.urandom(8).hex(), PEER)
    walls = []
    for incoming, content in objects:
        started = time.perf_counter()
        reception = intake.begin(origin, incoming)
        for start in range(0, len(content), FRAGMENT_BYTES):
            reception.write(content[start : start + FRAGMENT_BYTES])
        reception.commit()
        walls.append(time.perf_counter() - started)
    return walls


def _print_profile(intake: Intake, objects: int) -> None:
    for size, side in SIDES.items():
        some = Study(side).objects(objects)
        profile = cProfile.Profile()
        profile.runcall(_store, intake, some)
        print(f"\n{size}, {objects} objects, one thread")
        pstats.Stats(profile).sort_stats("tottime").print_stats(HOTTEST)


@contextmanager
def _intake(folder: Path) -> Iterator[Intake]:
    audit_key = new_key()
    archive = open_archive(
        ArchiveSettings(), folder, index_key=new_key(), wrapper=FileKeyWrapper(new_key())
    )
    trail = Trail("dicom", "benchmark", "SECOND", utc_now, RecordSealer(audit_key), audit_key)
    try:
        yield Intake(archive, trail, utc_now, new_key(), 1)
    finally:
        archive.close()


if __name__ == "__main__":
    main()
