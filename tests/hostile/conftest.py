"""One live service for all cases that need one."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.detector import bright_cells_package
from tests.support.installation import Service, install, running


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service as an operator starts it, with short patience."""
    folder = tmp_path_factory.mktemp("hostile")
    bright_cells_package(folder / "packages" / "bright")
    sections: dict[str, dict[str, Any]] = {
        "inference": {
            "models": [{"name": "bright"}],
            "package_folders": [str(folder / "packages")],
        },
        "dicom_node": {"request_timeout_s": 3.0, "pdu_timeout_s": 5.0, "idle_timeout_s": 8.0},
    }
    made = install(folder / "installation", sections=sections)
    with running(made):
        yield made
