"""Run one role in this process: `python -m service.wiring ROLE CONFIG`. The supervisor does.

A receiver, which the `dicom` role starts, gets a third argument: the descriptor of its channel.
"""

import importlib
import sys
from pathlib import Path

from core.errors import ConfigurationError, ServiceError
from service.logs import configure_logs
from service.settings import load_settings
from service.wiring import EXIT_CONFIGURATION


def main(role: str, config_file: str, *arguments: str) -> int:
    """Run `role` until a signal ends it; return the exit code."""
    configure_logs(role)
    try:
        installation = load_settings(Path(config_file))
        importlib.import_module(f"service.wiring.{role}").run(installation, *arguments)
    except ServiceError as error:
        sys.stderr.write(f"{role}: {error}\n")
        return EXIT_CONFIGURATION if isinstance(error, ConfigurationError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
