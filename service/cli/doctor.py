"""`doctor`: what is wrong with this installation, and how to mend it."""

from typing import TYPE_CHECKING

import typer

from service.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    example,
    print_json,
    say,
)
from service.cli.progress import progress

if TYPE_CHECKING:
    from service.checks import Result, Scene


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command(epilog=example("second-reader doctor --config /srv/second-reader/config.yaml"))(
        doctor
    )


def doctor(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Look at everything that may be wrong here; say why it matters and how to mend it.

    Exit code 1 if anything is wrong; a warning alone does not count.
    """
    from service.checks import Verdict, on_scene

    with on_scene(config) as scene:
        results = _examine(scene)
    if as_json:
        print_json(results)
    else:
        _print(results)
    if any(result.verdict is Verdict.WRONG for result in results):
        raise typer.Exit(1)


def _examine(scene: "Scene") -> list["Result"]:
    from service.checks import CHECKS, look
    from service.cli.desk import Desk, sequence

    if scene.foundation is not None:
        sequence(scene.foundation)  # what waits only because nobody runs is no fault
    with progress("looking", len(CHECKS)) as steps:
        results = []
        for result in look(scene, on_check=steps.note):
            results.append(result)
            steps.advance()
    if scene.foundation is not None:
        desk = Desk("doctor", scene.foundation)
        desk.record(desk.log_used())
        sequence(scene.foundation)
    return results


def _print(results: list["Result"]) -> None:
    from service.checks import Verdict

    for result in results:
        say(f"{result.verdict.upper():8} {result.name}: {result.what}")
        if result.verdict in {Verdict.WRONG, Verdict.WARNING}:
            say(f"{'':9}why:  {result.why}")
            say(f"{'':9}mend: {result.remedy}")
    counts = {verdict: sum(r.verdict is verdict for r in results) for verdict in Verdict}
    say("\n" + ", ".join(f"{number} {verdict.value}" for verdict, number in counts.items()))
