"""Which models want which instances."""

from pathlib import Path

import pytest

from core.model import InstanceKey
from imaging.facts import PixelFacts
from inference.errors import UnknownModelError
from inference.package import Accepts
from inference.registry import Registry
from inference.requests import ModelOrder
from inference.selection import Candidate, Origin, not_accepted, select
from inference.settings import ModelRule
from tests.inference.test_package import card
from tests.support.builders import CT, VL_ENDOSCOPIC
from tests.support.detector import bright_cells_package

FRAME = Candidate(InstanceKey("a"), "ES", VL_ENDOSCOPIC)
SLICE = Candidate(InstanceKey("b"), "CT", CT)
FROM_SCOPE = Origin("scope", "POLYPS")


def registry(tmp_path: Path, **accepts: object) -> Registry:
    bright_cells_package(tmp_path / "cells", accepts=Accepts.model_validate(accepts))
    return Registry([tmp_path])


def chosen(here: Registry, *candidates: Candidate, **rule: object) -> tuple[ModelOrder, ...]:
    rules = [ModelRule.model_validate({"name": "cells", **rule})]
    return select(rules, here, FROM_SCOPE, candidates or (FRAME,))


@pytest.mark.parametrize(
    "rule",
    [
        {"enabled": False},
        {"peers": ["other"]},
        {"called_ae_titles": ["SECOND"]},
        {"modalities": ["CT"]},
        {"sop_classes": [CT]},
    ],
)
def test_a_rule_keeps_studies_from_a_model(tmp_path: Path, rule: dict[str, object]) -> None:
    assert chosen(registry(tmp_path), **rule) == ()


def test_a_rule_lets_its_studies_through(tmp_path: Path) -> None:
    (order,) = chosen(
        registry(tmp_path),
        peers=["scope"],
        called_ae_titles=["POLYPS"],
        modalities=["ES"],
        sop_classes=[VL_ENDOSCOPIC],
        score_threshold=0.4,
    )
    assert (order.name, order.version, order.score_threshold) == ("cells", "1.0.0", 0.4)
    assert order.digest == registry(tmp_path).get("cells").digest


def test_what_a_card_does_not_accept_is_skipped_with_the_reason(tmp_path: Path) -> None:
    (order,) = chosen(registry(tmp_path, modalities=["ES"]), FRAME, SLICE)
    assert [(one.instance_key, one.reason) for one in order.skipped] == [
        ("b", "cells does not read modality CT")
    ]


def test_a_study_without_anything_for_a_model_is_not_read(tmp_path: Path) -> None:
    assert chosen(registry(tmp_path, modalities=["ES"]), SLICE) == ()
    assert chosen(registry(tmp_path, sop_classes=[VL_ENDOSCOPIC]), SLICE) == ()


def test_a_package_for_one_peer_reads_nobody_elses_studies(tmp_path: Path) -> None:
    assert chosen(registry(tmp_path, peers=["demo"])) == ()


def test_a_rule_for_a_model_that_is_not_here_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="no model cells 2"):
        chosen(registry(tmp_path), version="2.0.0")


def facts(**changes: object) -> PixelFacts:
    values = {
        "sop_class_uid": VL_ENDOSCOPIC,
        "transfer_syntax_uid": "",
        "modality": "ES",
        "photometric_interpretation": "RGB",
        "samples_per_pixel": 3,
        "rows": 8,
        "columns": 8,
        "number_of_frames": 1,
        "bits_allocated": 8,
        "bits_stored": 8,
        "has_pixels": True,
        **changes,
    }
    return PixelFacts(**values)  # type: ignore[arg-type] # one by one they are of many types


def test_pixels_are_accepted_by_their_kind() -> None:
    choosy = card(accepts=Accepts(photometric=("RGB",)))
    assert not_accepted(choosy, facts()) == ""
    reason = not_accepted(choosy, facts(photometric_interpretation="MONOCHROME2"))
    assert reason == "spots does not read pictures whose photometric interpretation is MONOCHROME2"
    assert not_accepted(choosy, facts(has_pixels=False)) == "The object holds no pixels"


def test_a_reason_never_quotes_free_text() -> None:
    choosy = card(accepts=Accepts(modalities=("ES",)))
    assert "Ada" not in not_accepted(choosy, facts(modality="Example^Ada"))
