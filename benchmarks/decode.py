"""What decoding in disposable children costs, and what the reader takes.

    python -m benchmarks.decode [--data FOLDER] [--model NAME]

Prints a table; asserts nothing. With FOLDER (see `tests/support/data.py`) each transfer syntax of
the corpus is timed; without it drawn frames are.
"""

import argparse
import csv
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from core.errors import ServiceError
from core.model import InstanceKey
from imaging.decode import Decoder
from inference.client import ReaderClient
from inference.requests import ModelOrder, StudyInstance
from tests.support.builders import endoscopic_image

REPEATS = 50
SIDE = 352

_READER = """
import sys
from pathlib import Path
from inference.reader import Reader
from inference.settings import InferenceSettings, ModelRule
Reader(Path(sys.argv[1]), InferenceSettings(models=(ModelRule(name=sys.argv[2]),))).run()
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("SECOND_READER_TEST_DATA"))
    parser.add_argument("--model", default="polyp")
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; medians of {REPEATS}\n")
    for name, value in (*_decoder(), *_reader(options.model)):
        print(f"{name:58} {value}")
    if options.data:
        print()
        for name, value in _corpus(Path(options.data) / "dicom"):
            print(f"{name:58} {value}")


def _decoder() -> Iterator[tuple[str, str]]:
    with Decoder() as decoder:
        started = time.perf_counter()
        decoder.warm()
        yield "first child, from nothing", _ms(time.perf_counter() - started)
        frame, picture = _object(1), _jpeg()
        yield f"object, {SIDE} px RGB, uncompressed", _timed(lambda: decoder.display_frames(frame))
        yield f"picture, {SIDE} px JPEG", _timed(lambda: decoder.picture(picture))
        many = _object(1000)
        started, highest = time.perf_counter(), 0
        for shown in decoder.iter_display_frames(many):
            if shown.number % 100 == 0:
                highest = max(highest, _children_rss_mib())
        spent = time.perf_counter() - started
        yield "1,000 frames streamed, each", _ms(spent / 1000)
        size = len(many) >> 20
        yield f"  resident size of nursery and child over {size} MiB of pixels", f"{highest} MiB"


def _reader(model: str) -> Iterator[tuple[str, str]]:
    with tempfile.TemporaryDirectory(prefix="sr-") as folder:
        path = Path(folder, "reader.sock")
        started = time.perf_counter()
        with subprocess.Popen([sys.executable, "-c", _READER, str(path), model]) as process:
            while not path.exists() and process.poll() is None:
                time.sleep(0.01)
            yield "reader, from nothing to listening", _ms(time.perf_counter() - started)
            client, order = ReaderClient(path), ModelOrder(model)
            picture, part10 = _jpeg(), _object(1)
            yield f"reader, {SIDE} px JPEG", _timed(lambda: client.read_picture(picture, order))
            yield (
                f"reader, study of one {SIDE} px object",
                _timed(lambda: client.read_study([_instance(part10)], [order])),
            )
            yield "reader and its children at rest, PSS", f"{_pss_mib(process.pid):.0f} MiB"
            process.terminate()


def _corpus(folder: Path) -> Iterator[tuple[str, str]]:
    seconds: dict[str, list[float]] = {}
    with Decoder() as decoder, (folder / "INDEX.csv").open(encoding="utf-8") as lines:
        decoder.warm()
        for row in csv.DictReader(lines):
            encoded = (folder / row["file"]).read_bytes()
            started = time.perf_counter()
            try:
                count = sum(1 for _ in decoder.iter_display_frames(encoded))
            except ServiceError:
                seconds.setdefault("refused by name", []).append(time.perf_counter() - started)
                continue
            spent = (time.perf_counter() - started) / count
            seconds.setdefault(row["transfer_syntax"], []).append(spent)
    for name, spans in sorted(seconds.items()):
        worst = _ms(max(spans))
        yield f"{name[:44]} ({len(spans)} files)", f"{_ms(statistics.median(spans))}, worst {worst}"


def _object(frames: int) -> bytes:
    dataset = endoscopic_image(_noise())
    dataset.NumberOfFrames = frames
    dataset.PixelData = dataset.PixelData * frames
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _jpeg() -> bytes:
    out = io.BytesIO()
    Image.fromarray(_noise()).save(out, "JPEG", quality=90)
    return out.getvalue()


def _noise() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    coarse = np.random.default_rng(0).integers(0, 256, (22, 22, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE)))


def _instance(part10: bytes) -> StudyInstance:
    return StudyInstance.whole(InstanceKey("one"), part10)


def _timed(work: Callable[[], object]) -> str:
    spans = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        spans.append(time.perf_counter() - started)
    return f"{_ms(statistics.median(spans))}, p95 {_ms(sorted(spans)[int(REPEATS * 0.95)])}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _children_rss_mib() -> int:
    children = psutil.Process().children(recursive=True)
    return int(sum(child.memory_info().rss for child in children)) // 2**20


def _pss_mib(pid: int) -> float:
    process = psutil.Process(pid)
    everyone = [process, *process.children(recursive=True)]
    return float(sum(one.memory_full_info().pss for one in everyone)) / 2**20


if __name__ == "__main__":
    main()
