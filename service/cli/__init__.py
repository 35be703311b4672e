"""The command line: one file for each command group.

Nothing heavy is imported before a command runs, so that `--help` is quick, and a command imports
only what it needs, so that `send` works where no model does.
"""

import importlib
import os
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

GROUPS = (
    "setup", "serve", "demo", "doctor", "config", "transfer", "local", "study", "archive",
    "audit", "model", "peer", "key", "apikey",
)  # fmt: skip
"""The modules that hold the commands, in the order of `--help`."""

_OURS_ALONE = 0o077
"""Whatever a command writes may name a patient or open what does: nobody else may read it."""
_WORKED, _FAILED, _USED_WRONGLY = 0, 1, 2


def main() -> None:
    """Run the command line: exit 0 if it worked, 1 if it failed, 2 if it was used wrongly."""
    os.umask(_OURS_ALONE)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code."""
    try:
        code = build()(args=arguments, prog_name="second-reader", standalone_mode=False)
    except TyperException as error:
        return _misused(error)
    except (KeyboardInterrupt, typer.Abort):
        return _stopped()
    except BrokenPipeError:
        sys.stdout = None  # nobody reads any more; a flush at exit would fail
        return _FAILED
    except Exception as error:  # noqa: BLE001 - the process boundary of the command line
        return _report(error)
    return _stopped() if code == _INTERRUPTED else int(code or _WORKED)


_INTERRUPTED = 130
"""What typer makes of Ctrl-C."""


def build() -> typer.Typer:
    """Return the command line with all its commands."""
    app = typer.Typer(
        name="second-reader",
        help="Stands between a hospital's PACS and its detection models. Not a medical device.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_options)
    for name in GROUPS:
        importlib.import_module(f"service.cli.{name}").register(app)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"second-reader {version('second-reader')}")
        raise typer.Exit


def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Stands between a hospital's PACS and its detection models. Not a medical device."""


def _misused(error: TyperException) -> int:
    """Say how the command is used; what typer raises for that can show itself."""
    show = getattr(error, "show", None)
    if show is None:
        sys.stderr.write(f"Error: {error}\n")
    else:
        show()
    return _USED_WRONGLY


def _stopped() -> int:
    sys.stderr.write("\nstopped\n")
    return _FAILED


def _report(error: Exception) -> int:
    """Tell what went wrong: our own errors in one line, anything else as the defect it is."""
    from core.errors import ServiceError

    if isinstance(error, OSError) and not isinstance(error, ServiceError):
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"second-reader: {where}{error.strerror or type(error).__name__}\n")
    elif isinstance(error, ServiceError):
        sys.stderr.write(f"second-reader: {error}\n")
    else:
        from service.logs import describe

        # The text of a foreign error may hold a value of a patient's data.
        sys.stderr.write(f"second-reader: a defect ended the command: {describe(error)}\n")
    return _FAILED
