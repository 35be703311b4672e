"""What the audit log costs: seal, append, start, verify, prove.

    python -m benchmarks.audit [--events 1000000] [--dir FOLDER]

Prints a table; asserts nothing. FOLDER should be on the disk that the log will be on.
"""

import argparse
import os
import resource
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from audit import triggers
from audit.checkpoint import Signer, load_checkpoints
from audit.events import Stamper
from audit.keeper import AuditKeeper
from audit.parties import application, remote_ae
from audit.proof import prove
from audit.records import RecordSealer, SealedRecord
from audit.settings import AuditSettings
from audit.verify import verify
from core.clock import utc_now
from core.model import Instance, RemoteAE
from core.sealing import new_key
from tests.support.builders import endoscopic_image

SINGLE = 2000
BATCH = 32
SOURCE = "benchmark"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--dir", type=Path)
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        for what, value in (*_sealing(), *_appending(Path(name)), *_large(Path(name), options)):
            print(f"{what:58} {value}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'peak resident memory of all of this':58} {peak:.0f} MiB")


def _sealing() -> Iterator[tuple[str, str]]:
    instance = Instance.parse(endoscopic_image(), transfer_syntax_uid="1.2.840.10008.1.2.1")
    peer = remote_ae(RemoteAE("mod1", "MOD1", "SECOND", "10.0.0.1"))
    ours, stamp = application("second-reader", ae_titles=("SECOND",)), Stamper(utc_now)
    sealer = RecordSealer(new_key())

    def one() -> SealedRecord:
        return sealer.seal(triggers.custody_taken(stamp(), peer, ours, instance))

    yield "a custody record, built and sealed", f"{_per_call(one, SINGLE) * 1e6:.0f} us"
    yield "its size", f"{len(one().sealed)} bytes"


def _appending(folder: Path) -> Iterator[tuple[str, str]]:
    yield "bare append and fdatasync of 1 kB, on this disk", f"{_bare(folder):.0f} /s"
    with _keeper(folder / "single", new_key()) as keeper:
        seconds = _timed(lambda: [keeper.append([_record()]) for _ in range(SINGLE)])
        yield "append, one durable record at a time", f"{SINGLE / seconds:.0f} /s"
        batches = [[_record() for _ in range(BATCH)] for _ in range(SINGLE // BATCH * 8)]
        seconds = _timed(lambda: [keeper.append(batch) for batch in batches])
        yield f"append, {BATCH} at a time", f"{len(batches) * BATCH / seconds:.0f} /s"


def _large(folder: Path, options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    key, log, events = new_key(), folder / "large", options.events
    signer = Signer.of(SOURCE, key)
    wanted = _record()
    with _keeper(log, key) as keeper:
        keeper.append([wanted])
        filling = _timed(lambda: _fill(keeper, events))
    yield f"append of {events} records, 1000 at a time", f"{events / filling:.0f} /s"
    yield "restart of that log", f"{_timed(lambda: _keeper(log, key).close()):.2f} s"
    outside = load_checkpoints(log / "checkpoints", signer.public_key)
    now = datetime.now(UTC)
    seconds = _timed(lambda: _verified(log, signer, now))
    yield f"verify {events} records, {len(outside)} checkpoints", f"{seconds:.1f} s"
    proving = _timed(lambda: prove(log, wanted.event_id, signer.public_key))
    yield f"prove one of {events}", f"{proving:.1f} s"


def _fill(keeper: AuditKeeper, events: int) -> None:
    while keeper.size < events:
        keeper.append([_record() for _ in range(min(1000, events - keeper.size))])


def _verified(folder: Path, signer: Signer, now: datetime) -> None:
    report = verify(folder, signer.public_key, now=now)
    if not report.is_ok:
        raise SystemExit(report.summary())


def _record() -> SealedRecord:
    return SealedRecord(str(uuid.uuid4()), os.urandom(1300))


def _keeper(folder: Path, key: bytes) -> AuditKeeper:
    return AuditKeeper(folder, AuditSettings(source_id=SOURCE), signing_key=key, clock=utc_now)


def _bare(folder: Path) -> float:
    with (folder / "bare").open("wb", buffering=0) as file:
        content = bytes(1024)

        def one() -> None:
            file.write(content)
            os.fdatasync(file.fileno())

        return 1 / _per_call(one, SINGLE)


def _per_call(call: Callable[[], object], times: int) -> float:
    return _timed(lambda: [call() for _ in range(times)]) / times


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
