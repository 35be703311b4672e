"""Verify a log, or a copy of one, without the installation it comes from.

    python -m audit FOLDER --public-key audit-public-key.pem [--checkpoint FILE]...

Needs no key that opens records, no configuration and no database. Exit code 0: the log holds.
1: it does not. 2: something cannot be read.
"""

import argparse
import sys
from pathlib import Path

from audit.checkpoint import load_public_key, read_outside
from audit.errors import LogUnreadableError
from audit.verify import Report, verify
from core.clock import utc_now
from core.errors import ServiceError


def main() -> int:
    """Read the arguments, verify, say what was found."""
    parser = argparse.ArgumentParser(prog="python -m audit", description="Verify an audit log.")
    parser.add_argument("folder", type=Path, help="the folder of the log, or a copy")
    parser.add_argument("--public-key", type=Path, required=True, help="the PEM that you kept")
    parser.add_argument(
        "--checkpoint", type=Path, action="append", default=[], help="a file kept outside"
    )
    options = parser.parse_args()
    try:
        report = _verified(options)
    except ServiceError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(_told(report))
    return 0 if report.is_ok else 1


def _verified(options: argparse.Namespace) -> Report:
    try:
        key = load_public_key(options.public_key.read_bytes())
    except OSError as error:
        raise LogUnreadableError(
            f"{options.public_key} cannot be read ({error.strerror})"
        ) from None
    files = [read_outside(file, key) for file in options.checkpoint]
    return verify(
        options.folder,
        key,
        now=utc_now(),
        outside=[one for signed, _ in files for one in signed],
        unsigned_outside=[fault for _, faults in files for fault in faults],
    )


def _told(report: Report) -> str:
    lines = []
    for step in report.steps:
        lines.append(f"{step.number}. {step.question} {'no' if step.faults else 'yes'}")
        lines += [f"   - {fault}" for fault in step.faults]
    verdict = "The log holds." if report.is_ok else "THE LOG DOES NOT HOLD."
    return "\n".join((*lines, "", report.summary(), verdict, ""))


if __name__ == "__main__":
    sys.exit(main())
