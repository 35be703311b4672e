"""The training loop: ultralytics' own, made sound on a CPU and safe to kill.

Needs the extra `torch`; import it after `runtime.prepare_runtime`.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from ultralytics.models.yolo.detect import DetectionTrainer

VALIDATE_EVERY = 10
"""Suppression is slow on the thousands of boxes of a model that has not learned much yet."""

VALIDATE_LAST = 12
"""The best weights are chosen among the last epochs, so each of these is validated."""

MAP50 = "metrics/mAP50(B)"

EpochHook = Callable[[int, int, Mapping[str, float], float | None], None]
"""Takes the epoch (1 for the first), of how many, the losses, and mAP50 if it was measured."""


class Trainer(DetectionTrainer):  # type: ignore[misc]  # ultralytics ships no types
    """Trains a detector; a checkpoint after each epoch, replaced as a whole or not at all."""

    last: Path
    best: Path
    best_fitness: float | None

    def __init__(self, overrides: dict[str, Any], *, threads: int, on_epoch: EpochHook) -> None:
        super().__init__(overrides=overrides)
        self._threads = threads
        self._on_epoch = on_epoch
        self._validated = -1
        if self.device.type == "cpu":
            self.args.workers = 1  # the base class sets 0, and loading would then halt the loop
        self.add_callback("on_train_start", Trainer._settle)
        self.add_callback("on_train_epoch_start", Trainer._plan_epoch)
        self.add_callback("on_fit_epoch_end", Trainer._report)

    def validate(self) -> tuple[dict[str, float], float]:
        """Measure the averaged weights; the best are those with the highest mAP50."""
        metrics: dict[str, float] = self.validator(self)
        metrics.pop("fitness", None)
        fitness = metrics[MAP50]
        self._validated = self.epoch
        if self.best_fitness is None or fitness > self.best_fitness:
            self.best_fitness = fitness
        return metrics, fitness

    def save_model(self) -> bool:
        """Write the checkpoints beside the old ones, then move them into place."""
        places: tuple[Path, Path] = (self.last, self.best)
        self.last, self.best = (place.with_suffix(".partial") for place in places)
        try:
            saved: bool = super().save_model()
            for partial, place in zip((self.last, self.best), places, strict=True):
                if partial.exists():
                    partial.replace(place)
        finally:
            self.last, self.best = places
        return saved

    def _settle(self) -> None:
        """Undo what the base class does to a CPU: one thread, and no reduced precision."""
        self._started = time.monotonic()
        if self.device.type != "cpu":
            return
        torch.set_num_threads(self._threads)
        if torch.cpu.get_capabilities().get("avx512_bf16"):
            _forward_in_bfloat16(self.model)

    def _plan_epoch(self) -> None:
        number = self.epoch + 1
        self.args.val = number % VALIDATE_EVERY == 0 or number > self.epochs - VALIDATE_LAST
        # Without this the weights of an epoch that nobody measured would pass for the best.
        self.fitness = None

    def _report(self) -> None:
        if self.epoch >= self.epochs:
            return  # the base class reports its final measurement as one epoch more
        losses = {name: float(value) for name, value in (self.tloss or {}).items()}
        measured = self.metrics[MAP50] if self._validated == self.epoch else None
        self._on_epoch(self.epoch + 1, self.epochs, losses, measured)


def _forward_in_bfloat16(model: Any) -> None:  # noqa: ANN401 - ultralytics ships no types
    """Run the network in bfloat16, and the loss, which needs the precision, in float32."""
    plain = model.loss

    def loss(batch: dict[str, Any], preds: Any = None) -> Any:  # noqa: ANN401
        if preds is None:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                preds = model.forward(batch["img"])
            preds = _as_float32(preds)
        return plain(batch, preds)

    model.loss = loss


def _as_float32(value: Any) -> Any:  # noqa: ANN401 - a tree of tensors
    if torch.is_tensor(value):
        return value.float()
    if isinstance(value, dict):
        return {key: _as_float32(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_as_float32(item) for item in value)
    return value
