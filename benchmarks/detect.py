"""How long `POST /v1/detect` takes under a steady load, with the whole service on this machine.

    python -m benchmarks.detect [--seconds 60] [--rate 17] [--data FOLDER]

Requests leave at fixed times, whether or not earlier ones were answered, and each is timed from the
moment at which it was due, so that a stall counts for everything that it delays. The client is a
process of its own with kept connections. Prints a table; asserts nothing. With FOLDER (see
`tests/support/data.py`) its validation frames are sent; without it drawn ones of the same size are.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from tests.support.installation import Service, install, running

SIDE = 352
PICTURES = 20
WARM_UP_S = 3.0
QUANTILES = (50, 95, 99)
BOUNDARY = "second-reader-benchmark"


def main() -> None:
    """Measure and print, or be the client that the benchmark starts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=17.0, help="requests per second")
    parser.add_argument("--data", default=os.environ.get("SECOND_READER_TEST_DATA"))
    parser.add_argument("--client", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client is not None:
        print(json.dumps(asyncio.run(_load(json.loads(options.client.read_text())))))
        return
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before the start\n")
    with tempfile.TemporaryDirectory(prefix="sr-") as folder:
        for name, value in _measured(Path(folder), options):
            print(f"{name:58} {value}", flush=True)


def _measured(folder: Path, options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    frames = pictures(folder / "pictures", options.data)
    with running(install(folder / "installation")) as service:
        plan = {
            "port": service.api_port,
            "key": service.api_key,
            "pictures": [str(picture) for picture in frames],
            "rate": options.rate,
        }
        _client(folder, plan | {"seconds": WARM_UP_S})
        before = _processor_seconds(service)
        answer = _client(folder, plan | {"seconds": options.seconds})
        used = _used_since(before, _processor_seconds(service))
    sent = len(answer["latencies_ms"]) + sum(answer["errors"].values())
    yield "requests", f"{sent}, {options.rate:g}/s at fixed times for {options.seconds:g} s"
    yield "errors", str(answer["errors"] or 0)
    for name, value in _quantiles(answer["latencies_ms"]):
        yield name, value
    yield "connections that the client had to open", str(answer["connections"])
    yield "load average at the end", f"{os.getloadavg()[0]:.1f}"
    for name, seconds in used.items():
        yield f"processor time per request, {name}", f"{seconds / sent * 1000:.1f} ms"
    yield "processor time per request, client", f"{answer['processor_s'] / sent * 1000:.1f} ms"


def _quantiles(latencies_ms: list[float]) -> Iterator[tuple[str, str]]:
    if len(latencies_ms) < 2:
        return
    cuts = statistics.quantiles(latencies_ms, n=100, method="inclusive")
    for quantile in QUANTILES:
        yield f"p{quantile}", f"{cuts[quantile - 1]:.1f} ms"
    yield "longest", f"{max(latencies_ms):.1f} ms"


def pictures(folder: Path, data: str | None) -> list[Path]:
    """Return frames to send: validation frames if they are here, else drawn ones."""
    folder.mkdir()
    if data:
        return sorted((Path(data) / "polyp" / "validation" / "images").glob("*.jpg"))[:PICTURES]
    drawn = []
    for number in range(PICTURES):
        coarse = np.random.default_rng(number).integers(0, 256, (22, 22, 3)).astype(np.uint8)
        drawn.append(folder / f"{number}.jpg")
        Image.fromarray(coarse).resize((SIDE, SIDE)).save(drawn[-1], "JPEG", quality=75)
    return drawn


def _processor_seconds(service: Service) -> dict[tuple[int, str], float]:
    """Return what each process of the service has used, by its role."""
    found = {}
    for process in service.processes():
        times = process.cpu_times()  # children that ended count, too: decoders are replaced
        used = times.user + times.system + times.children_user + times.children_system
        found[process.pid, _role(process)] = used
    return found


def _role(process: "psutil.Process") -> str:
    line = process.cmdline()
    if "imaging.child" in line:
        return "decoders"
    return line[line.index("service.wiring") + 1] if "service.wiring" in line else "supervisor"


def _used_since(
    before: dict[tuple[int, str], float], after: dict[tuple[int, str], float]
) -> dict[str, float]:
    used: defaultdict[str, float] = defaultdict(float)
    for (pid, role), seconds in after.items():
        used[role] += seconds - before.get((pid, role), 0.0)
    return {role: used[role] for role in ("api", "reader", "decoders", "worker", "dicom")}


# --- the client ----------------------------------------------------------------------------------


def _client(folder: Path, plan: dict[str, Any]) -> dict[str, Any]:
    """Run the client in a process of its own; return what it measured."""
    file = folder / "plan.json"
    file.write_text(json.dumps(plan))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.detect", "--client", str(file)],
        stdout=subprocess.PIPE,
        check=True,
    )
    return dict(json.loads(done.stdout))


@dataclass
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class _Client:
    """Sends requests over connections that it keeps, and opens one more when all are busy."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._port: int = plan["port"]
        self._requests = [_request(Path(path), plan) for path in plan["pictures"]]
        self._free: list[_Connection] = []
        self.connections = 0
        self.latencies_ms: list[float] = []
        self.errors: Counter[str] = Counter()

    async def send(self, number: int, due: float) -> None:
        """Send one request; note how long after `due` its answer was whole."""
        try:
            connection = await self._connection()
            connection.writer.write(self._requests[number % len(self._requests)])
            status, body = await _answer(connection.reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.errors[type(error).__name__] += 1
            return
        self._free.append(connection)
        if status == 200 and "detections" in json.loads(body):
            self.latencies_ms.append((time.perf_counter() - due) * 1000)
        else:
            self.errors[str(status)] += 1

    async def _connection(self) -> _Connection:
        """Return one that is free and that the server has not closed, as any client does."""
        while self._free:
            kept = self._free.pop()
            if not kept.reader.at_eof():
                return kept
            kept.writer.close()
        self.connections += 1
        return _Connection(*await asyncio.open_connection("127.0.0.1", self._port))


async def _load(plan: dict[str, Any]) -> dict[str, Any]:
    client = _Client(plan)
    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(plan["rate"] * plan["seconds"])):
            due = began + number / plan["rate"]
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(client.send(number, due))
    return {
        "latencies_ms": client.latencies_ms,
        "errors": client.errors,
        "connections": client.connections,
        "processor_s": sum(os.times()[:2]),
    }


def _request(picture: Path, plan: dict[str, Any]) -> bytes:
    body = b"".join(
        (
            f"--{BOUNDARY}\r\n".encode(),
            b'Content-Disposition: form-data; name="file"; filename="frame.jpg"\r\n',
            b"Content-Type: image/jpeg\r\n\r\n",
            picture.read_bytes(),
            f"\r\n--{BOUNDARY}--\r\n".encode(),
        )
    )
    head = (
        "POST /v1/detect HTTP/1.1",
        f"Host: 127.0.0.1:{plan['port']}",
        f"Authorization: Bearer {plan['key']}",
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
    length = next(line for line in head if line.startswith("content-length:"))
    return int(head[0].split()[1]), await reader.readexactly(int(length.partition(":")[2]))


if __name__ == "__main__":
    main()
