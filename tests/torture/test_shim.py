"""The library below a process, its recording, and the disk that forgets."""

import errno
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.torture.disk import Disk, Mercy
from tests.torture.preload import Action, Kind, Preload, Rule, preload
from tests.torture.program import after_power_loss, run
from tests.torture.trace import Phase, acknowledged, read_trace

pytestmark = pytest.mark.external("gcc")

SAVE = """
import os, sys
folder, name = sys.argv[1:3]
part, final = f"{folder}/{name}.part", f"{folder}/{name}"
file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
os.write(file, b"a" * 4096)
os.fsync(file)
os.rename(part, final)
top = os.open(folder, os.O_RDONLY)
os.fsync(top)
print("saved")
"""
COMMIT = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1] + "/" + sys.argv[2], isolation_level=None)
database.execute("PRAGMA journal_mode=WAL")
database.execute("PRAGMA synchronous=FULL")
database.execute("CREATE TABLE IF NOT EXISTS t (n)")
for number in range(20):
    database.execute("INSERT INTO t VALUES (?)", (number,))
print("saved")
"""


@pytest.fixture
def below(tmp_path: Path) -> Iterator[Preload]:
    (tmp_path / "kept").mkdir()
    with preload(tmp_path / "kept", tmp_path / "shim", traced=True) as made:
        yield made


def test_every_change_and_every_sync_is_recorded_in_its_order(below: Preload) -> None:
    assert run(below, SAVE).stdout == "saved\n"
    assert below.trace is not None
    found = [(one.kind, one.phase, Path(one.path).name) for one in read_trace(below.trace)]
    assert found == [
        (Kind.OPEN, Phase.DONE, "x.part"),
        (Kind.WRITE, Phase.DONE, "x.part"),
        (Kind.SYNC, Phase.BEGAN, "x.part"),
        (Kind.SYNC, Phase.DONE, "x.part"),
        (Kind.RENAME, Phase.DONE, "x.part"),
        (Kind.SYNC, Phase.BEGAN, "kept"),
        (Kind.SYNC, Phase.DONE, "kept"),
    ]


MOMENTS = [
    (Kind.OPEN, "*/x.part"),
    (Kind.WRITE, "*/x.part"),
    (Kind.SYNC, "*/x.part"),
    (Kind.RENAME, "*/x"),
    (Kind.SYNC, "*/kept"),
]


@pytest.mark.parametrize("action", [Action.KILL_BEFORE, Action.KILL_AFTER])
@pytest.mark.parametrize(("kind", "pattern"), MOMENTS)
def test_a_process_ends_before_or_after_the_call_that_was_named(
    below: Preload, kind: Kind, pattern: str, action: Action
) -> None:
    below.control.arm(Rule(kind, pattern, action, role="saver"))
    assert run(below, SAVE).returncode == -signal.SIGKILL
    assert below.control.fired() == 1
    assert below.trace is not None
    done = [one.kind for one in read_trace(below.trace) if one.phase is Phase.DONE]
    assert len(done) == MOMENTS.index((kind, pattern)) + (action is Action.KILL_AFTER)
    (below.root / "x.part").unlink(missing_ok=True)
    assert run(below, SAVE).returncode == 0  # a rule hits as often as it says


def test_a_write_can_be_cut_in_half(below: Preload) -> None:
    below.control.arm(Rule(Kind.WRITE, "*/x.part", Action.KILL_HALF))
    assert run(below, SAVE).returncode == -signal.SIGKILL
    assert (below.root / "x.part").stat().st_size == 2048


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS])
@pytest.mark.parametrize(("kind", "pattern"), MOMENTS)
def test_a_call_fails_as_it_was_told_to(
    below: Preload, kind: Kind, pattern: str, error: int
) -> None:
    below.control.arm(Rule(kind, pattern, Action.FAIL, error=error))
    assert f"[Errno {error}]" in run(below, SAVE).stderr


def test_a_rule_for_another_role_hits_nothing(below: Preload) -> None:
    below.control.arm(Rule(Kind.SYNC, "*", Action.FAIL, role="worker"))
    assert run(below, SAVE).returncode == 0


def test_what_was_synced_with_its_folder_survives_a_power_cut(
    below: Preload, tmp_path: Path
) -> None:
    disk = Disk(below.root)
    run(below, SAVE)
    assert (after_power_loss(disk, below, tmp_path / "left") / "x").read_bytes() == b"a" * 4096


@pytest.mark.parametrize("action", [Action.LIE, Action.FAIL])
@pytest.mark.parametrize(("pattern", "left"), [("*/x.part", b""), ("*/kept", None)])
def test_what_was_not_synced_does_not(
    below: Preload, tmp_path: Path, pattern: str, left: bytes | None, action: Action
) -> None:
    program = SAVE.replace("os.fsync(file)", "sync(file)").replace("os.fsync(top)", "sync(top)")
    tolerant = "def sync(f):\n    try: os.fsync(f)\n    except OSError: pass\n" + program
    below.control.arm(Rule(Kind.SYNC, pattern, action))
    disk = Disk(below.root)
    assert run(below, tolerant).stdout == "saved\n"
    file = after_power_loss(disk, below, tmp_path / "left") / "x"
    assert (file.read_bytes() if file.exists() else None) == left


def test_a_second_sync_does_not_save_what_the_first_lost(below: Preload, tmp_path: Path) -> None:
    again = "try: os.fsync(file)\nexcept OSError: os.fsync(file)\n"
    below.control.arm(Rule(Kind.SYNC, "*/x.part", Action.FAIL))
    disk = Disk(below.root)
    assert run(below, SAVE.replace("os.fsync(file)\n", again)).stdout == "saved\n"
    assert (after_power_loss(disk, below, tmp_path / "left") / "x").read_bytes() == b""


def test_rows_that_sqlite_committed_survive_a_power_cut_at_any_mercy(
    below: Preload, tmp_path: Path
) -> None:
    disk = Disk(below.root)
    assert run(below, COMMIT).returncode == 0
    after_power_loss(disk, below, tmp_path / "left")
    for number, mercy in enumerate([Mercy.NOTHING, *[Mercy.PREFIX, Mercy.SUBSET] * 5]):
        folder = tmp_path / f"left-{number}"
        disk.cut(folder, mercy=mercy, random=Random(number))
        assert _rows(folder / "x") == "20 ok"


def test_a_commit_whose_sync_was_a_lie_is_seen_to_be_lost(below: Preload, tmp_path: Path) -> None:
    disk = Disk(below.root)
    assert run(below, COMMIT).returncode == 0
    left = after_power_loss(disk, below, tmp_path / "left", ("*-wal", "*/kept", "*/x"))
    assert _rows(left / "x") != "20 ok"


def _rows(file: Path) -> str:
    count = (
        "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); "
        "print(d.execute('SELECT count(*) FROM t').fetchone()[0], "
        "d.execute('PRAGMA integrity_check').fetchone()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", count, str(file)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def test_the_recording_tells_which_object_a_sender_was_told_is_stored(below: Preload) -> None:
    say = (
        "import socket\n"
        "a = socket.create_server(('127.0.0.1', 0))\n"
        "b = socket.create_connection(a.getsockname())\n"
        "uid = b'1.2.3\\0'\n"
        "head = bytes.fromhex('00000001 02000000 0180')\n"
        "name = bytes.fromhex('00000010 06000000') + uid\n"
        "b.sendall(head + name + bytes.fromhex('00000009 02000000 0000'))\n"
        "b.sendall(head + name + bytes.fromhex('00000009 02000000 00a7'))\n"
    )
    assert run(below, say).returncode == 0
    assert below.trace is not None
    assert [acknowledged(one) for one in read_trace(below.trace)] == ["1.2.3", None]
