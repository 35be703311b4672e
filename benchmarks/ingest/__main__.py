"""How fast objects come in, beside an Orthanc and DCMTK's `storescp` on the same machine.

    python -m benchmarks.ingest [--rounds N] [--objects N] [--only WORD ...] [--json FILE]

Every object is durable before it is answered: ours always, Orthanc's by its default
`SyncStorageArea`, `storescp`'s never. Rounds are interleaved, each object is a new one. Senders are
processes of `sender.py`, without Nagle's algorithm, or an unchanged `storescu`. No study becomes
complete meanwhile, so that what is measured is the intake. Prints a table; asserts nothing.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.ingest.loads import Load, Sent, chosen, run, run_long
from benchmarks.ingest.receivers import ORTHANC, STORESCP, US, Receiver, receivers

LONG = "1 GB object"
LONG_BYTES = 10**9

Runs = dict[str, list[Sent]]
"""What each receiver did in each round."""


def main() -> None:
    """Measure and print."""
    options = _options()
    loads = chosen(options.only)
    results: dict[str, Runs] = {load.title: {} for load in loads}
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="sr-ingest-") as name:
        folder = Path(name)
        with receivers(folder, options.processes) as running:
            for load in loads:
                for receiver in running:  # the first objects of a process cost more
                    run(load, receiver, 8 * load.senders, folder)
            for number in range(options.rounds):
                for load in loads:
                    order = running[number % 3 :] + running[: number % 3]
                    _round(load, order, _objects(load, options.objects), folder, results)
            long = _long(running[0], folder) if _is_wanted(LONG, options.only) else None
    print(
        f"{os.cpu_count()} processors, load {before:.1f} before and {os.getloadavg()[0]:.1f} after;"
        f" {options.rounds} rounds; `dicom_node.processes: {options.processes}`\n"
    )
    _print_table(results)
    _print_costs(results)
    if long is not None:
        print(f"\n{LONG}: {long[0]:.1f} s; resident memory grew by {long[1] / 2**20:.0f} MiB")
    if options.json:
        options.json.write_text(json.dumps(_plain(results, long), indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--objects", type=int, default=400, help="a run; half of 512 kB, an eighth by storescu"
    )
    parser.add_argument("--processes", type=int, default=2, help="of ours that receive")
    parser.add_argument("--only", nargs="*", default=[], metavar="WORD", help="rows that hold one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every single figure")
    return parser.parse_args()


def _objects(load: Load, objects: int) -> int:
    """Return how many objects a run of this load has."""
    if load.is_stock:
        return objects // 8
    return objects // 2 if load.size == "512 kB" else objects


def _round(
    load: Load, order: Sequence[Receiver], objects: int, folder: Path, results: dict[str, Runs]
) -> None:
    for receiver in order:
        sent = run(load, receiver, objects, folder)
        results[load.title].setdefault(receiver.name, []).append(sent)
        print(f"{load.title}, {receiver.name}: {sent.rate:.0f}/s", file=sys.stderr)


def _long(receiver: Receiver, folder: Path) -> tuple[float, int]:
    return run_long(receiver, LONG_BYTES, folder)


def _is_wanted(title: str, words: Sequence[str]) -> bool:
    return not words or any(word in title for word in words)


def _print_table(results: dict[str, Runs]) -> None:
    print("objects/s: median (lowest to highest); processor: ms of the receiver for one object\n")
    names = (US, ORTHANC, STORESCP)
    heads = ["", *names, "/Orthanc", "/storescp", *(f"{name} ms" for name in names)]
    print(_row(heads))
    print(_row(["---"] * len(heads)))
    for title, runs in results.items():
        rates = {name: [sent.rate for sent in runs[name]] for name in names}
        ours = statistics.median(rates[US])
        ratios = [f"{ours / statistics.median(rates[name]):.2f}" for name in (ORTHANC, STORESCP)]
        costs = [f"{statistics.median(sent.cost_ms for sent in runs[name]):.1f}" for name in names]
        print(_row([title, *(_shown(rates[name]) for name in names), *ratios, *costs]))


def _print_costs(results: dict[str, Runs]) -> None:
    """Print where our own processor time goes."""
    names = sorted({name for runs in results.values() for one in runs[US] for name in one.costs_ms})
    print("\nour processes and the sender: ms for one object, median\n")
    print(_row(["", *names, "sender"]))
    print(_row(["---"] * (len(names) + 2)))
    for title, runs in results.items():
        sent = runs[US]
        ours = [statistics.median(one.costs_ms.get(name, 0.0) for one in sent) for name in names]
        theirs = statistics.median(1000 * one.sender_processor_s / one.objects for one in sent)
        print(_row([title, *(f"{cost:.2f}" for cost in (*ours, theirs))]))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _shown(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def _plain(results: dict[str, Runs], long: tuple[float, int] | None) -> dict[str, object]:
    rows = {
        title: {
            name: [{"rate": one.rate, "cost_ms": one.cost_ms, **vars(one)} for one in sent]
            for name, sent in runs.items()
        }
        for title, runs in results.items()
    }
    return {"rows": rows, "long": long and {"seconds": long[0], "growth_bytes": long[1]}}


if __name__ == "__main__":
    main()
