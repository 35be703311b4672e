"""One worker at a time on one workflow database: two would each do all the work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from service.wiring.process import SecondWorkerError, one_worker
from service.wiring.worker import _alone, workflows_file
from tests.support.house import house

HOLDER = """
import sys, time
from pathlib import Path
from service.wiring.process import one_worker
with one_worker(Path(sys.argv[1])):
    print("holds", flush=True)
    time.sleep(600)
"""


def test_a_second_worker_is_refused_and_told_who_is_at_work(tmp_path: Path) -> None:
    place = tmp_path / "data" / "workflows.db.lock"
    with (
        one_worker(place),
        pytest.raises(SecondWorkerError) as refused,
        one_worker(place, wait_s=0.0),
    ):
        pass
    assert isinstance(refused.value, ConfigurationError)
    assert f"process {os.getpid()}" in str(refused.value)
    assert "PostgreSQL" in str(refused.value)
    with one_worker(place, wait_s=0.0):
        pass  # the first has ended


def test_a_worker_that_was_killed_holds_nobody_up(tmp_path: Path) -> None:
    place = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(place)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"holds\n"
    with pytest.raises(SecondWorkerError), one_worker(place, wait_s=0.0):
        pass
    holder.kill()
    holder.communicate()
    with one_worker(place, wait_s=0.0):
        pass


def test_workers_on_postgresql_may_be_many(tmp_path: Path) -> None:
    url = "postgresql+psycopg://nobody@localhost/none"
    with house(tmp_path, sections={"pipeline": {"database_url": url}}) as home:
        ours = home.foundation.installation
        with _alone(ours), _alone(ours):
            assert not workflows_file(ours).with_name("workflows.db.lock").exists()
