"""A PostgreSQL of our own on loopback, started and stopped like one that an operator runs."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.peers import free_port

_USER = "postgres"
"""Debian's package makes it; PostgreSQL refuses to run as root."""


@dataclass(frozen=True)
class Postgres:
    """One server with an empty database."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        """What goes into `archive.database_url`."""
        return f"postgresql+psycopg://{_USER}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start, and return once it answers."""
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder}"
        _run("pg_ctl", "-D", f"{self.folder}/data", "-o", options, "-l", self.log, "-w", "start")

    def stop(self, mode: str) -> None:
        """Stop: `fast` ends sessions, `immediate` is a crash."""
        _run("pg_ctl", "-D", f"{self.folder}/data", "-m", mode, "-w", "stop")

    @property
    def log(self) -> str:
        """Where it writes its log."""
        return f"{self.folder}/log"


def program(name: str) -> str | None:
    """Return where a program of PostgreSQL is; Debian keeps them beside the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(found[-1]) if found else None)


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """Run one; `folder` must be reachable for everybody."""
    folder.mkdir(parents=True)
    if os.geteuid() == 0:
        shutil.chown(folder, _USER, _USER)
    server = Postgres(folder, free_port())
    _run("initdb", "-D", f"{folder}/data", "-U", _USER, "-A", "trust", "-E", "UTF8")
    server.start()
    try:
        yield server
    finally:
        server.stop("immediate")


def _run(name: str, *arguments: str) -> None:
    found = program(name)
    assert found is not None, name
    as_user = ["runuser", "-u", _USER, "--"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*as_user, found, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{name}: {done.stderr}"
