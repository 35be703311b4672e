"""Every suite whose size is chosen: how big it is in the gate, how big in a long run.

`python -m tests.torture.manifest` prints the table; `python -m tests.torture.manifest SUITE
[TRIALS]` runs one, or with `all` every one, in its long form. Trials that are done are noted in the
folder `.torture`, and a later run goes on after them.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

STATE = "SECOND_READER_TORTURE_STATE"
_FOLDER = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Suite:
    """One of them."""

    what: str
    program: tuple[str, ...]
    """Arguments to Python."""
    gate: int
    """How many trials the gate makes."""
    long: int
    variable: str = ""
    """Says how many, if it is a test."""
    option: str = ""
    """Says how many, if it is a program."""
    more: tuple[str, ...] = ()
    """Its other arguments."""

    def size(self) -> int:
        """Return how many trials this run makes."""
        return int(os.environ.get(self.variable, self.gate)) if self.variable else self.gate

    def command(self, trials: int) -> list[str]:
        """Return what runs it with so many trials."""
        sized = [self.option, str(trials)] if self.option else []
        return [sys.executable, *self.program, *sized, *self.more]

    def environment(self, trials: int) -> dict[str, str]:
        """Return what its environment needs besides."""
        state = {STATE: os.environ.get(STATE, str(_FOLDER / ".torture"))}
        return {**state, **({self.variable: str(trials)} if self.variable else {})}

    @property
    def is_here(self) -> bool:
        """Whether what it runs exists."""
        target = self.program[-1]
        file = target if target.endswith(".py") else target.replace(".", "/") + ".py"
        return (_FOLDER / file).exists()


def _tests(what: str, file: str, gate: int, long: int) -> Suite:
    name = Path(file).stem.removeprefix("test_").upper()
    return Suite(what, ("-m", "pytest", file), gate, long, f"SECOND_READER_{name}_TRIALS")


SUITES: Mapping[str, Suite] = {
    "kill": _tests("kill -9 of the whole service (REL-1)", "tests/torture/test_kill.py", 1, 300),
    "failpoints": _tests(
        "kill at every step from reading to replying (REL-2); a trial is one step",
        "tests/torture/test_failpoints.py", 2, 290,
    ),
    "power-loss": _tests(
        "the disk forgets what was not synced (REL-2)", "tests/torture/test_power_loss.py", 2, 50
    ),
    "sync-faults": _tests(
        "the k-th sync fails (REL-3); a trial is one k", "tests/torture/test_sync_faults.py", 3, 61
    ),
    "disk-full": _tests(
        "archive, database, audit or keystore is full (REL-4)",
        "tests/torture/test_disk_full.py", 1, 20,
    ),
    "database": _tests(
        "the database is locked, away, or stopped (REL-5)", "tests/torture/test_database.py", 1, 20
    ),
    "drain": _tests("SIGTERM while senders push (REL-14)", "tests/torture/test_drain.py", 1, 20),
    "siege": Suite(
        "senders while others attack the listener; a trial is a second",
        ("-m", "pytest", "tests/system/test_siege.py"), 20, 600, "SECOND_READER_SIEGE_S",
    ),
    "parse": Suite(
        "hostile objects (REL-8)",
        ("-m", "tests.fuzz.parse"), 200, 200_000, option="--runs",
        more=("--engine", "seeded", "--seconds", "1e9", "--corpus", ".torture/parse"),
    ),
    "pdu": Suite(
        "hostile associations (REL-8)",
        ("-m", "tests.fuzz.pdu"), 200, 200_000, option="--runs",
        more=("--seconds", "1e9", "--corpus", ".torture/pdu"),
    ),
}  # fmt: skip


def size(suite: str) -> int:
    """Return how many trials of a suite this run makes."""
    return SUITES[suite].size()


def diary_file(suite: str) -> Path | None:
    """Return where the trials of a suite are noted; None if they are not."""
    folder = os.environ.get(STATE)
    return None if folder is None else Path(folder, f"{suite}.jsonl")


def main(arguments: list[str]) -> int:
    """Print the table, or run suites in their long form; return how many failed."""
    if not arguments:
        for name, suite in SUITES.items():
            sys.stdout.write(f"{name:12} {suite.gate:6} {suite.long:7}  {suite.what}\n")
        return 0
    names = list(SUITES) if arguments[0] == "all" else [arguments[0]]
    return sum(_run(SUITES[name], arguments[1:]) != 0 for name in names if SUITES[name].is_here)


def _run(suite: Suite, trials: list[str]) -> int:
    number = int(trials[0]) if trials else suite.long
    environment = {**os.environ, **suite.environment(number)}
    done = subprocess.run(suite.command(number), cwd=_FOLDER, env=environment, check=False)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
