"""The three receivers of a run, each on loopback with an empty storage, and what they cost.

Nothing is deleted before the end: for a minute ext4 looks again and again at the places of deleted
files whenever a new one is made, which costs a millisecond of processor time each.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.installation import AE_TITLE, install, running
from tests.support.peers import free_port, orthanc, wait_for_port

US, ORTHANC, STORESCP = "us", "Orthanc", "storescp"


@dataclass(frozen=True)
class Receiver:
    """Where to send to, and whose processor time and memory that is."""

    name: str
    port: int
    processes: Callable[[], list[psutil.Process]]

    def processor_s(self) -> dict[str, float]:
        """Return what its processes have used so far, those that ended included."""
        used: dict[str, float] = {}
        for process in self.processes():
            try:
                times = process.cpu_times()
                title = _title(process)
            except psutil.NoSuchProcess:
                continue
            spent = times.user + times.system + times.children_user + times.children_system
            used[title] = used.get(title, 0.0) + spent
        return used

    def forget_peaks(self) -> None:
        """Let the peak of resident memory be that of now. Source: proc(5), clear_refs."""
        for process in self.processes():
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")

    def peaks(self) -> dict[int, int]:
        """Return the peak of resident bytes of each process since `forget_peaks`."""
        return {process.pid: _peak(process.pid) for process in self.processes()}


@contextmanager
def receivers(folder: Path, processes: int) -> Iterator[list[Receiver]]:
    """Run all three, ours with so many processes that receive; stops them at the end."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(_us(folder / "installation", processes)),
            stack.enter_context(_orthanc(folder / "orthanc")),
            stack.enter_context(_storescp(folder / "storescp")),
        ]


@contextmanager
def _us(folder: Path, processes: int) -> Iterator[Receiver]:
    """Run the service as it is installed, but that no study becomes complete meanwhile."""
    sections: dict[str, dict[str, object]] = {
        "completeness": {"quiet_time_s": 3600.0},
        "dicom_node": {"processes": processes},
    }
    service = install(folder, sections=sections)
    with running(service):
        yield Receiver(US, service.dicom_port, service.processes)


@contextmanager
def _orthanc(folder: Path) -> Iterator[Receiver]:
    with orthanc(folder) as server:
        (process,) = [
            one
            for one in psutil.Process().children()
            if str(folder / "orthanc.json") in one.cmdline()
        ]
        yield Receiver(ORTHANC, server.dicom_port, lambda: _family(process))


@contextmanager
def _storescp(folder: Path) -> Iterator[Receiver]:
    """Run DCMTK's receiver, which writes plain files and syncs none of them."""
    folder.mkdir(parents=True)
    port = free_port()
    command = ["storescp", "--fork", "--quiet", "-od", str(folder), str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for_port(port)
            parent = psutil.Process(process.pid)
            yield Receiver(STORESCP, port, lambda: _family(parent))
        finally:
            process.terminate()


def _family(parent: psutil.Process) -> list[psutil.Process]:
    return [parent, *parent.children(recursive=True)]


def _title(process: psutil.Process) -> str:
    """Return the role of one of our processes, or the name of another's."""
    command = process.cmdline()
    if command[1:3] == ["-m", "service.wiring"]:
        return str(command[3])
    return "supervisor" if command[1:3] == ["-m", "service"] else str(process.name())


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


TITLES = {US: AE_TITLE, ORTHANC: "ORTHANC", STORESCP: "STORESCP"}
"""The called AE title of each."""
