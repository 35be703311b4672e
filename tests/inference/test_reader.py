"""The reader over its socket: studies and pictures, trouble, and its end."""

import io
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import CapacityError, ConfigurationError, InputError, MalformedInstanceError
from core.findings import Outcome
from core.model import InstanceKey
from core.records import dump_record
from imaging.wire import Channel
from inference.client import ReaderClient
from inference.errors import (
    ModelPackageError,
    ModelTimeoutError,
    ReaderUnavailableError,
    UnknownModelError,
)
from inference.protocol import Orders, raise_refusal, refusal
from inference.reader import EXIT_STUCK, Reader
from inference.requests import ModelOrder, Skipped, StudyInstance
from inference.settings import InferenceSettings, ModelRule
from tests.support.builders import endoscopic_image, part10
from tests.support.detector import bright_cells_package, hanging_package, picture_with_cells

CELLS = ModelOrder("cells")
A, B = InstanceKey("a"), InstanceKey("b")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="sr-") as name:
        yield Path(name)


def settings(**changes: object) -> InferenceSettings:
    values = {"models": (ModelRule(name="cells"),), "threads": 1, **changes}
    return InferenceSettings.model_validate(values)


@dataclass
class Served:
    reader: Reader
    client: ReaderClient
    path: Path


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with tempfile.TemporaryDirectory(prefix="sr-") as name:
        packages, path = Path(name, "packages"), Path(name, "reader.sock")
        bright_cells_package(packages / "cells")
        reader = Reader(path, settings(requests_at_once=2), (packages,))
        thread = threading.Thread(target=reader.run)
        thread.start()
        wait_for(path)
        yield Served(reader, ReaderClient(path, timeout_s=20), path)
        reader.stop()
        thread.join(10)
        assert not path.exists()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("the reader does not listen")


def png(*cells: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture_with_cells(*cells)).save(out, "PNG")
    return out.getvalue()


def white() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((64, 64, 3), 255, np.uint8)).save(out, "PNG")
    return out.getvalue()


def instance(key: InstanceKey, *cells: tuple[int, int]) -> StudyInstance:
    out = io.BytesIO()
    endoscopic_image(picture_with_cells(*cells)).save_as(out, enforce_file_format=True)
    whole = out.getvalue()
    return StudyInstance(
        key, len(whole), (whole[at : at + 999] for at in range(0, len(whole), 999))
    )


def test_a_study_is_read(served: Served) -> None:
    (reading,) = served.client.read_study([instance(A, (1, 1)), instance(B)], [CELLS])
    assert [one.frame.instance_key for one in reading.findings] == [A]
    assert [one.outcome for one in reading.evaluations] == [Outcome.EVALUATED] * 2


def test_an_instance_that_nobody_wants_is_not_sent(served: Served) -> None:
    def never() -> Iterator[bytes]:
        raise AssertionError("it was asked for")
        yield b""

    order = ModelOrder("cells", skipped=(Skipped(A, "Not wanted"),))
    (reading,) = served.client.read_study([StudyInstance(A, 10, never())], [order])
    assert reading.evaluations[0].reason == "Not wanted"


def test_a_bad_instance_does_not_disturb_the_next(served: Served) -> None:
    bad = StudyInstance.whole(A, b"nothing" * 100_000)
    (reading,) = served.client.read_study([bad, instance(B, (0, 0))], [CELLS])
    outcomes = [one.outcome for one in reading.evaluations]
    assert outcomes == [Outcome.COULD_NOT_PROCESS, Outcome.EVALUATED]


def test_a_picture_is_read_with_the_threshold_asked_for(served: Served) -> None:
    answer = served.client.read_picture(png((2, 2)), ModelOrder("cells", score_threshold=0.1))
    assert answer.reading.algorithm.threshold == 0.1
    assert len(answer.reading.findings) == 1


def test_errors_come_over_as_what_they_were(served: Served) -> None:
    with pytest.raises(UnknownModelError, match="no model spots"):
        served.client.read_picture(png(), ModelOrder("spots"))
    with pytest.raises(UnknownModelError):
        served.client.read_study([], [ModelOrder("spots")])
    with pytest.raises(InputError, match="cannot be decoded"):
        served.client.read_picture(b"\x89PNG\r\n\x1a\n", CELLS)


def test_an_error_keeps_its_class_message_and_remedy() -> None:
    with pytest.raises(MalformedInstanceError, match=r"this\. Do that") as caught:
        raise_refusal(refusal(MalformedInstanceError("this", remedy="Do that")))
    assert (caught.value.message, caught.value.remedy) == ("this", "Do that")


def test_many_callers_are_served_together(served: Served) -> None:
    def ask(column: int) -> float:
        answer = served.client.read_picture(png((column, 0)), CELLS)
        (finding,) = answer.reading.findings
        region = finding.region
        assert region is not None
        return region.x1  # type: ignore[union-attr] # a detector finds boxes

    with ThreadPoolExecutor(2) as callers:
        assert list(callers.map(ask, [0, 1, 2, 3, 4, 5, 6, 7])) == [n * 8.0 for n in range(8)]


