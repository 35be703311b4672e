"""Train a detector from annotated frames, from scratch or from weights, and go on after a stop."""

import csv
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import InputError
from inference.training.dataset import prepare
from inference.training.runtime import load_checked, prepare_runtime

RECIPE: Mapping[str, object] = {
    "batch": 16,
    "nbs": 16,
    "optimizer": "AdamW",
    "lr0": 0.0015,
    "lrf": 0.02,
    "cos_lr": True,
    "warmup_epochs": 3,
    "weight_decay": 0.0005,
    "degrees": 90,  # an endoscope has no upright
    "flipud": 0.5,
    "fliplr": 0.5,
    "scale": 0.4,
    "translate": 0.1,
    "hsv_h": 0.015,
    "hsv_s": 0.5,
    "hsv_v": 0.3,
    "mosaic": 1.0,
    "close_mosaic": 15,
    "mixup": 0.1,
    "patience": 0,
    "cache": "ram",
}
"""What gave the shipped polyp detector: from scratch, on 800 frames, on two CPU cores."""

_ARCHITECTURE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class EpochReport:
    """How one epoch went."""

    epoch: int
    """1 for the first."""
    of: int
    losses: Mapping[str, float]
    map50: float | None
    """On the validation frames; None where this epoch was not measured."""


@dataclass(frozen=True)
class TrainSettings:
    """What to train, on what, and where to keep it."""

    data: Path
    """Folder with train/ and validation/, each images/ and masks/ (or labels/)."""
    out: Path
    """Folder of the run: checkpoints, results.csv, the prepared data set."""
    labels: tuple[str, ...] = ("polyp",)
    architecture: str = "yolov8n"
    """A detector that ultralytics knows by name, or the path of a .yaml of its kind."""
    initial_weights: Path | None = None
    """A checkpoint to start from; None starts from scratch."""
    epochs: int = 110
    input_px: int = 352
    resume: bool = False
    """Go on with the run in `out`, by its own recipe and number of epochs."""
    threads: int | None = None
    """CPU threads; None takes every core."""
    seed: int = 0


@dataclass(frozen=True)
class TrainingRun:
    """What a finished training left behind."""

    best: Path
    """Checkpoint with the highest mAP50 on the validation frames."""
    last: Path
    epochs: int
    best_epoch: int
    map50: float
    """On the validation frames, by which the checkpoint was also chosen."""


def train(
    settings: TrainSettings, on_epoch: Callable[[EpochReport], None] = lambda _: None
) -> TrainingRun:
    """Train until the last epoch; a killed run goes on from its last checkpoint with `resume`.

    Raises
    ------
    InputError
        If the data set, the architecture, or the weights to start from are not what they must be.
    ConfigurationError
        If the extra `torch` is not installed.
    """
    out = settings.out.resolve()
    last = out / "run" / "weights" / "last.pt"
    if settings.resume and not last.is_file():
        raise InputError(f"{out} holds no run to resume", remedy="Leave --resume out to start one")
    if not settings.resume and last.exists():
        raise InputError(
            f"{out} holds a run already", remedy="Add --resume, or name another folder"
        )
    description = prepare(settings.data, out, settings.labels)
    prepare_runtime()
    from inference.training.trainer import Trainer

    overrides = _resumed(last) if settings.resume else _fresh(settings)
    trainer = Trainer(
        {
            **overrides,
            "data": str(description),
            "save_dir": str(out / "run"),
            "device": _device(),
        },
        threads=settings.threads or os.cpu_count() or 1,
        on_epoch=lambda *report: on_epoch(EpochReport(*report)),
    )
    trainer.train()
    return finished_run(out)


def finished_run(out: Path) -> TrainingRun:
    """Read how the run in `out` ended.

    Raises
    ------
    InputError
        If there is none, or none of its epochs was measured.
    """
    weights, results = out / "run" / "weights", out / "run" / "results.csv"
    if not (weights / "best.pt").is_file() or not results.is_file():
        raise InputError(f"{out} holds no training run")
    with results.open(newline="", encoding="utf-8") as lines:
        measured = [
            (int(row["epoch"]), float(row["metrics/mAP50(B)"]))
            for row in csv.DictReader(lines, skipinitialspace=True)
        ]
    best_epoch, map50 = max(measured, key=lambda row: (row[1], -row[0]))
    return TrainingRun(
        best=weights / "best.pt",
        last=weights / "last.pt",
        epochs=measured[-1][0],
        best_epoch=best_epoch,
        map50=map50,
    )


def _fresh(settings: TrainSettings) -> dict[str, Any]:
    return {
        **RECIPE,
        "model": _architecture(settings.architecture),
        "pretrained": _initial_weights(settings.initial_weights),
        "epochs": settings.epochs,
        "imgsz": settings.input_px,
        "seed": settings.seed,
        "amp": _mixed_precision(),
        "deterministic": False,
        "exist_ok": True,
        "plots": False,
        "verbose": False,
        "workers": 4,
    }


def _resumed(last: Path) -> dict[str, Any]:
    if load_checked(last)[1].get("optimizer") is None:
        raise InputError(
            f"the run of {last} is finished; there is nothing to resume",
            remedy="To train its weights further, start a new run with --init",
        )
    return {"resume": str(last), "model": str(last), "plots": False, "workers": 4}


def _initial_weights(weights: Path | None) -> str | bool:
    if weights is None:
        return False
    load_checked(weights)
    return str(weights)


def _architecture(name: str) -> str:
    """Return what ultralytics takes; it would look an unknown name up in other places."""
    if name.endswith(".yaml") and Path(name).is_file():
        return str(Path(name).resolve())
    from ultralytics.utils import ROOT

    known = {path.stem for path in (ROOT / "cfg" / "models").rglob("yolo*.yaml")}
    if not _ARCHITECTURE.fullmatch(name) or not {name, name[:-1]} & known:
        raise InputError(
            f"no architecture {name} is known",
            remedy="Take a detector of ultralytics, such as yolov8n or yolo11n, or a .yaml file",
        )
    return f"{name}.yaml"


def _device() -> str:
    import torch

    return "0" if torch.cuda.is_available() else "cpu"


def _mixed_precision() -> str | bool:
    """Return bfloat16 where a GPU has it; a CPU does without this switch (see `trainer`)."""
    import torch

    if torch.cuda.is_available() and torch.cuda.is_bf16_supported():
        return "bf16"
    return False
