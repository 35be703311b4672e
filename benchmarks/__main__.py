"""Run every benchmark, one after the other, with its defaults: the table of docs/performance.md.

    python -m benchmarks [NAME ...]

Each is a process of its own, so that none measures what another left behind. Ends with 1 if one of
them failed; the figures themselves are for a person to judge.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def main() -> int:
    """Run all, or those that are named; return the exit code."""
    here = sorted(_names(Path(__file__).parent))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(here)}")
    names = parser.parse_args().names or here
    unknown = sorted(set(names) - set(here))
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}")
    failed = []
    for name in names:
        print(f"\n== {name} " + "=" * (60 - len(name)), flush=True)
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False)
        if done.returncode != 0:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _names(folder: Path) -> Iterator[str]:
    yield from (path.stem for path in folder.glob("[a-z]*.py"))
    yield from (path.parent.name for path in folder.glob("[a-z]*/__main__.py"))


if __name__ == "__main__":
    sys.exit(main())
