"""The disk under the log: making durable, and what we say when it fails."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from audit.errors import LogUnreadableError, LogUnwritableError


def sync(path: Path) -> None:
    """Make durable what was written to a file, or which files a folder has."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder for the service alone, and every missing one above it, durably."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync(folder.parent)


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Turn what the system says against reading into an error of ours."""
    try:
        yield
    except OSError as error:
        raise LogUnreadableError(
            f"the audit log in {folder} cannot be read ({error.strerror})",
            remedy="Read it as the user that the service runs as, or from a copy",
        ) from error


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn what the system says against writing into an error of ours."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise LogUnwritableError(
            f"the {what} of the audit log cannot be written ({reason})",
            remedy="Free space or mend the disk of the audit folder; nothing is lost meanwhile",
        ) from error
