"""`archive scrub`: whether what is stored is still what was written."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    count_of,
    example,
    print_json,
    print_table,
    say,
)
from service.cli.progress import progress

if TYPE_CHECKING:
    from service.scrub import ScrubReport

group = typer.Typer(help="Look after what is stored.", no_args_is_help=True)

_MIB = 1024 * 1024


def register(app: typer.Typer) -> None:
    """Add this group to the command line."""
    app.add_typer(group, name="archive")


@group.callback()
def _archive() -> None:
    """Look after what is stored."""


@group.command(epilog=example("second-reader archive scrub --rate 50"))
def scrub(
    rate: Annotated[
        float, typer.Option("--rate", min=0.1, help="MiB a second to read at the most.")
    ] = 100.0,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Read every stored object and name those that are damaged; their studies are held.

    A damaged object is whole again when it is sent once more, or its file restored. A running
    service does the same by itself, slowly (`archive.scrub_days`).
    """
    from archive.scrub import count_objects
    from audit.vocabulary import Alert
    from service.cli.desk import at_desk
    from service.keys import Purpose
    from service.scrub import Scrubber

    with at_desk("archive scrub", config) as desk:
        foundation = desk.foundation
        with foundation.archive.snapshot() as tx:
            number, size = count_objects(tx)
        scrubber = Scrubber(
            foundation.archive,
            foundation.trail,
            foundation.clock,
            foundation.keyring.key(Purpose.CONTENT),
        )
        with progress("reading", size // _MIB) as steps:
            report = scrubber.run(
                bytes_per_s=rate * _MIB,
                progress=lambda done: steps.at(
                    done // _MIB, f"MiB of {count_of(number, 'object')}"
                ),
            )
        text = f"{count_of(report.objects, 'stored object')} read, {len(report.damaged)} damaged"
        desk.record(desk.alert(Alert.USE_OF_RESTRICTED_FUNCTION, text))
    if as_json:
        print_json(_as_json(report))
    else:
        _print(report, text)
    if not report.is_ok:
        raise typer.Exit(1)


def _as_json(report: "ScrubReport") -> dict[str, Any]:
    return {
        "ok": report.is_ok,
        "objects": report.objects,
        "bytes": report.size_bytes,
        "damaged": report.damaged,
        "unreadable": report.unreadable,
    }


def _print(report: "ScrubReport", text: str) -> None:
    say(f"{text}.")
    if report.damaged:
        say()
        rows = ((d.study_key, d.kind, d.row_key, d.found_at, d.reason) for d in report.damaged)
        print_table(("study", "what", "key", "found", "reason"), rows)
        say("\n`study show KEY` tells of each study. Send the objects again, or restore the files.")
    for name in report.unreadable:
        say(f"object {name} could not be read now; see the system log and the disk")