def test_a_full_reader_sends_callers_away_and_still_tells_its_status(served: Served) -> None:
    blockers = [hold(served) for _ in range(2)]
    with pytest.raises(CapacityError, match="2 requests"):
        served.client.read_picture(png(), CELLS)
    assert served.client.status().requests == 2
    for blocker in blockers:
        blocker.close()


def hold(served: Served) -> socket.socket:
    """Begin a study and stay silent."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(served.path))
    channel = Channel(connection)
    channel.send({"ask": "study"}, dump_record(Orders(())))
    assert channel.receive(timeout_s=5)[0] == {"ok": True}
    return connection


@pytest.mark.parametrize("junk", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, b"\0" * 12])
def test_junk_ends_its_own_connection_only(served: Served, junk: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(served.path))
        connection.sendall(junk)
    assert served.client.status().requests == 0


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(served: Served) -> None:
    def broken() -> Iterator[bytes]:
        yield b"some"
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - the caller's own, passed through
        served.client.read_study([StudyInstance(A, 10**6, broken())], [CELLS])
    assert len(served.client.read_picture(png((0, 0)), CELLS).reading.findings) == 1


def test_a_client_that_gives_up_leaves_no_frames_to_be_read(served: Served) -> None:
    dataset = endoscopic_image(picture_with_cells((1, 1)))
    dataset.NumberOfFrames = 3000
    dataset.PixelData = dataset.PixelData * 3000
    cine = StudyInstance.whole(InstanceKey("cine"), part10(dataset))
    with pytest.raises(ModelTimeoutError):
        served.client.read_study([cine], [CELLS], timeout_s=0.5)
    deadline = time.monotonic() + 10
    while served.client.status().requests and time.monotonic() < deadline:
        time.sleep(0.05)
    status = served.client.status()
    assert status.requests == 0
    assert status.frames < 3000


def test_only_our_own_user_can_reach_the_socket(served: Served) -> None:
    assert served.path.stat().st_mode & 0o777 == 0o600


def test_status_tells_what_is_loaded(served: Served) -> None:
    (state,) = served.client.status().models
    assert (state.name, state.is_loaded, len(state.digest)) == ("cells", True, 64)


def test_an_absent_reader_is_unavailable(folder: Path) -> None:
    with pytest.raises(ReaderUnavailableError, match="does not listen"):
        ReaderClient(folder / "none.sock").status()


def test_a_path_that_is_too_long_is_refused(folder: Path) -> None:
    bright_cells_package(folder / "packages" / "cells")
    path = folder / ("x" * 120)
    with pytest.raises(ConfigurationError, match=r"more than 107 bytes.*inference\.socket"):
        Reader(path, settings(), (folder / "packages",)).run()


def test_a_reader_does_not_start_without_a_model_that_a_rule_names(folder: Path) -> None:
    bright_cells_package(folder / "packages" / "cells").weights.write_bytes(b"other")
    with pytest.raises(ModelPackageError, match=r"cells\.onnx are not those"):
        Reader(folder / "reader.sock", settings(), (folder / "packages",)).run()


SCRIPT = """
import sys
from pathlib import Path
from inference.reader import Reader
from inference.settings import InferenceSettings
folder, text = Path(sys.argv[1]), sys.argv[2]
Reader(folder / "reader.sock", InferenceSettings.model_validate_json(text), (folder / "p",)).run()
"""


def start(folder: Path, **changes: object) -> "subprocess.Popen[bytes]":
    text = settings(**changes).model_dump_json()
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), text],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        stderr=subprocess.DEVNULL,
    )
    wait_for(folder / "reader.sock")
    return process


def test_a_stuck_model_ends_the_reader_and_not_its_caller(folder: Path) -> None:
    hanging_package(folder / "p" / "cells")
    with start(folder, model_deadline_s=1.0) as process:
        client = ReaderClient(folder / "reader.sock", timeout_s=20)
        assert client.read_picture(png((0, 0)), CELLS).reading.findings
        with pytest.raises(ReaderUnavailableError, match="went away"):
            client.read_picture(white(), CELLS)
        assert process.wait(10) == EXIT_STUCK


def test_a_caller_gives_up_after_its_own_time(folder: Path) -> None:
    hanging_package(folder / "p" / "cells")
    with start(folder) as process:
        client = ReaderClient(folder / "reader.sock", timeout_s=0.5)
        with pytest.raises(ModelTimeoutError):
            client.read_picture(white(), CELLS)
        process.kill()


def test_a_reader_out_of_bounds_ends(folder: Path) -> None:
    bright_cells_package(folder / "p" / "cells")
    with start(folder, memory_mib=10) as process:
        assert process.wait(10) == EXIT_STUCK


def test_a_reader_loads_no_torch(folder: Path) -> None:
    bright_cells_package(folder / "p" / "cells")
    with start(folder) as process:
        mapped = Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8")
        process.kill()
    assert "onnxruntime" in mapped
    assert "torch" not in mapped
