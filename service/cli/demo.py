"""`demo`: one study through the whole service on this machine, and nothing canned."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.options import example, print_table, say

if TYPE_CHECKING:
    from service.cli.demo_run import Outcome


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command(epilog=example("second-reader demo --dir ./demo"))(demo)


def demo(
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="A folder that is not there yet; by default a temporary one."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws another frame.")] = 1,
    model: Annotated[
        str | None, typer.Option("--model", help="By default one that finds the drawn polyp.")
    ] = None,
) -> None:
    """Send one drawn frame of an invented patient through the whole service, and show the result.

    An installation of its own is made in a scratch folder, started on ports of its own, sent the
    frame by C-STORE, and stopped. A demonstration; not for diagnosis.
    """
    from service.cli.demo_run import Demo, scratch_folder

    run = Demo(scratch_folder(folder), seed=seed, model=model, tell=lambda text: say(f"  {text}"))
    say(f"One study through the whole service, in {run.folder}")
    outcome = run.run()
    _print(outcome)


def _print(outcome: "Outcome") -> None:
    say()
    findings = [
        (reading["model"]["name"], finding)
        for reading in outcome.results["readings"]
        for finding in reading["findings"]
    ]
    for reading in outcome.results["readings"]:
        say(f"{reading['model']['name']} {reading['model']['version']}: {reading['statement']}")
    print_table(
        ("model", "finding", "score", "x1, y1, x2, y2", "drawn at"),
        (
            (name, found["label"], f"{found['score']:.3f}", _box(found["bbox"]), outcome.drawn_at)
            for name, found in findings
        ),
    )
    say(f"\n{outcome.verification}\n")
    say("Open:")
    print_table(("", ""), ((path, what) for what, path in outcome.files.items()))
    say("\nDrawn by a program, of nobody. Not for diagnosis.")


def _box(bbox: Any) -> str:  # noqa: ANN401 - out of JSON
    return ", ".join(f"{value:.0f}" for value in bbox or ())
