"""A whole service in a folder of its own, started as an operator would, on ports of its own."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from api.events import Scope
from core.clock import utc_now
from service.foundation import opened
from service.keys import create_keys
from service.settings import load_settings
from tests.support.peers import free_port, wait_for_port

SENDER = "SENDER"
AE_TITLE = "SECOND_READER"


@dataclass
class Service:
    """One installation and, once started, its processes."""

    folder: Path
    api_key: str = field(repr=False)
    dicom_port: int
    api_port: int
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    program: Sequence[str] = ("service", "serve")
    """The module that starts all roles, and its first arguments."""
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def config(self) -> Path:
        """Its config.yaml."""
        return self.folder / "config.yaml"

    @property
    def log(self) -> Path:
        """What all roles wrote to standard error."""
        return self.folder.parent / f"{self.folder.name}.log"

    def run(self, *arguments: str, check: bool = True) -> str:
        """Run one command on this installation; return what it printed."""
        done = command(*arguments, environment={**self.environment, **self._variables()})
        if check and done.returncode != 0:
            raise AssertionError(f"{arguments[0]} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """Run one command with --json; return the data."""
        return json.loads(self.run(*arguments, "--json"))

    def get(self, path: str) -> Any:
        """Return what REST answers to a GET, as JSON."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.api_port}{path}",
            headers={"Authorization": f"Bearer {self.api_key}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def start(self) -> None:
        """Start every role and wait until all are ready."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start every role."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.program, "--config", str(self.config)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**self.environment, **self._variables()},
            )

    def wait_until_ready(self, *, seconds: float = 180.0) -> None:
        """Return once `/readyz` says so, and the listener of this very start listens.

        Readiness goes by leases, which outlive a process that was killed by some seconds.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.api_port}/readyz", timeout=5):
                    wait_for_port(self.dicom_port)
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
        raise AssertionError(f"the service is not ready after {seconds:g} s:\n{self.tail()}")

    def stop(self) -> None:
        """End it as a service manager does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
            self.process = None

    def kill(self) -> None:
        """kill -9 every process of it at once, as a power cut would end them."""
        assert self.process is not None
        for process in self.processes():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait(30)
        self.process = None

    def processes(self) -> list[psutil.Process]:
        """Return the supervisor and everything below it."""
        if self.process is None:
            return []
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def role(self, name: str) -> psutil.Process:
        """Return the process of one role."""
        return next(
            p for p in self.processes() if p.cmdline()[1:4] == ["-m", "service.wiring", name]
        )

    def tail(self, lines: int = 40) -> str:
        """Return the end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _variables(self) -> dict[str, str]:
        return {"SECOND_READER_CONFIG": str(self.config)}


def command(
    *arguments: str, environment: Mapping[str, str] | None = None, timeout_s: float = 300.0
) -> "subprocess.CompletedProcess[str]":
    """Run `second-reader` with `arguments`; never raises for its exit code."""
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=None if environment is None else dict(environment),
        check=False,
    )


def install(
    folder: Path,
    *,
    destinations: Sequence[Mapping[str, Any]] = (),
    sections: Mapping[str, Mapping[str, Any]] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Service:
    """Make a new installation whose only peer is a sender on loopback."""
    folder.mkdir(parents=True)
    create_keys(folder / "keys")
    made = Service(
        folder,
        "",
        free_port(),
        free_port(),
        dict(os.environ if environment is None else environment),
    )
    settings: dict[str, dict[str, Any]] = {
        "dicom_node": {
            "ae_title": AE_TITLE,
            "host": "127.0.0.1",
            "port": made.dicom_port,
            "peers": [{"name": "sender", "ae_title": SENDER, "addresses": ["127.0.0.0/8"]}],
        },
        "api": {"port": made.api_port},
        "completeness": {"quiet_time_s": 2.0, "by_modality": {}},
        "delivery": {"destinations": [dict(entry) for entry in destinations]},
    }
    for name, values in (sections or {}).items():
        settings.setdefault(name, {}).update(values)
    made.config.write_text(yaml.safe_dump(settings, sort_keys=False))
    with (
        opened(load_settings(made.config), "test") as foundation,
        foundation.archive.transaction() as tx,
    ):
        accounts = foundation.archive.accounts
        issued = accounts.issue(tx, "test", [scope.value for scope in Scope], at=utc_now())
    made.api_key = issued.secret
    return made


@contextmanager
def running(service: Service) -> Iterator[Service]:
    """Start a service; stop it at the end, whatever happened."""
    try:
        service.start()
        yield service
    finally:
        if service.process is not None and service.process.poll() is None:
            service.stop()


def storescu(
    port: int,
    *paths: Path,
    options: Sequence[str] = (),
    calling: str = SENDER,
    called: str = AE_TITLE,
) -> "subprocess.Popen[bytes]":
    """Start DCMTK's unchanged sender with the files or folders at `paths`."""
    titles = ["-aet", calling, "-aec", called]
    return subprocess.Popen(
        [
            "storescu",
            "-v",
            "+sd",
            "+r",
            *options,
            *titles,
            "127.0.0.1",
            str(port),
            *map(str, paths),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
