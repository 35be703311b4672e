from pathlib import Path

import numpy as np
import pytest

from core.codes import LESION, POLYP
from core.errors import InputError
from inference.package import ModelCard, TrainingData, load_package
from inference.training.metrics import FrameResult
from inference.training.packaging import (
    draft_card,
    package_checkpoint,
    package_run,
    record_performance,
)
from inference.training.report import EvaluatedFrame, report
from inference.training.runtime import Trained
from inference.training.train import TrainingRun
from tests.inference.training.drawing import write_discs

DATA = TrainingData(name="drawn discs", terms="none", images=4)


def card(labels: tuple[str, ...] = ("polyp",)) -> ModelCard:
    return draft_card("discs", Trained(labels, 64), DATA)


@pytest.fixture(scope="module")
def checkpoint(torch_runtime: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained yolov8n for one class."""
    import torch
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(0)
    network = DetectionModel("yolov8n.yaml", nc=1, verbose=False)
    network.names = {0: "polyp"}
    path = tmp_path_factory.mktemp("checkpoint") / "best.pt"
    torch.save({"model": network, "train_args": {"imgsz": 64}}, path)
    return path


def test_a_draft_says_polyp_in_its_own_code_and_anything_else_as_lesion() -> None:
    drafted = card(("polyp", "ulcer"))
    assert [label.concept for label in drafted.labels] == [POLYP, LESION]
    assert drafted.concept == LESION
    assert card().concept == POLYP
    assert "Not a medical device" in drafted.intended_use


def test_a_packaged_checkpoint_is_whole_and_answers_any_batch(
    checkpoint: Path, tmp_path: Path
) -> None:
    import onnxruntime

    package = package_checkpoint(checkpoint, tmp_path / "discs", card())
    assert load_package(tmp_path / "discs") == package
    session = onnxruntime.InferenceSession(package.weights, providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"images": np.zeros((3, 3, 64, 64), np.float32)})
    assert answer.shape == (3, 5, 64 // 8 * 64 // 8 + 64 // 16 * 64 // 16 + 64 // 32 * 64 // 32)
    assert session.get_outputs()[0].shape == ["batch", 5, answer.shape[2]]


def test_a_card_with_other_labels_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="finds polyp at 64 px, but the card says ulcer at 64 px"):
        package_checkpoint(checkpoint, tmp_path / "discs", card(("ulcer",)))


def test_measured_figures_go_into_the_card_and_its_page(checkpoint: Path, tmp_path: Path) -> None:
    package = package_checkpoint(checkpoint, tmp_path / "discs", card())
    box = np.array([[0.0, 0.0, 10.0, 10.0]])
    frame = EvaluatedFrame(4096, {"polyp": FrameResult(box, box, np.array([0.9]))})
    figures = report("discs 0.1.0", package.digest, [frame], 0.25)
    recorded = record_performance(package, figures)
    assert recorded.card.performance[0].metric == "mAP50"
    assert recorded.card.performance[0].value == pytest.approx(1.0)
    assert recorded.digest != package.digest
    assert (
        "| mAP50 | 1 | 1 validation frames, by which" in (tmp_path / "discs/README.md").read_text()
    )


def test_a_finished_run_becomes_a_measured_package(checkpoint: Path, tmp_path: Path) -> None:
    for split in ("train", "validation"):
        write_discs(tmp_path / "discs" / split, 2)
    run = TrainingRun(checkpoint, checkpoint, epochs=1, best_epoch=1, map50=0.0)
    package, figures = package_run(run, tmp_path / "discs", tmp_path / "package", "mine")
    assert package == load_package(tmp_path / "package")
    assert package.card.training_data[0].images == 2
    assert (figures.frames, figures.objects) == (2, 2)
    assert package.card.performance[0].value == pytest.approx(figures.map50, abs=1e-4)
