"""`deidentify` and `detect`: what the service does to an object, without the service."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.options import (
    JsonOption,
    OptionalConfig,
    complain,
    example,
    print_json,
    print_table,
    say,
    to_json,
)
from service.cli.progress import progress

if TYPE_CHECKING:
    from service.cli.releasing import Run


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command(epilog=example("second-reader deidentify study/ released/ --report report.json"))(
        deidentify
    )
    app.command(epilog=example("second-reader detect frame.jpg --overlay found.png --json"))(detect)


def deidentify(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A DICOM file, a folder or a ZIP.")],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="A file, or a folder, that is not there yet.")
    ],
    profile: Annotated[
        str, typer.Option("--profile", help="A profile under `anonymizer.profiles`.")
    ] = "models",
    report: Annotated[
        Path | None, typer.Option("--report", help="Write what was done as JSON; not there yet.")
    ] = None,
    config: OptionalConfig = None,
) -> None:
    """De-identify objects under keys that are drawn for this run and gone at its end.

    Nobody can lead the result back to a patient, nor join it with that of another run. Pixels are
    not changed; objects whose pixels may show text are named.
    """
    from service.cli.releasing import plan, refuse_present
    from service.cli.sources import sources

    refuse_present(target, report)
    found = list(sources([source]))
    is_folder = source.is_dir() or target.is_dir() or len(found) != 1
    with plan(config, target, profile, is_folder=is_folder) as run:
        with progress("de-identifying", len(found)) as steps:
            for item in found:
                run.take(item)
                steps.advance()
        done = run.close()
    if report is not None:
        report.write_text(to_json(done.as_json()) + "\n", encoding="utf-8")
    _print_run(done, target)
    if done.refused or not done.released:
        raise typer.Exit(1)


def detect(
    file: Annotated[Path, typer.Argument(help="A DICOM object, a JPEG or a PNG.")],
    model: Annotated[
        str | None, typer.Option("--model", help="By default the one configured for it.")
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Lowest score; by default the model's own threshold."),
    ] = None,
    overlay: Annotated[
        Path | None, typer.Option("--overlay", help="Draw the boxes into this new PNG file.")
    ] = None,
    config: OptionalConfig = None,
    as_json: JsonOption = False,
) -> None:
    """Let a model read one object or picture, as `POST /v1/detect` does; nothing is kept.

    The model sees the de-identified copy only. Not for diagnosis.
    """
    from service.cli.detecting import Options, detect_file

    with progress("reading", None):
        answer = detect_file(file, config, Options(model, confidence, overlay))
    if as_json:
        print_json(answer)
    else:
        _print_answer(answer)


def _print_run(done: "Run", target: Path) -> None:
    for name, reason in done.refused:
        complain(f"{name}: {reason}")
    say(f"{len(done.released)} released to {target}, {len(done.refused)} refused")
    at_risk = sum(bool(one.flags) for one in done.released)
    if at_risk:
        say(f"{at_risk} may show text in their pixels, which are unchanged: look at them first")
    say(done.keys)


def _print_answer(answer: dict[str, Any]) -> None:
    rows = (
        (d["class"], f"{d['confidence']:.3f}", d["frame"], _box(d["bbox"]))
        for d in answer["detections"]
    )
    if answer["detections"]:
        print_table(("class", "score", "frame", "x1, y1, x2, y2"), rows)
    else:
        say(f"no finding above {answer['threshold']:g}")
    say(f"\n{answer['model_version']}. {answer['notice']}")


def _box(bbox: tuple[float, ...] | None) -> str:
    return "" if bbox is None else ", ".join(f"{value:.0f}" for value in bbox)
