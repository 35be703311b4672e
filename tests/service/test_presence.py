"""Saying that a role is at work."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from archive.archive import DATABASE_FILE
from core.clock import utc_now
from service.presence import LISTENER, Presence
from tests.support.archives import POSTGRES, make_archive


@pytest.mark.skipif(bool(os.environ.get(POSTGRES)), reason="about SQLite's files")
@pytest.mark.parametrize("say", [Presence.renew, Presence.end])
def test_a_database_that_others_hold_is_no_reason_to_stop_working(
    tmp_path: Path, say: Callable[[Presence], None], caplog: pytest.LogCaptureFixture
) -> None:
    archive = make_archive(tmp_path, busy_timeout_s=0.1)
    (file,) = tmp_path.rglob(DATABASE_FILE)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    say(Presence(archive, LISTENER, "here:104", utc_now))
    other.close()
    archive.close()
    assert "could not say" in caplog.text
