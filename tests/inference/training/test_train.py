from pathlib import Path

import pytest

from core.errors import InputError
from inference.training.train import EpochReport, TrainSettings, finished_run, train
from tests.inference.training.drawing import write_discs


@pytest.fixture
def settings(tmp_path: Path) -> TrainSettings:
    for split, count in (("train", 4), ("validation", 2)):
        write_discs(tmp_path / "data" / split, count)
    return TrainSettings(tmp_path / "data", tmp_path / "out", epochs=2, input_px=64, threads=1)


def resumed(settings: TrainSettings) -> TrainSettings:
    return TrainSettings(settings.data, settings.out, resume=True, threads=1)


def test_a_stopped_run_goes_on_where_it_was_and_ends(
    settings: TrainSettings, torch_runtime: None
) -> None:
    seen: list[tuple[int, int]] = []

    def stop_after_first(report: EpochReport) -> None:
        seen.append((report.epoch, report.of))
        if len(seen) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(settings, stop_after_first)
    run = train(resumed(settings), stop_after_first)
    assert seen == [(1, 2), (2, 2)]
    assert run.best.is_file()
    assert run == finished_run(settings.out)
    assert run.epochs == 2
    with pytest.raises(InputError, match="nothing to resume"):
        train(resumed(settings))


def test_a_run_starts_from_given_weights_only_if_they_are_safe(
    settings: TrainSettings, torch_runtime: None
) -> None:
    weights = settings.out.parent / "weights.pt"
    weights.write_bytes(b"no weights")
    hostile = TrainSettings(settings.data, settings.out, initial_weights=weights, epochs=1)
    with pytest.raises(InputError, match="no checkpoint that can be loaded safely"):
        train(hostile)


@pytest.mark.parametrize("name", ["yolo99x", "https://example.org/a", "../yolov8n", "resnet50"])
def test_an_unknown_architecture_is_refused_by_name(
    settings: TrainSettings, torch_runtime: None, name: str
) -> None:
    with pytest.raises(InputError, match="no architecture"):
        train(TrainSettings(settings.data, settings.out, architecture=name))


def test_nothing_to_resume_and_nothing_to_overwrite(settings: TrainSettings) -> None:
    with pytest.raises(InputError, match="holds no run to resume"):
        train(resumed(settings))
    checkpoint = settings.out / "run" / "weights" / "last.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    with pytest.raises(InputError, match="holds a run already"):
        train(settings)


def test_a_folder_without_a_run_has_no_result(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no training run"):
        finished_run(tmp_path)
