"""What somebody with access to the machine, but not to the keys, can learn or reach."""

import base64
import os
import pickle
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from pydicom.dataelem import DataElement

from core.errors import MalformedInstanceError
from inference.errors import ModelPackageError
from inference.package import load_package
from service.engine import StepTimeoutError
from service.workflow_values import read_plain
from tests.service.test_engine import Recorder, processed, running
from tests.support.detector import bright_cells_package
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


class Planted:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.file,)


def test_what_is_planted_in_the_workflow_database_never_runs(tmp_path: Path) -> None:
    """The worker holds the keys; the database, or a backup of it, may be in other hands."""
    mark = tmp_path / "mark"
    processed(Recorder(), tmp_path)
    planted = base64.b64encode(pickle.dumps({"args": Planted(mark), "kwargs": {}})).decode()
    with closing(sqlite3.connect(tmp_path / "workflows.db")) as database, database:
        database.execute("UPDATE workflow_input SET inputs = ?", (planted,))
        database.execute("UPDATE workflow_status SET status = 'PENDING'")

    again = Recorder()
    with running(again, tmp_path):
        again.done.wait(3)

    assert not mark.exists()
    assert again.calls == []


def test_errors_of_steps_are_read_back_from_the_workflow_database() -> None:
    def read_back(value: object) -> object:
        return read_plain(base64.b64encode(pickle.dumps(value)).decode())

    workflow = {"args": ("key",), "kwargs": {}}
    error = read_back(StepTimeoutError("too long"))

    assert read_back(workflow) == workflow
    assert (type(error), str(error)) == (StepTimeoutError, "too long")


def test_weights_without_end_are_refused(tmp_path: Path) -> None:
    package = bright_cells_package(tmp_path / "bright")
    package.weights.unlink()
    package.weights.symlink_to("/dev/zero")

    with pytest.raises(ModelPackageError, match="no file"):
        load_package(tmp_path / "bright")
