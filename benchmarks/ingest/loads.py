"""What is sent in one row of the table, and how."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.ingest.receivers import TITLES, Receiver
from benchmarks.ingest.sender import INSTANCE, SERIES, STUDY
from core.uids import random_uid
from tests.support.builders import ct_image, encoded
from tests.support.installation import SENDER, storescu

SIDES = {"40 kB": 140, "512 kB": 512}
"""Rows and columns of 16-bit pixels."""

SETTLE_S = 0.5
"""What a receiver does after its answers counts as its processor time if it comes this soon."""


@dataclass(frozen=True)
class Load:
    """One row: so many senders of one size."""

    size: str
    senders: int
    is_stock: bool = False
    """An unchanged `storescu`, Nagle's algorithm and all, instead of our own sender."""

    @property
    def title(self) -> str:
        """What the table calls it."""
        if self.is_stock:
            return f"{self.size}, storescu"
        return f"{self.size}, {self.senders} sender{'s' * (self.senders > 1)}"


LOADS = [
    *(Load(size, senders) for size in SIDES for senders in (1, 4, 16)),
    *(Load(size, 1, is_stock=True) for size in SIDES),
]


@dataclass(frozen=True)
class Sent:
    """What one run of one load came to."""

    objects: int
    seconds: float
    processor_s: dict[str, float]
    """By process of the receiver."""
    sender_processor_s: float

    @property
    def rate(self) -> float:
        """Objects per second."""
        return self.objects / self.seconds

    @property
    def cost_ms(self) -> float:
        """Processor milliseconds of the receiver for one object."""
        return sum(self.costs_ms.values())

    @property
    def costs_ms(self) -> dict[str, float]:
        """The same by process."""
        return {name: 1000 * used / self.objects for name, used in self.processor_s.items()}


def run(load: Load, receiver: Receiver, objects: int, folder: Path) -> Sent:
    """Send one load to one receiver."""
    before = receiver.processor_s()
    send = _send_stock if load.is_stock else _send_lean
    seconds, sender_s = send(load, receiver, objects, folder)
    time.sleep(SETTLE_S)
    after = receiver.processor_s()
    spent = {title: used - before.get(title, 0.0) for title, used in after.items()}
    return Sent(objects, seconds, spent, sender_s)


def run_long(receiver: Receiver, pixel_bytes: int, folder: Path) -> tuple[float, int]:
    """Send one long multi-frame object; return the seconds, and the growth of resident bytes.

    The growth is that of the process that grew most, over what it held at its peak before.
    """
    frames = pixel_bytes // (2 * 512 * 512)
    attributes = {"NumberOfFrames": frames, **_placeholders()}
    image = ct_image(np.zeros((512, 512), np.int16), attributes)
    del image.PixelData
    file = folder / "long"
    file.write_bytes(encoded(image))
    receiver.forget_peaks()
    before = receiver.peaks()
    took = _lean(receiver, {"data_set": str(file), "pixel_bytes": frames * 2 * 512 * 512})
    after = receiver.peaks()
    return took["seconds"], max(after[pid] - before.get(pid, 0) for pid in after)


def _send_lean(load: Load, receiver: Receiver, objects: int, folder: Path) -> tuple[float, float]:
    file = folder / load.size.replace(" ", "")
    if not file.exists():
        file.write_bytes(encoded(ct_image(_noise(load.size, 0), _placeholders())))
    job = {"data_set": str(file), "senders": load.senders, "objects": objects, "study_of": 50}
    took = _lean(receiver, job)
    return took["seconds"], took["processor_seconds"]


def _lean(receiver: Receiver, job: dict[str, object]) -> dict[str, float]:
    target = {"port": receiver.port, "called": TITLES[receiver.name], "calling": SENDER}
    program = Path(__file__).with_name("sender.py")
    command = [sys.executable, "-I", "-S", str(program), json.dumps({**target, **job})]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"sending to {receiver.name} failed: {done.stderr}")
    took: dict[str, float] = json.loads(done.stdout)
    return took


def _send_stock(load: Load, receiver: Receiver, objects: int, folder: Path) -> tuple[float, float]:
    files = Path(tempfile.mkdtemp(prefix="stock-", dir=folder))
    uids = {"StudyInstanceUID": random_uid(), "SeriesInstanceUID": random_uid()}
    for number in range(objects):
        made = ct_image(_noise(load.size, number), {**uids, "InstanceNumber": number + 1})
        made.save_as(files / f"{number:04d}.dcm", enforce_file_format=True)
    started = time.perf_counter()
    process = storescu(receiver.port, files, called=TITLES[receiver.name])
    output, _ = process.communicate()
    spent = time.perf_counter() - started
    stored = output.count(b"Received Store Response (Success)")
    if stored != objects:
        raise SystemExit(f"{receiver.name} stored {stored} of {objects} objects")
    return spent, 0.0


def _noise(size: str, seed: int) -> "np.ndarray[tuple[int, int], np.dtype[np.int16]]":
    """Return a picture that nothing can compress."""
    side = SIDES[size]
    return np.random.default_rng(seed).integers(-1024, 3000, (side, side), np.int16)


def _placeholders() -> dict[str, object]:
    return {
        "StudyInstanceUID": STUDY.decode(),
        "SeriesInstanceUID": SERIES.decode(),
        "SOPInstanceUID": INSTANCE.decode(),
    }


def chosen(words: Sequence[str]) -> list[Load]:
    """Return the loads whose title holds one of the words; all if there is none."""
    return [load for load in LOADS if not words or any(word in load.title for word in words)]
