"""The whole service as `second-reader serve` runs it, with our library below some of its roles.

`python -m tests.torture.serve --config FILE`; `TORTURE_ROLES` names the roles, and the variables
that tests/torture/preload.py makes say the rest.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from service.logs import configure_logs
from service.supervisor import Launcher, Supervisor, role_launcher

ROLES = "TORTURE_ROLES"


def launcher(config: str) -> Launcher:
    """Return what starts a role, preloaded if it is one of those named."""
    library = os.environ["TORTURE_LIBRARY"]
    preloaded = os.environ[ROLES].split(",")

    def launch(role: str) -> "subprocess.Popen[bytes]":
        added = {"LD_PRELOAD": library, "TORTURE_ROLE": role} if role in preloaded else {}
        return role_launcher(config, {**os.environ, **added})(role)

    return launch


def main(config: str) -> int:
    """Run until a signal ends it."""
    configure_logs("supervisor")
    supervisor = Supervisor(launcher(str(Path(config).absolute())))
    signal.signal(signal.SIGTERM, supervisor.stop)
    signal.signal(signal.SIGINT, supervisor.stop)
    return 0 if supervisor.run() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[2]))
