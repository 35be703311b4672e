"""Records: what was written is read back, and nothing else is."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.codes import LESION, MILLIMETRE, POLYP
from core.errors import CorruptionError
from core.findings import (
    Algorithm,
    Box,
    Evaluation,
    Finding,
    FrameReference,
    Measurement,
    Outcome,
    Polygon,
    Reading,
    Region,
)
from core.model import Instance, InstanceKey
from core.records import dump_record, load_record
from tests.support.builders import endoscopic_image

numbers = st.floats(0, 1000, allow_nan=False)
regions: st.SearchStrategy[Region | None] = st.one_of(
    st.none(),
    st.builds(Box, numbers, numbers, numbers, numbers),
    st.builds(Polygon, st.lists(st.tuples(numbers, numbers), max_size=4).map(tuple)),
)
findings = st.builds(
    Finding,
    concept=st.just(POLYP),
    label=st.text(max_size=5),
    score=st.floats(0, 1),
    probability=st.none() | st.floats(0, 1),
    frame=st.builds(FrameReference, st.just(InstanceKey("k")), st.integers(1, 9)),
    region=regions,
    measurements=st.just(()) | st.just((Measurement(LESION, 3.5, MILLIMETRE),)),
)
ALGORITHM = Algorithm("a", "1", "m", "00", (("size", "352"),), 0.25, ("polyp",), POLYP)


@given(st.lists(findings, max_size=3).map(tuple))
def test_a_reading_comes_back_as_it_was(found: tuple[Finding, ...]) -> None:
    evaluations = (Evaluation(InstanceKey("k"), Outcome.EVALUATED, frames=1),)
    reading = Reading(ALGORITHM, found, evaluations)
    assert load_record(Reading, dump_record(reading)) == reading


def test_an_instance_comes_back_as_it_was() -> None:
    instance = Instance.parse(endoscopic_image(), transfer_syntax_uid="1.2.840.10008.1.2.1")
    assert load_record(Instance, dump_record(instance)) == instance


@dataclass(frozen=True)
class Moment:
    at: datetime | None


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=-3, minutes=-30))])
def test_a_moment_keeps_its_microseconds_and_its_zone(zone: timezone) -> None:
    moment = Moment(datetime(2026, 11, 20, 10, 30, 0, 123456, tzinfo=zone))
    back = load_record(Moment, dump_record(moment))
    assert back == moment
    assert back.at is not None
    assert back.at.utcoffset() == zone.utcoffset(None)


def test_a_record_of_another_kind_is_refused() -> None:
    with pytest.raises(CorruptionError):
        load_record(Box, dump_record(FrameReference(InstanceKey("k"), 1)))


@pytest.mark.parametrize("change", ["missing", "added", "wrong"])
def test_a_record_with_other_fields_is_refused(change: str) -> None:
    body = json.loads(dump_record(Box(0, 0, 1, 1)))
    changed = {
        "missing": {key: value for key, value in body.items() if key != "x1"},
        "added": {**body, "extra": 1},
        "wrong": {**body, "x1": "0"},
    }[change]
    with pytest.raises(CorruptionError):
        load_record(Box, json.dumps(changed).encode())


def test_a_refusal_does_not_quote_the_record() -> None:
    with pytest.raises(CorruptionError) as caught:
        load_record(Box, b'{"type": "Box", "x1": "Example^Ada"')
    assert "Ada" not in str(caught.value)
    assert caught.value.__cause__ is None
