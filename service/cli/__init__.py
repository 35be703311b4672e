"""The command line: one file for each command group.

Commands import what they need when they run, so that `--help` is quick and `send` needs no model.
"""

import sys

import click
import typer

from core.errors import ServiceError

app = typer.Typer(
    name="second-reader",
    help="Stands between a hospital's PACS and its detection models. Not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line: exit 0 if it worked, 1 if it failed, 2 if it was used wrongly."""
    _add_commands()
    try:
        app(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.exceptions.Abort):
        sys.stderr.write("\nstopped\n")
        sys.exit(1)
    except ServiceError as error:
        sys.stderr.write(f"second-reader: {error}\n")
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)


def _add_commands() -> None:
    from service.cli import (
        apikey,
        audit,
        config,
        demo,
        doctor,
        key,
        local,
        model,
        serve,
        setup,
        study,
        transfer,
    )

    for group in (
        setup, serve, demo, doctor, config, transfer, local, study, audit, model, key, apikey,
    ):  # fmt: skip
        group.register(app)
