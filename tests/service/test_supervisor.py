"""The supervisor: what dies is started again, and everything ends when it is told to."""

import subprocess
import sys
import threading
import time

from service.supervisor import Supervisor

QUICK = "pass"
PATIENT = "import time; time.sleep(60)"


class Launcher:
    """Starts a small program for each role, and remembers every process."""

    def __init__(self, programs: list[str]) -> None:
        self.programs = programs
        self.processes: list[subprocess.Popen[bytes]] = []

    def __call__(self, role: str) -> "subprocess.Popen[bytes]":
        program = self.programs[min(len(self.processes), len(self.programs) - 1)]
        process = subprocess.Popen([sys.executable, "-c", program])
        self.processes.append(process)
        return process


def wait_for(launcher: Launcher, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(launcher.processes) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_role_that_dies_is_started_again() -> None:
    launcher = Launcher([QUICK, PATIENT])
    supervisor = Supervisor(launcher, roles=["api"])
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    wait_for(launcher, 2)
    supervisor.stop()
    thread.join(30)
    assert launcher.processes[1].poll() is not None


def test_the_service_ends_when_a_role_cannot_start_before_an_operator_acts() -> None:
    launcher = Launcher([PATIENT, "raise SystemExit(78)"])
    supervisor = Supervisor(launcher, roles=["reader", "dicom"])
    assert not supervisor.run()
    assert [process.poll() is None for process in launcher.processes] == [False, False]


def test_a_reader_that_cannot_start_keeps_nobody_from_sending() -> None:
    launcher = Launcher(["raise SystemExit(78)"])
    supervisor = Supervisor(launcher, roles=["reader"])
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    wait_for(launcher, 2)
    supervisor.stop()
    thread.join(30)


def test_what_once_ran_is_started_again_whatever_it_says() -> None:
    launcher = Launcher([QUICK, "raise SystemExit(78)", PATIENT])
    supervisor = Supervisor(launcher, roles=["api"])
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    wait_for(launcher, 3)
    supervisor.stop()
    thread.join(30)


def test_every_role_ends_when_the_service_is_stopped() -> None:
    launcher = Launcher([PATIENT])
    supervisor = Supervisor(launcher, roles=["reader", "worker", "api"])
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    wait_for(launcher, 3)
    supervisor.stop()
    thread.join(30)
    assert all(process.poll() is not None for process in launcher.processes)


def test_a_role_that_ignores_the_end_is_killed() -> None:
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    launcher = Launcher([stubborn])
    supervisor = Supervisor(launcher, roles=["api"], grace_s=0.5)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    wait_for(launcher, 1)
    time.sleep(0.5)  # the program has to install its handler first
    supervisor.stop()
    thread.join(30)
    assert launcher.processes[0].returncode == -9
