"""`serve`: run the service."""

import os
import signal
from enum import StrEnum
from typing import Annotated

import typer

from service.cli.options import DEFAULT_CONFIG, ConfigOption, example, installation


class Role(StrEnum):
    """A role that can run alone."""

    DICOM = "dicom"
    API = "api"
    WORKER = "worker"
    READER = "reader"


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command(epilog=example("second-reader serve --config /srv/second-reader/config.yaml"))(
        serve
    )


def serve(
    config: ConfigOption = DEFAULT_CONFIG,
    role: Annotated[
        Role | None, typer.Option(help="Run only this role; by default all, supervised.")
    ] = None,
) -> None:
    """Run the service until it is told to stop (SIGTERM, Ctrl-C)."""
    made = installation(config)  # refuse a wrong configuration before anything starts
    if role is not None:
        from service.wiring.__main__ import main

        raise typer.Exit(main(role.value, str(config.absolute())))
    from service.keys import load_keys
    from service.logs import configure_logs
    from service.ready import announce
    from service.supervisor import Supervisor, role_launcher

    load_keys(made.path(made.settings.keys.folder))  # and wrong keys
    configure_logs("supervisor")
    supervisor = Supervisor(role_launcher(str(config.absolute()), os.environ))
    signal.signal(signal.SIGTERM, supervisor.stop)
    signal.signal(signal.SIGINT, supervisor.stop)
    announce(made, supervisor.stopping)
    if not supervisor.run():
        raise typer.Exit(1)
