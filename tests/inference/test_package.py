"""The model package: what is read, and what is refused by name."""

from pathlib import Path

import pytest

from core.codes import LESION
from inference.errors import ModelPackageError
from inference.package import (
    CARD_FILE,
    InputContract,
    Label,
    ModelCard,
    ModelPackage,
    WeightsFile,
    load_package,
    write_package,
)


def card(**changes: object) -> ModelCard:
    whole = ModelCard(
        name="spots",
        version="1.2.3",
        manufacturer="Test",
        licence="AGPL-3.0-or-later",
        intended_use="Tests only.",
        weights=WeightsFile(file="spots.onnx", sha256="0" * 64),
        input=InputContract(width=64, height=64),
        labels=(Label(name="spot", concept=LESION),),
        concept=LESION,
    )
    return whole.model_copy(update=changes)


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    weights = tmp_path / "somewhere.onnx"
    weights.write_bytes(b"learned")
    return write_package(tmp_path / "spots", card(), weights)


def test_what_is_written_is_read_back(package: ModelPackage) -> None:
    again = load_package(package.folder)
    assert again == package
    assert again.card.labels[0].concept == LESION
    assert again.weights.read_bytes() == b"learned"


def test_algorithm_carries_the_digest_and_the_threshold_in_effect(package: ModelPackage) -> None:
    algorithm = package.algorithm(0.4)
    assert (algorithm.digest, algorithm.threshold) == (package.digest, 0.4)
    assert ("score threshold", "0.4") in algorithm.parameters
    assert package.algorithm().threshold == package.card.thresholds.score


def test_changed_weights_are_refused_by_name(package: ModelPackage) -> None:
    package.weights.write_bytes(b"learnt")
    with pytest.raises(ModelPackageError, match=r"spots\.onnx are not those.*no fallback"):
        load_package(package.folder)


def test_missing_weights_are_refused_by_name(package: ModelPackage) -> None:
    package.weights.unlink()
    with pytest.raises(ModelPackageError, match=r"spots\.onnx cannot be read"):
        load_package(package.folder)


def test_a_changed_card_is_another_package(package: ModelPackage) -> None:
    path = package.folder / CARD_FILE
    path.write_text(path.read_text().replace("Tests only.", "All uses."))
    assert load_package(package.folder).digest != package.digest


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("backend: onnx", "backend: wishes", "backend"),
        ("task: detect", "tusk: detect", "tusk"),
        ("file: spots.onnx", "file: ../spots.onnx", "weights.file"),
        ("labels:", "labels: []\nlobels:", "labels"),
        ("mean: []", "mean: [0.5]", "mean"),
    ],
)
def test_a_faulty_card_is_refused_with_the_key(
    package: ModelPackage, old: str, new: str, named: str
) -> None:
    path = package.folder / CARD_FILE
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ModelPackageError, match=rf"model\.yaml.*{named}"):
        load_package(package.folder)


@pytest.mark.parametrize("text", ["", "[", "\x00", "just words"])
def test_a_card_that_is_no_card_is_refused(package: ModelPackage, text: str) -> None:
    (package.folder / CARD_FILE).write_text(text)
    with pytest.raises(ModelPackageError, match=r"model\.yaml"):
        load_package(package.folder)


def test_a_folder_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelPackageError, match="cannot be read"):
        load_package(tmp_path)
