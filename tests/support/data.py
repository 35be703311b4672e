"""Where the corpora lie; tests that need one skip with the reason where it is absent."""

import os
from pathlib import Path

import pytest

TEST_DATA = "SECOND_READER_TEST_DATA"
STANDARD = "SECOND_READER_STANDARD"


def data_folder() -> Path:
    """Return the folder of real objects and images, or skip."""
    return _folder(TEST_DATA)


def standard_folder() -> Path:
    """Return the folder of the standard's tables, or skip."""
    return _folder(STANDARD)


def _folder(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value or not Path(value).is_dir():
        pytest.skip(f"{variable} names no folder")
    return Path(value)
