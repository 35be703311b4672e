"""Senders that push without end, and what the other side told them."""

import hashlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
from pydicom.dataset import FileDataset

from core.uids import random_uid
from tests.support.builders import encoded, endoscopic_image
from tests.support.installation import storescu

_SENDING = re.compile(r"I: Sending file: (.+)")
_STORED = "I: Received Store Response (Success)"

SIDE, CELL = 64, 8
"""Of pictures that `tests.support.detector` reads."""


@dataclass(frozen=True)
class SentObject:
    """One object that lies ready to be sent."""

    file: Path
    sop_instance_uid: str
    study_instance_uid: str
    digest: str
    """Of its data set, as it is to be found in the archive."""


@dataclass
class Sender(threading.Thread):
    """Sends one small study after the other, each by an unchanged `storescu`, until it is told."""

    folder: Path
    port: int
    random: Random
    pause_s: float = 0.6
    """The longest time between two studies."""
    acknowledged: list[SentObject] = field(default_factory=list)
    unanswered: list[SentObject] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self._enough = threading.Event()

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Send; what comes of each object is in `acknowledged` or in `unanswered`."""
        number = 0
        while not self._enough.wait(self.random.uniform(0.0, self.pause_s)):
            number += 1
            objects = self.study(self.folder / f"{number:04d}")
            stored = send(self.port, objects)
            self.acknowledged += [one for one in objects if one in stored]
            self.unanswered += [one for one in objects if one not in stored]

    def stop(self) -> None:
        """Ask it to end after the study that it sends now."""
        self._enough.set()

    def study(self, folder: Path) -> list[SentObject]:
        """Make a study of some objects in a folder."""
        folder.mkdir(parents=True)
        uids = {"StudyInstanceUID": random_uid(), "SeriesInstanceUID": random_uid()}
        patient = f"P{self.random.randrange(10**9):09d}"
        attributes = {**uids, "PatientID": patient, "PatientName": f"Killed^{patient}"}
        return [
            _written(folder / f"{number}.dcm", endoscopic_image(self._pixels(), attributes))
            for number in range(self.random.randint(1, 4))
        ]

    def _pixels(self) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
        """Return a picture with up to two bright cells."""
        pixels = np.full((SIDE, SIDE, 3), self.random.randrange(60), np.uint8)
        for _ in range(self.random.randrange(3)):
            row, column = (CELL * self.random.randrange(SIDE // CELL) for _ in range(2))
            pixels[row : row + CELL, column : column + CELL] = 255
        return pixels


def _written(file: Path, dataset: FileDataset) -> SentObject:
    dataset.save_as(file, enforce_file_format=True)
    return SentObject(
        file, str(dataset.SOPInstanceUID), str(dataset.StudyInstanceUID), digest(encoded(dataset))
    )


def digest(data_set: bytes) -> str:
    """Return what stands for a data set."""
    return hashlib.sha256(data_set).hexdigest()


def send(port: int, objects: list[SentObject]) -> list[SentObject]:
    """Send objects over one association; return those that were answered with success."""
    if not objects:
        return []
    output, _ = storescu(port, *(one.file for one in objects)).communicate(timeout=120)
    by_name = {str(one.file): one for one in objects}
    stored: list[SentObject] = []
    current: SentObject | None = None
    for line in output.decode(errors="replace").splitlines():
        if sending := _SENDING.match(line):
            current = by_name[sending[1]]
        elif line == _STORED and current is not None:
            stored.append(current)
            current = None
    return stored


def push(senders: list[Sender], until: Callable[[], None]) -> None:
    """Let all senders push while `until` runs, and wait for their end."""
    for sender in senders:
        sender.start()
    try:
        until()
    finally:
        for sender in senders:
            sender.stop()
        for sender in senders:
            sender.join(120)
