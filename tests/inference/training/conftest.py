from importlib.util import find_spec

import pytest

from inference.training.runtime import REQUIRED, prepare_runtime


@pytest.fixture(scope="session")
def torch_runtime() -> None:
    """Make torch and ultralytics importable, or skip where the extra is not installed."""
    if any(find_spec(name) is None for name in REQUIRED):
        pytest.skip("the extra `torch` is not installed")
    prepare_runtime()
