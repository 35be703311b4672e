"""Our library below a role's process: what it is told, and how it gets there.

The library is C in `shim/`, built with the system's compiler. Rules lie in a file that all
processes map, so that they change while the service runs, and calls are counted over all of them.
"""

import errno
import hashlib
import mmap
import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from pathlib import Path

from tests.support.installation import Service

_SOURCES = Path(__file__).with_name("shim")
_RULE = struct.Struct("<IIIiIIII32s192s")
_RULES = 16


class Kind(IntFlag):
    """Calls, as in shim.h."""

    OPEN = 1 << 0
    WRITE = 1 << 1
    TRUNCATE = 1 << 2
    SYNC = 1 << 3
    RENAME = 1 << 4
    LINK = 1 << 5
    UNLINK = 1 << 6
    MKDIR = 1 << 7
    REPLY = 1 << 8
    REQUEST = 1 << 9


GROWING = Kind.OPEN | Kind.WRITE | Kind.MKDIR | Kind.LINK
"""What a full disk refuses; also truncation to a larger size, which nobody here does."""
CHANGING = GROWING | Kind.TRUNCATE | Kind.SYNC | Kind.RENAME | Kind.UNLINK


class Action(IntEnum):
    """What becomes of a call, as in shim.h."""

    KILL_BEFORE = 1
    KILL_AFTER = 2
    KILL_HALF = 3
    FAIL = 4
    LIE = 5


@dataclass(frozen=True)
class Rule:
    """Which calls are hit, and what happens then."""

    kinds: Kind
    pattern: str
    """Of the path below the installation, as fnmatch(3) reads it; `socket` for what is sent."""
    action: Action
    error: int = errno.EIO
    role: str = ""
    """Of the process; empty for all."""
    skip: int = 0
    """So many matching calls are let through."""
    times: int = 1
    """So many are hit; 0 for all that follow."""


class Control:
    """The rules of this moment, for every process that maps the same file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.write_bytes(bytes(_RULES * _RULE.size))
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), 0)

    def arm(self, *rules: Rule) -> None:
        """Let these rules hold, and no others."""
        self.clear()
        for number, rule in enumerate(rules):
            packed = _RULE.pack(
                0, rule.kinds, rule.action, rule.error, rule.skip, rule.times, 0, 0,
                rule.role.encode(), rule.pattern.encode(),
            )  # fmt: skip
            start = number * _RULE.size
            self._map[start : start + _RULE.size] = packed
        for number in range(len(rules)):
            struct.pack_into("<I", self._map, number * _RULE.size, 1)

    def clear(self) -> None:
        """Let no rule hold."""
        for number in range(_RULES):
            struct.pack_into("<I", self._map, number * _RULE.size, 0)

    def fired(self) -> int:
        """Return how many calls were hit since the rules were armed."""
        return sum(self._rule(number)[7] for number in range(_RULES))

    def seen(self, number: int = 0) -> int:
        """Return how many calls the rule of this number has matched."""
        return int(self._rule(number)[6])

    def _rule(self, number: int) -> tuple[int, ...]:
        return _RULE.unpack_from(self._map, number * _RULE.size)

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()


@dataclass(frozen=True)
class Preload:
    """What a role's environment needs to have the library below it."""

    library: Path
    root: Path
    control: Control = field(repr=False)
    trace: Path | None = None

    def environment(self) -> dict[str, str]:
        """Return the variables that stand for it; `LD_PRELOAD` comes with the process itself."""
        made = {
            "TORTURE_LIBRARY": str(self.library),
            "TORTURE_ROOT": str(self.root),
            "TORTURE_CONTROL": str(self.control.file),
        }
        return made if self.trace is None else made | {"TORTURE_TRACE": str(self.trace)}

    def put_under(self, service: Service, *roles: str) -> None:
        """Have these roles of a service start with the library below them."""
        service.program = ("tests.torture.serve",)
        variables = {**self.environment(), "TORTURE_ROLES": ",".join(roles)}
        service.environment = {**service.environment, **variables}


@contextmanager
def preload(root: Path, folder: Path, *, traced: bool = False) -> Iterator[Preload]:
    """Make what is needed to put the library below processes that write under `root`."""
    folder.mkdir(parents=True, exist_ok=True)
    control = Control(folder / "control")
    trace = folder / "trace" if traced else None
    if trace is not None:
        trace.touch()
    try:
        yield Preload(build(), root.resolve(), control, trace)
    finally:
        control.close()


def build() -> Path:
    """Return the library, compiled now unless that was done before."""
    sources = sorted(_SOURCES.iterdir())
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    cache = Path(tempfile.gettempdir()) / f"second-reader-torture-{os.getuid()}"
    cache.mkdir(mode=0o700, exist_ok=True)
    library = cache / f"shim-{digest[:16]}.so"
    if not library.exists():
        unfinished = library.with_suffix(f".{os.getpid()}")
        files = [str(source) for source in sources if source.suffix == ".c"]
        flags = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
        subprocess.run(["gcc", *flags, "-o", str(unfinished), *files, "-ldl"], check=True)
        unfinished.rename(library)
    return library
