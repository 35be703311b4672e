"""From a finished training to a model package: export, card, measured figures, README."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from core.codes import LESION, POLYP
from core.errors import InputError
from inference.package import (
    InputContract,
    Label,
    ModelCard,
    ModelPackage,
    Performance,
    Thresholds,
    TrainingData,
    WeightsFile,
    write_package,
)
from inference.training.dataset import annotated_frames
from inference.training.evaluate import evaluate
from inference.training.export import export_onnx
from inference.training.report import EvaluationReport
from inference.training.runtime import Trained, describe
from inference.training.train import TrainingRun

WEIGHTS_NAME = "weights.onnx"
README = "README.md"
_NOT_YET_KNOWN = "0" * 64

_CONCEPTS = {"polyp": POLYP}
"""Coded concepts of labels that we know; any other is a lesion until its owner says more."""

DRAFT_USE = (
    "Research. Not a medical device: not cleared, not validated in any clinic, not for diagnosis. "
    "Write here who may use it for what before anyone does."
)


def draft_card(name: str, trained: Trained, data: TrainingData) -> ModelCard:
    """Return the card of a freshly trained detector, with the most cautious words."""
    labels = tuple(
        Label(name=label, concept=_CONCEPTS.get(label, LESION)) for label in trained.labels
    )
    return ModelCard(
        name=name,
        version="0.1.0",
        manufacturer="trained locally",
        licence="AGPL-3.0-or-later",  # of ultralytics, and so of weights trained with it
        intended_use=DRAFT_USE,
        weights=WeightsFile(file=WEIGHTS_NAME, sha256=_NOT_YET_KNOWN),
        input=InputContract(width=trained.input_px, height=trained.input_px),
        labels=labels,
        concept=labels[0].concept if len(labels) == 1 else LESION,
        thresholds=Thresholds(iou=0.45),
        training_data=(data,),
    )


def package_run(
    run: TrainingRun,
    data: Path,
    folder: Path,
    card: str | ModelCard,
    on_frame: Callable[[int, int], None] = lambda _done, _of: None,
) -> tuple[ModelPackage, EvaluationReport]:
    """Package the best checkpoint of a training, and measure it on the validation frames.

    Parameters
    ----------
    data
        The folder that it was trained on, with train/ and validation/.
    folder
        Where the package goes.
    card
        The package's whole card, or its name only, for a draft.
    on_frame
        Hears how many of how many validation frames are read.
    """
    if isinstance(card, str):
        images = len(annotated_frames(data / "train"))
        trained_on = TrainingData(name=data.name, terms="not stated", images=images)
        card = draft_card(card, describe(run.best), trained_on)
    package = package_checkpoint(run.best, folder, card)
    report = evaluate(package, data / "validation", on_frame)
    recorded = record_performance(package, report)
    return recorded, replace(report, digest=recorded.digest)


def package_checkpoint(checkpoint: Path, folder: Path, card: ModelCard) -> ModelPackage:
    """Write the model package of a checkpoint; the figures on `card` are taken off.

    Raises
    ------
    InputError
        If the checkpoint's classes are not the card's labels, or it is no detector we can serve.
    ConfigurationError
        If the extra `torch` is not installed.
    """
    if card.input.width != card.input.height:
        raise InputError(
            "the card's input is not square, and detectors here are trained on squares"
        )
    trained, labels = describe(checkpoint), tuple(label.name for label in card.labels)
    if trained != Trained(labels, card.input.width):
        raise InputError(
            f"the checkpoint finds {', '.join(trained.labels)} at {trained.input_px} px, but the "
            f"card says {', '.join(labels)} at {card.input.width} px"
        )
    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / WEIGHTS_NAME
        export_onnx(checkpoint, weights, input_px=card.input.width)
        return write_package(folder, card.model_copy(update={"performance": ()}), weights)


def record_performance(package: ModelPackage, report: EvaluationReport) -> ModelPackage:
    """Write figures on validation frames into the package's card and its README."""
    data = f"{report.frames} validation frames, by which the checkpoint was chosen, too"
    figures = (
        ("mAP50", report.map50),
        ("mAP50-95", report.map50_95),
        ("sensitivity at 1 false positive a frame", report.froc[1.0]),
        (f"sensitivity at score {report.threshold:g}", report.sensitivity),
        (
            f"false positives a frame at score {report.threshold:g}",
            report.false_positives_per_frame,
        ),
    )
    performance = tuple(
        Performance(metric=metric, value=round(value, 4), data=data) for metric, value in figures
    )
    card = package.card.model_copy(update={"performance": performance})
    written = write_package(package.folder, card, package.weights)
    (package.folder / README).write_text(readme(card), encoding="utf-8")
    return written


def readme(card: ModelCard) -> str:
    """Return the card as a page for people."""
    data = "\n\n".join(
        f"{part.name}, {part.images} images. {part.description}\n\nTerms: {part.terms}"
        for part in card.training_data
    )
    rows = "\n".join(f"| {one.metric} | {one.value:g} | {one.data} |" for one in card.performance)
    finds = ", ".join(label.name for label in card.labels)
    return (
        f"# {card.name} {card.version}\n\nFinds: {finds}.\n\n"
        f"## Intended use\n\n{card.intended_use}\n\n"
        f"## Training data\n\n{data}\n\n"
        f"## Measured\n\n| what | value | on |\n| --- | --- | --- |\n{rows}\n\n"
        f"## Licence\n\n{card.licence}\n"
    )
