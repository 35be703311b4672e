"""A fresh archive for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from archive.archive import Archive
from tests.support.archives import FailingDisk, make_archive


@pytest.fixture
def disk() -> FailingDisk:
    """Return a disk that works until it is told to fail."""
    return FailingDisk()


@pytest.fixture
def archive(tmp_path: Path, disk: FailingDisk) -> Iterator[Archive]:
    """Open an archive in a scratch folder."""
    opened = make_archive(tmp_path, disk=disk)
    yield opened
    opened.close()
