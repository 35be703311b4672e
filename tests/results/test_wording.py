from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.findings import Conclusion, Evaluation, Outcome, Reading
from core.model import InstanceKey
from results import wording
from tests.results.readings import ALGORITHM, READINGS, finding, reading

EVALUATIONS = st.lists(
    st.builds(Evaluation, st.just(InstanceKey("i")), st.sampled_from(Outcome), st.integers(0, 999)),
    max_size=9,
)


def test_no_finding_names_labels_and_threshold() -> None:
    said = wording.conclusion(READINGS[Conclusion.NO_FINDING])
    assert "above the score threshold of 0.25 (polyp)" in said


@pytest.mark.parametrize("conclusion", Conclusion)
def test_nothing_is_ever_called_normal(conclusion: Conclusion) -> None:
    one = READINGS[conclusion]
    said = (wording.conclusion(one), wording.headline(one), wording.extent(one))
    assert not any("normal" in text.lower() for text in said)


def test_the_four_conclusions_read_differently() -> None:
    assert len({wording.conclusion(one) for one in READINGS.values()}) == 4
    assert len({wording.headline(one) for one in READINGS.values()}) == 4


def test_the_reason_is_told() -> None:
    said = wording.conclusion(READINGS[Conclusion.COULD_NOT_PROCESS])
    assert "Reason: the pixels cannot be decoded (1)." in said


def test_findings_of_a_partial_reading_say_what_is_missing() -> None:
    failed = Evaluation(InstanceKey("b"), Outcome.COULD_NOT_PROCESS, 0, "cut off")
    whole = reading(finding())
    said = wording.conclusion(replace(whole, evaluations=(*whole.evaluations, failed)))
    assert "1 finding with a score" in said
    assert "1 of 2 selected instances could not be processed" in said


@given(evaluations=EVALUATIONS)
def test_completion_fits_its_attribute(evaluations: list[Evaluation]) -> None:
    """PS3.5 6.2: LO holds 64 characters."""
    one = Reading(ALGORITHM, (), tuple(evaluations))
    assert 0 < len(wording.completion(one)) <= 64


@given(name=st.text(min_size=1, max_size=90), version=st.text(min_size=1, max_size=90))
def test_series_description_keeps_its_disclaimer(name: str, version: str) -> None:
    said = wording.series_description(replace(ALGORITHM, name=name, version=version))
    assert len(said) <= 64
    assert said.endswith(wording.DISCLAIMER)


def test_only_a_reading_of_all_selected_is_complete() -> None:
    complete = {conclusion for conclusion, one in READINGS.items() if wording.is_complete(one)}
    assert complete == {Conclusion.FINDINGS, Conclusion.NO_FINDING}
