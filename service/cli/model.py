"""`model list | show | verify | export | train | evaluate`: the model packages."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.options import (
    DEFAULT_CONFIG,
    JsonOption,
    OptionalConfig,
    complain,
    example,
    print_json,
    print_table,
    say,
)
from service.cli.progress import progress

if TYPE_CHECKING:
    from inference.package import ModelPackage
    from inference.registry import Registry

group = typer.Typer(help="Look at, check, train and measure models.", no_args_is_help=True)

Model = Annotated[str, typer.Argument(help="NAME, NAME@VERSION, or the folder of a package.")]
Data = Annotated[
    Path, typer.Option("--data", help="Folder with images/ and masks/ (or labels/).", exists=True)
]
TrainingData = Annotated[
    Path, typer.Option("--data", help="Folder with train/ and validation/.", exists=True)
]


def register(app: typer.Typer) -> None:
    """Add this group to the command line."""
    app.add_typer(group, name="model")


@group.command("list", epilog=example("second-reader model list --json"))
def list_models(config: OptionalConfig = None, as_json: JsonOption = False) -> None:
    """List the models that are here, with version and digest; refused ones with the reason."""
    registry = _registry(config)
    packages = registry.packages()
    if as_json:
        print_json([_summary(package) for package in packages])
    else:
        rows = ((p.card.name, p.card.version, p.card.task, p.digest[:16]) for p in packages)
        print_table(("name", "version", "task", "digest"), rows)
    for name, refusal in registry.refusals.items():
        complain(f"{name}: {refusal}")
    if registry.refusals:
        raise typer.Exit(1)


@group.command(epilog=example("second-reader model show polyp"))
def show(model: Model, config: OptionalConfig = None, as_json: JsonOption = False) -> None:
    """Show the card of a model: intended use, training data, measured performance."""
    package = _find(model, config)
    if as_json:
        print_json({**_summary(package), "card": package.card.model_dump(mode="json")})
        return
    from inference.training.packaging import readme

    typer.echo(readme(package.card), nl=False)


@group.command(epilog=example("second-reader model verify polyp"))
def verify(model: Model, config: OptionalConfig = None) -> None:
    """Read a package again from disk: digest, labels and input shape, in the reader's own way."""
    package = _find(model, config)
    from inference.backends import load_backend

    load_backend(package)
    say(f"{package.card.name} {package.card.version} is whole: sha256 {package.digest}")


@group.command(epilog=example("second-reader model export polyp --out ./polyp-package"))
def export(
    model: Annotated[
        str, typer.Argument(help="As for `show`, or the --out folder of `model train`.")
    ],
    out: Annotated[Path, typer.Option("--out", help="A folder that does not exist yet.")],
    data: Annotated[
        Path | None,
        typer.Option("--data", help="For a training: the folder it was trained on.", exists=True),
    ] = None,
    config: OptionalConfig = None,
) -> None:
    """Copy a package, or make one of a training that was stopped before its end."""
    from core.errors import InputError
    from inference.package import load_package

    if out.exists():
        raise InputError(f"{out} is there already", remedy="Name another folder")
    if (Path(model) / "run" / "weights").is_dir():
        if data is None:
            raise typer.BadParameter(
                "a training is measured on the data it was made from", param_hint="--data"
            )
        package = _package_run(Path(model), data, out)
    else:
        shutil.copytree(_find(model, config).folder, out)
        package = load_package(out)
    say(f"{package.card.name} {package.card.version} written to {out}")


@group.command(epilog=example("second-reader model train --data polyp/ --out runs/polyp"))
def train(
    data: TrainingData,
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
            steps.of(report.epoch, report.of)
            steps.note("" if report.map50 is None else f"mAP50 {report.map50:.3f}")

        finished = run(settings, on_epoch)
    say(f"best epoch {finished.best_epoch}: mAP50 {finished.map50:.3f}")
    package = _package_run(out, data, out / "package")
    say(f"{package.card.name} {package.card.version} written to {package.folder}")


@group.command(epilog=example("second-reader model evaluate polyp --data polyp/validation --json"))
def evaluate(
    model: Model, data: Data, config: OptionalConfig = None, as_json: JsonOption = False
) -> None:
    """Measure a model in the service's own pixel path: mAP50, mAP50-95, FROC."""
    from inference.training.evaluate import evaluate as measure

    package = _find(model, config)
    with progress("evaluating", 0) as steps:
        report = measure(package, data, on_frame=steps.of)
    if as_json:
        print_json(report.as_json())
        return
    figures = report.as_json().items()
    rows = ((name, value) for name, value in figures if not isinstance(value, dict | list))
    print_table(("figure", "value"), rows, title=f"{package.card.name} {package.card.version}")


def _registry(config: Path | None) -> "Registry":
    """Return the models of the installation, the shipped ones alone where there is none."""
    from inference.registry import SHIPPED, Registry
    from service.settings import load_settings

    if config is None and not DEFAULT_CONFIG.exists():
        return Registry()
    ours = load_settings(config or DEFAULT_CONFIG)
    own = (ours.path(folder) for folder in ours.settings.inference.package_folders)
    return Registry((SHIPPED, *own))


def _find(model: str, config: Path | None) -> "ModelPackage":
    """Return the package in the folder that was named, or the one of that name."""
    from inference.package import CARD_FILE, load_package

    if (Path(model) / CARD_FILE).is_file():
        return load_package(Path(model))
    name, _, version = model.partition("@")
    return _registry(config).get(name, version or None)


def _summary(package: "ModelPackage") -> dict[str, Any]:
    card = package.card
    return {
        "name": card.name,
        "version": card.version,
        "task": card.task,
        "labels": [label.name for label in card.labels],
        "digest": package.digest,
        "folder": package.folder,
    }


def _package_run(run: Path, data: Path, folder: Path) -> "ModelPackage":
    """Make the package of the best checkpoint of a run, and measure it."""
    from inference.training.packaging import package_run
    from inference.training.train import finished_run

    with progress("measuring", 0) as steps:
        package, report = package_run(
            finished_run(run), data, folder, _package_name(run), on_frame=steps.of
        )
    say(f"mAP50 {report.map50:.3f} in the service's own pixel path")
    return package


def _package_name(run: Path) -> str:
    """Return the run's folder name as far as a package may be called so."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in run.name)
    return kept.lower().lstrip("0123456789-_")[:32] or "detector"
