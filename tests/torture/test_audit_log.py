"""The audit log after a power cut, without the rest of the service."""

from pathlib import Path

import pytest

from audit.log import AuditLog
from tests.torture.disk import Disk
from tests.torture.preload import preload
from tests.torture.program import after_power_loss, run

pytestmark = pytest.mark.external("gcc")

APPEND = """
import sys, uuid
from pathlib import Path
from audit.log import AuditLog
from audit.records import SealedRecord
with AuditLog(Path(sys.argv[1], "new", "audit"), entries_per_segment=4) as log:
    for number in range(10):
        log.append([SealedRecord(str(uuid.uuid4()), b"sealed")])
"""


def test_a_log_in_a_new_folder_survives_a_power_cut(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    with preload(tmp_path / "kept", tmp_path / "below", traced=True) as below:
        disk = Disk(below.root)
        assert run(below, APPEND).stderr == ""
        left = after_power_loss(disk, below, tmp_path / "left")
    with AuditLog(left / "new" / "audit", entries_per_segment=4) as log:
        assert log.size == 10
