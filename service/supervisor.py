"""Start, watch and restart the roles."""

import ctypes
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from service.wiring import EXIT_CONFIGURATION

log = logging.getLogger(__name__)

ROLES = ("reader", "worker", "dicom", "api")
"""In the order of their start: what others wait for comes first."""

_INDISPENSABLE = frozenset({"worker", "dicom", "api"})
"""Without a reader objects are still taken into custody, and read when it is there again."""

_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.5, 30.0
_STABLE_S = 60.0
"""A child that lived so long starts again without waiting."""
_PR_SET_PDEATHSIG = 1
OURS_ALONE = 0o077
"""The umask of everything that writes here: nobody else may read it."""

_MODELS_NEED = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH"})
_MODELS_NEED_ALL_OF = ("LC_", "PYTHON", "OMP_", "MKL_", "OPENBLAS_", "CUDA_", "NVIDIA_")
"""All that the reader gets of the environment, so that no name of a secret file, no password and
no PIN is in reach of a model runtime. Libraries and processors are found and divided by these."""

Launcher = Callable[[str], "subprocess.Popen[bytes]"]


@dataclass
class _Child:
    role: str
    process: "subprocess.Popen[bytes]"
    started: float
    failures: int = 0
    has_restarted: bool = False


@dataclass
class Supervisor:
    """Keeps one process of each role alive until it is told to stop."""

    launch: Launcher
    roles: Sequence[str] = ROLES
    grace_s: float = 30.0
    """How long a child may take to finish what it is doing."""
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set once it is to end."""
    _is_misconfigured: bool = False

    def run(self) -> bool:
        """Start every role and restart what dies, with a growing wait, until `stop`.

        Returns
        -------
        bool
            False if it ended because a role cannot start before an operator acts.
        """
        children = [self._start(role) for role in self.roles]
        due: dict[str, float] = {}
        while not self.stopping.wait(0.1):
            for child in children:
                self._watch(child, due)
        self._end(children)
        return not self._is_misconfigured

    def stop(self, *_: object) -> None:
        """Ask `run` to end; safe to call from a signal handler."""
        self.stopping.set()

    def _start(self, role: str) -> _Child:
        process = self.launch(role)
        log.info("role %s started as process %d", role, process.pid)
        return _Child(role, process, time.monotonic())

    def _watch(self, child: _Child, due: dict[str, float]) -> None:
        if child.process.poll() is None:
            return
        if self._cannot_start(child):
            log.error("role %s cannot start, and says why; the service ends", child.role)
            self._is_misconfigured = True
            self.stop()
            return
        now = time.monotonic()
        if child.role not in due:
            child.failures = 0 if now - child.started > _STABLE_S else child.failures + 1
            wait = min(_FIRST_BACKOFF_S * 2 ** (child.failures - 1), _LONGEST_BACKOFF_S)
            due[child.role] = now + (wait if child.failures else 0.0)
            log.warning(
                "role %s ended with %d; it starts again in %.1f s",
                child.role,
                child.process.returncode,
                due[child.role] - now,
            )
        if now >= due[child.role]:
            del due[child.role]
            fresh = self._start(child.role)
            child.process, child.started = fresh.process, fresh.started
            child.has_restarted = True

    @staticmethod
    def _cannot_start(child: _Child) -> bool:
        """Whether it is no use to start again; what once ran goes on as soon as it can."""
        return (
            child.process.returncode == EXIT_CONFIGURATION
            and child.role in _INDISPENSABLE
            and not child.has_restarted
        )

    def _end(self, children: Sequence[_Child]) -> None:
        for child in reversed(children):  # first those that take work in
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self.grace_s
        for child in children:
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning(
                    "role %s did not end within %g s and is killed", child.role, self.grace_s
                )
                child.process.kill()
                child.process.wait()


def role_launcher(config_file: str, environment: Mapping[str, str]) -> Launcher:
    """Return what starts one role of this installation in a process of its own."""

    def launch(role: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "service.wiring", role, config_file],
            env=_environment_of(role, environment),
            umask=OURS_ALONE,
            stdin=subprocess.DEVNULL,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, no lock is taken
        )

    return launch


def _environment_of(role: str, environment: Mapping[str, str]) -> dict[str, str]:
    if role != "reader":
        return dict(environment)
    return {
        name: value
        for name, value in environment.items()
        if name in _MODELS_NEED or name.startswith(_MODELS_NEED_ALL_OF)
    }


def _die_with_parent() -> None:
    """Have the kernel end this child when the supervisor is killed. Source: prctl(2)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
