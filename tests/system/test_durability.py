"""What the kernel was asked to do before a C-STORE was answered with success."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.builders import endoscopic_image
from tests.support.installation import install, running, storescu
from tests.support.syscalls import (
    DURABILITY,
    Call,
    custody_faults,
    parse_trace,
    recording,
    stored_responses,
)

OBJECTS = 3

pytestmark = [pytest.mark.external("DCMTK", "strace"), pytest.mark.timeout(180)]


@dataclass(frozen=True)
class Recorded:
    """What the listener asked of the kernel, and where its files are."""

    calls: list[Call]
    folder: Path

    def faults(self, calls: Sequence[Call] | None = None) -> list[str]:
        """Judge these calls, or all that were recorded."""
        return custody_faults(
            self.calls if calls is None else calls,
            objects=self.folder / "data" / "objects",
            keys=self.folder / "keystore",
            log=self.folder / "data" / "archive.db-wal",
        )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Record the listener while an unchanged `storescu` sends a new study, and part of it again."""
    folder = tmp_path_factory.mktemp("durability")
    files = folder / "files"
    files.mkdir()
    study = {"StudyInstanceUID": "2.25.77001", "SeriesInstanceUID": "2.25.77002"}
    for number in range(OBJECTS):
        frame = np.full((115, 115, 3), 10 * number, np.uint8)
        endoscopic_image(frame, study).save_as(files / f"{number}.dcm", enforce_file_format=True)
    service = install(folder / "installation")
    trace = folder / "trace"
    with running(service):
        listener = service.role("dicom")
        pids = [one.pid for one in (listener, *listener.children(recursive=True))]
        with recording(pids, DURABILITY, trace, most_bytes=512):
            output, _ = storescu(service.dicom_port, files).communicate(timeout=60)
            again, _ = storescu(service.dicom_port, files / "0.dcm").communicate(timeout=60)
        assert (output + again).count(b"Received Store Response (Success)") == OBJECTS + 1
    with trace.open() as lines:
        return Recorded(parse_trace(lines), service.folder)


def test_file_folder_and_database_are_durable_before_the_sender_hears_of_success(
    recorded: Recorded,
) -> None:
    assert len(stored_responses(recorded.calls)) == OBJECTS + 1
    assert recorded.faults() == []


REQUIRED: dict[str, Callable[[Call], bool]] = {
    "the object's bytes": lambda c: c.name == "write" and _is_partial_object(c),
    "sync of the file": lambda c: c.name == "fsync" and _is_partial_object(c),
    "naming": lambda c: c.name == "rename",
    "sync of the folder": lambda c: c.name == "fsync" and "/objects/" in c.path and _is_folder(c),
    "commit": lambda c: c.name == "pwrite64" and c.path.endswith("archive.db-wal"),
    "sync of the database": lambda c: c.name == "fdatasync" and c.path.endswith("archive.db-wal"),
    "sync of the study's key": lambda c: (
        c.name == "fsync" and c.path.endswith(".part") and "/keystore/" in c.path
    ),
    "naming of the study's key": lambda c: c.name == "link",
    "sync of the folder of keys": lambda c: (
        c.name == "fsync" and "/keystore/" in c.path and _is_folder(c)
    ),
    "the answer itself": lambda c: c in stored_responses([c]),
}


def _is_partial_object(call: Call) -> bool:
    return "/objects/" in call.path and call.path.endswith(".part")


def _is_folder(call: Call) -> bool:
    return not call.path.endswith((".part", ".key", "-wal"))


def _required(recorded: Recorded, what: str) -> list[Call]:
    """Return the calls of one kind that belong to the first object."""
    first = stored_responses(recorded.calls)[0]
    found = [
        call
        for call in recorded.calls
        if REQUIRED[what](call) and call.thread == first.thread and call.began <= first.began
    ]
    assert found, what
    return found


@pytest.mark.parametrize("what", REQUIRED)
def test_a_recording_without_one_of_the_calls_is_found_wanting(
    recorded: Recorded, what: str
) -> None:
    required = _required(recorded, what)
    assert recorded.faults([call for call in recorded.calls if call not in required])


@pytest.mark.parametrize("what", [name for name in REQUIRED if "answer" not in name])
def test_a_recording_in_which_one_of_the_calls_failed_is_found_wanting(
    recorded: Recorded, what: str
) -> None:
    required = _required(recorded, what)
    failed = [replace(c, result=-1) if c in required else c for c in recorded.calls]
    assert recorded.faults(failed)


@pytest.mark.parametrize("what", [name for name in REQUIRED if "answer" not in name])
def test_a_recording_in_which_one_of_the_calls_ended_too_late_is_found_wanting(
    recorded: Recorded, what: str
) -> None:
    """The call had begun when the answer was written, and had not come back."""
    answer = stored_responses(recorded.calls)[0]
    required = _required(recorded, what)
    late = [replace(c, ended=answer.began + 1) if c in required else c for c in recorded.calls]
    assert recorded.faults(late)


def test_calls_of_threads_that_interrupt_one_another_are_put_together_again() -> None:
    lines = [
        r"7 fsync(3<\x2f\x61> <unfinished ...>",
        r'8 rename("\x2f\x61", "\x2f\x62") = 0',
        r"7 <... fsync resumed>) = 0",
        r'8 openat(AT_FDCWD<\x2f>, "\x63", O_WRONLY|O_CREAT, 0600) = 4<\x2f\x63>',
        r'8 write(4<\x2f\x63>, "\x00\x01"..., 2) = -1 ENOSPC (No space left on device)',
        r"8 +++ exited with 0 +++",
    ]
    sync, naming, opening, writing = parse_trace(lines)
    assert (sync.path, sync.began, sync.ended, sync.result) == ("/a", 0, 2, 0)
    assert (naming.path, naming.new_path, naming.began) == ("/a", "/b", 1)
    assert (opening.path, "O_CREAT" in opening.flags) == ("/c", True)
    assert (writing.data, writing.succeeded) == (b"\x00\x01", False)
