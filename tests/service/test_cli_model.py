"""`model`: what is here, whether it is whole, and how good it is."""

from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.support.commands import second_reader
from tests.support.detector import bright_cells_package, picture_with_cells


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where there is no installation."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SECOND_READER_CONFIG", raising=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    bright_cells_package(tmp_path / "models" / "bright")
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"inference": {"package_folders": ["models"]}}))
    return path


def test_the_models_of_an_installation_are_listed(config: Path) -> None:
    found = second_reader("model", "list", "--json", "--config", config).data
    (bright,) = [model for model in found if model["name"] == "bright"]
    assert bright["version"] == "1.0.0"
    assert bright["labels"] == ["bright"]
    assert "bright" in second_reader("model", "list", "--config", config).out


def test_a_card_is_shown_as_a_page_and_as_data(config: Path) -> None:
    assert "## Intended use" in second_reader("model", "show", "bright", "--config", config).out
    shown = second_reader("model", "show", "bright@1.0.0", "--json", "--config", config).data
    assert shown["card"]["labels"][0]["name"] == "bright"
    assert len(shown["digest"]) == 64


def test_a_package_is_named_by_its_folder_too(config: Path) -> None:
    assert second_reader("model", "show", config.parent / "models" / "bright").code == 0


def test_a_model_that_is_not_here_is_named_with_those_that_are(config: Path) -> None:
    ran = second_reader("model", "show", "none", "--config", config)
    assert ran.code == 1
    assert "there is no model none" in ran.err
    assert "bright 1.0.0" in ran.err


def test_a_whole_package_verifies(config: Path) -> None:
    ran = second_reader("model", "verify", "bright", "--config", config)
    assert ran.code == 0
    assert "is whole" in ran.out


def test_corrupt_weights_are_refused_by_name(config: Path) -> None:
    weights = config.parent / "models" / "bright" / "cells.onnx"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0\0")
    for words in (["verify", "bright"], ["list"]):
        ran = second_reader("model", *words, "--config", config)
        assert ran.code == 1
        assert str(weights) in ran.err
        assert "Fetch the whole package again" in ran.err


def test_a_package_is_copied_out(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    assert second_reader("model", "export", "bright", "--out", out, "--config", config).code == 0
    assert second_reader("model", "verify", out).code == 0
    assert second_reader("model", "export", "bright", "--out", out, "--config", config).code == 1


def test_a_model_is_measured(config: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for kind in ("images", "masks"):
        (data / kind).mkdir(parents=True)
        Image.fromarray(picture_with_cells((1, 1))).save(data / kind / "1.png")
    ran = second_reader("model", "evaluate", "bright", "--data", data, "--json", "--config", config)
    assert ran.code == 0, ran.err
    assert ran.data["mAP50"] == 1.0
    ran = second_reader("model", "evaluate", "bright", "--data", data, "--config", config)
    assert "mAP50" in ran.out


def test_a_training_is_exported_with_the_data_it_is_measured_on(tmp_path: Path) -> None:
    (tmp_path / "training" / "run" / "weights").mkdir(parents=True)
    ran = second_reader("model", "export", tmp_path / "training", "--out", tmp_path / "out")
    assert ran.code == 2
    assert "--data" in ran.err
