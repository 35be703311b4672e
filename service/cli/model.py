"""`model list | show | verify | export | train | evaluate`: the model packages."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import InputError
from service.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    console,
    example,
    print_json,
    print_table,
)
from service.cli.progress import progress

if TYPE_CHECKING:
    pass

group = typer.Typer(help="Look at, check, train and measure models.", no_args_is_help=True)

Model = Annotated[str, typer.Argument(help="NAME, NAME@VERSION, or the folder of a package.")]
Data = Annotated[
    Path, typer.Option("--data", help="Folder with images/ and masks/ (or labels/).", exists=True)
]


def register(app: typer.Typer) -> None:
    """Add this group to the command line."""
    app.add_typer(group, name="model")


@group.command("list", epilog=example("second-reader model list --json"))
def list_models(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the models that this installation has, with version and digest."""
    packages = _registry(config).packages()
    if as_json:
        print_json([_summary(package) for package in packages])
        return
    rows = ((p.card.name, p.card.version, p.card.task, p.digest[:16]) for p in packages)
    print_table(("name", "version", "task", "digest"), rows)


@group.command(epilog=example("second-reader model show polyp"))
def show(model: Model, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show the card of a model: intended use, training data, measured performance."""
    package = _find(model, config)
    if as_json:
        print_json({**_summary(package), "card": package.card.model_dump(mode="json")})
        return
    from inference.training.packaging import readme

    typer.echo(readme(package.card))


@group.command(epilog=example("second-reader model verify polyp"))
def verify(model: Model, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Read a package again from disk: digest, labels and input shape, in the reader's own way."""
    package = _find(model, config)
    from inference.backends import load_backend

    load_backend(package)
    console.print(f"{package.card.name} {package.card.version} is whole: sha256 {package.digest}")


@group.command(epilog=example("second-reader model export polyp --out ./polyp-package"))
def export(
    model: Model,
    out: Annotated[Path, typer.Option("--out", help="A folder that does not exist yet.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Write a model package out of a run of `model train`, or copy an installed one."""
    if out.exists():
        raise InputError(f"{out} is there already", remedy="Name another folder")
    run = Path(model)
    if (run / "run" / "weights").is_dir():
        package = _package_run(run, out, name=out.name)
    else:
        shutil.copytree(_find(model, config).folder, out)
        from inference.package import load_package

        package = load_package(out)
    console.print(f"{package.card.name} {package.card.version} written to {out}")


@group.command(epilog=example("second-reader model train --data polyp/ --out runs/polyp"))
def train(
    data: Annotated[
        Path, typer.Option("--data", help="Folder with train/ and validation/.", exists=True)
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run and of the package.")],
    label: Annotated[list[str] | None, typer.Option("--label", help="A class; repeat it.")] = None,
    epochs: Annotated[int, typer.Option(min=1, max=5000)] = 110,
    input_px: Annotated[int, typer.Option(min=64, max=2048, help="Side of the input.")] = 352,
    architecture: Annotated[str, typer.Option(help="An ultralytics detector.")] = "yolov8n",
    init: Annotated[
        Path | None, typer.Option("--init", help="Checkpoint to start from.", exists=True)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Train a detector, and write its package with the figures that were measured."""
    from inference.training.train import EpochReport, TrainSettings
    from inference.training.train import train as run

    settings = TrainSettings(
        data=data,
        out=out,
        labels=tuple(label or ("polyp",)),
        architecture=architecture,
        initial_weights=init,
        epochs=epochs,
        input_px=input_px,
        resume=resume,
    )
    with progress("training", epochs) as steps:

        def on_epoch(report: EpochReport) -> None:
            measured = "" if report.map50 is None else f"mAP50 {report.map50:.3f}"
            steps.at(report.epoch, measured)

        finished = run(settings, on_epoch)
    console.print(f"best epoch {finished.best_epoch}: mAP50 {finished.map50:.3f}")
    package = _package_run(out, out / "package", name=settings.labels[0], data=data)
    console.print(f"package written to {package.folder}")


@group.command(epilog=example("second-reader model evaluate polyp --data polyp/validation --json"))
def evaluate(
    model: Model,
    data: Data,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Measure a model in the service's own pixel path: mAP50, mAP50-95, FROC."""
    from inference.training.evaluate import evaluate as measure

    package = _find(model, config)
    with progress("evaluating", 1) as steps:
        report = measure(package, data, on_frame=lambda done, of: steps.of(done, of))
    if as_json:
        print_json(report.as_json())
        return
    rows = (
        (name, value) for name, value in report.as_json().items() if not isinstance(value, dict)
    )
    print_table(("figure", "value"), rows, title=f"{package.card.name} {package.card.version}")
