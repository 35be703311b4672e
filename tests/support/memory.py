"""What processes take and load, and one role started alone.

Proportional memory (PSS) counts a page that n processes share as one n-th. A role that runs alone
therefore takes more than beside the others.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from service.supervisor import role_launcher
from tests.support.installation import Service

REST_S = 2.0
"""After what it began with, a process is given so long to settle."""
RUNTIMES = ("libtorch", "/torch/", "onnxruntime", "openvino", "libcuda")
"""How the libraries of model runtimes show among the files that a process has mapped."""


def pss_mib(process: psutil.Process) -> float:
    """Return what a process and everything below it take."""
    return sum(_pss_kib(one.pid) for one in with_children(process)) / 1024


def runtimes(process: psutil.Process) -> set[str]:
    """Return the model runtimes that a process, or one below it, has mapped."""
    maps = [Path(f"/proc/{one.pid}/maps").read_text() for one in with_children(process)]
    return {name for name in RUNTIMES if any(name in mapped for mapped in maps)}


def with_children(process: psutil.Process) -> list[psutil.Process]:
    """Return a process and everything below it."""
    return [process, *process.children(recursive=True)]


def _pss_kib(pid: int) -> int:
    """Source: proc_pid_smaps(5)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("Pss:")))


@contextmanager
def alone(service: Service, role: str) -> Iterator[psutil.Process]:
    """Start one role as the supervisor does; it is up and at rest when the block begins."""
    process = role_launcher(str(service.config), os.environ)(role)
    try:
        _wait_until_up(_signs(service, process.pid)[role], process)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _signs(service: Service, pid: int) -> dict[str, Callable[[], bool]]:
    """Return by what each role shows that it has started."""
    process = psutil.Process(pid)

    def listens() -> bool:
        return any(one.status == psutil.CONN_LISTEN for one in process.net_connections())

    return {
        "dicom": listens,
        "api": listens,
        "reader": (service.folder / "run" / "reader.sock").exists,
        "worker": (service.folder / "data" / "workflows.db").exists,
    }


def _wait_until_up(sign: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while not sign():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the role did not start ({process.poll()})")
        time.sleep(0.1)
    time.sleep(REST_S)
