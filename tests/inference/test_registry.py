"""The models that are here."""

from pathlib import Path

import pytest

from inference.errors import ModelPackageError, UnknownModelError
from inference.registry import Registry, version_order
from tests.support.detector import bright_cells_package


def test_the_newest_version_is_taken_unless_one_is_named(tmp_path: Path) -> None:
    for version in ("1.9.0", "1.10.0", "1.10.0-rc1"):
        bright_cells_package(tmp_path / version / "cells", version=version)
    registry = Registry([tmp_path / version for version in ("1.9.0", "1.10.0", "1.10.0-rc1")])
    assert registry.get("cells").card.version == "1.10.0"
    assert registry.get("cells", "1.9.0").card.version == "1.9.0"
    versions = [package.card.version for package in registry.packages()]
    assert versions == ["1.10.0", "1.10.0-rc1", "1.9.0"]


def test_an_unknown_model_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    bright_cells_package(tmp_path / "cells")
    with pytest.raises(UnknownModelError, match=r"no model spots.*cells 1\.0\.0"):
        Registry([tmp_path]).get("spots")


def test_a_broken_package_is_refused_by_name_and_spares_the_others(tmp_path: Path) -> None:
    bright_cells_package(tmp_path / "cells")
    bright_cells_package(tmp_path / "broken").weights.write_bytes(b"other")
    registry = Registry([tmp_path])
    assert registry.get("cells").card.name == "cells"
    with pytest.raises(ModelPackageError, match="are not those of"):
        registry.get("broken")


def test_two_packages_of_one_name_and_version_are_refused(tmp_path: Path) -> None:
    bright_cells_package(tmp_path / "one" / "cells")
    bright_cells_package(tmp_path / "two" / "cells", intended_use="Something else.")
    with pytest.raises(ModelPackageError, match="a version of its own"):
        Registry([tmp_path / "one", tmp_path / "two"])


def test_versions_are_ordered_by_their_numbers() -> None:
    versions = ["1.0.0", "1.0.0-rc1", "0.9.12", "10.0.0", "2.0.0"]
    assert sorted(versions, key=version_order) == [
        "0.9.12", "1.0.0-rc1", "1.0.0", "2.0.0", "10.0.0",
    ]  # fmt: skip
