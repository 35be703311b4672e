"""What somebody with access to the machine, but not to the keys, can learn or reach."""

import os
import subprocess
import sys
from pathlib import Path


def test_the_model_runtime_reports_to_nobody(tmp_path: Path) -> None:
    """ONNX Runtime collects events under HOME and sends them to its maker, unless told not to."""
    subprocess.run(
        [sys.executable, "-c", "import inference.backends.onnx as b; b.ort.SessionOptions()"],
        env={**os.environ, "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
        timeout=60,
    )

    assert list(tmp_path.rglob("*")) == []
