"""What a service writes and knows is its own: modes of its files, and what its reader is told."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from service.supervisor import role_launcher

SHARED = 0o077


def shared(folder: Path) -> list[str]:
    """Return what below a folder others than its owner may read, write or enter."""
    return [
        f"{path.relative_to(folder)} {stat.filemode(path.lstat().st_mode)}"
        for path in (folder, *folder.rglob("*"))
        if path.lstat().st_mode & SHARED and not path.is_symlink()
    ]


@pytest.mark.slow
def test_nobody_else_may_read_anything_that_a_run_of_the_service_leaves(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    demo = subprocess.run(
        [sys.executable, "-m", "service", "demo", "--dir", str(folder)],
        umask=0o022,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert demo.returncode == 0, demo.stderr.decode()
    assert len(list(folder.rglob("*"))) > 100
    assert shared(folder) == []


def test_a_new_installation_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    command = [sys.executable, "-m", "service", "init", str(folder)]
    subprocess.run(command, umask=0o000, check=True, capture_output=True)
    assert shared(folder) == []


def test_the_reader_is_told_no_secret_and_the_others_what_they_need(tmp_path: Path) -> None:
    secrets = {"PGPASSFILE": "/run/secrets/pgpass", "SECOND_READER_PIN": "1234"}
    environment = {"PATH": "/bin", "OMP_NUM_THREADS": "2", "PYTHONUNBUFFERED": "1", **secrets}
    launch = role_launcher(str(tmp_path / "config.yaml"), environment)
    children = {role: launch(role) for role in ("reader", "worker")}
    told = {
        role: Path(f"/proc/{child.pid}/environ").read_bytes() for role, child in children.items()
    }
    for child in children.values():
        child.kill()
        child.wait()
    assert b"1234" not in told["reader"]
    assert b"pgpass" not in told["reader"]
    assert b"OMP_NUM_THREADS=2" in told["reader"]
    assert b"SECOND_READER_PIN=1234" in told["worker"]
