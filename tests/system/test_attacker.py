"""What somebody with access to the machine, but not to the keys, can learn or reach."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom.dataelem import DataElement

from core.errors import MalformedInstanceError
from tests.support.house import house, image_with_cells


def test_the_model_runtime_reports_to_nobody(tmp_path: Path) -> None:
    """ONNX Runtime collects events under HOME and sends them to its maker, unless told not to."""
    subprocess.run(
        [sys.executable, "-c", "import inference.backends.onnx as b; b.ort.SessionOptions()"],
        env={**os.environ, "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
        timeout=60,
    )

    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_a_study_that_is_named_by_a_path_is_not_taken(tmp_path: Path, keyword: str) -> None:
    image = image_with_cells((8, 16))
    image[keyword] = DataElement(keyword, "LO", "../../../etc/passwd")
    image[keyword].VR = "UI"

    with house(tmp_path) as home, pytest.raises(MalformedInstanceError):
        home.take(image)
