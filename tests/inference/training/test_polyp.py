import subprocess
import sys

import pytest

from inference.package import load_package
from inference.registry import SHIPPED
from inference.training.evaluate import evaluate
from tests.support.data import data_folder


def test_polyps_page_and_card_state_the_same_figures() -> None:
    package = load_package(SHIPPED / "polyp")
    page = (package.folder / "README.md").read_text()
    assert package.weights.stat().st_size <= 15 * 2**20
    for stated in package.card.performance:
        assert f" | {stated.value:g}" in page
        assert stated.metric in page


def test_polyp_holds_what_its_card_says() -> None:
    """On the frames that its card names; also the floor below which it may not ship."""
    package = load_package(SHIPPED / "polyp")
    stated = {one.metric: one.value for one in package.card.performance}
    found = evaluate(package, data_folder() / "polyp" / "validation")
    assert found.map50 >= 0.75
    assert found.map50 == pytest.approx(stated["mAP50"], abs=0.005)
    assert found.map50_95 == pytest.approx(stated["mAP50-95"], abs=0.005)


def test_evaluating_loads_no_torch() -> None:
    code = "import sys, inference.training.evaluate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
