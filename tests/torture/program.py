"""A small program of its own, run under the library."""

import os
import subprocess
import sys
from pathlib import Path
from random import Random

from tests.torture.disk import Disk, Mercy
from tests.torture.preload import Preload
from tests.torture.trace import read_trace


def run(below: Preload, program: str, name: str = "x") -> "subprocess.CompletedProcess[str]":
    """Run a program under the library, as role `saver`; it gets the root and a name."""
    variables = {"LD_PRELOAD": str(below.library), "TORTURE_ROLE": "saver"}
    return subprocess.run(
        [sys.executable, "-c", program, str(below.root), name],
        env={**os.environ, **below.environment(), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def after_power_loss(
    before: Disk, below: Preload, folder: Path, lied_about: tuple[str, ...] = ()
) -> Path:
    """Return the folder as a power cut at the end of the recording leaves it."""
    assert below.trace is not None
    before.replay(read_trace(below.trace), lied_about=lied_about)
    before.cut(folder, mercy=Mercy.NOTHING, random=Random(1))
    return folder
