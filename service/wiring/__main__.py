"""Run one role in this process: `python -m service.wiring ROLE CONFIG`. The supervisor does."""

import importlib
import sys
from pathlib import Path

from core.errors import ServiceError
from service.logs import configure_logs
from service.settings import load_settings


def main(role: str, config_file: str) -> int:
    """Run `role` until a signal ends it; return the exit code."""
    configure_logs(role)
    try:
        installation = load_settings(Path(config_file))
        importlib.import_module(f"service.wiring.{role}").run(installation)
    except ServiceError as error:
        sys.stderr.write(f"{role}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
