"""The audit trail of a process."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from audit import triggers
from audit.events import Stamp
from audit.parties import remote_ae
from audit.records import RecordSealer
from core.model import InstanceKey
from service.trail import Trail
from tests.support.archives import NOON, PEER, instance

TRAIL = Trail("dicom", "here", "SECOND", lambda: NOON, RecordSealer(b"a" * 32), b"a" * 32)
KEY = InstanceKey("instance-key")


def test_the_id_of_a_custody_record_is_derived_from_the_row_of_its_instance() -> None:
    wanted = TRAIL.custody_id(KEY, NOON)
    assert TRAIL.custody_id(KEY, NOON.astimezone(tz=None)) == wanted
    others = [
        TRAIL.custody_id(InstanceKey("another"), NOON),
        TRAIL.custody_id(KEY, NOON + timedelta(microseconds=1)),
        replace(TRAIL, key=b"b" * 32).custody_id(KEY, NOON),
    ]
    assert len({wanted, *others}) == 4


@pytest.mark.parametrize(
    "patient_name", ["Example^Ada", 'A"\\^\u00e4', "9999-12-31T23:59:59.999999+00:00"]
)
def test_a_custody_record_is_what_its_constructor_makes(patient_name: str) -> None:
    """Though most of it is written once for a study."""
    for number in (1, 2, 3):
        about = instance(number, patient_name=patient_name)
        record = TRAIL.custody(PEER, about)
        stamp = Stamp(record.event_id, NOON)
        event = triggers.custody_taken(stamp, remote_ae(PEER), TRAIL.ours, about)
        assert TRAIL.sealer.open(record) == event


def test_a_custody_record_has_the_derived_id_or_one_of_its_own() -> None:
    wanted = TRAIL.custody_id(KEY, datetime(2026, 3, 1, tzinfo=UTC))
    derived = TRAIL.custody(PEER, instance(), event_id=wanted)
    assert derived.event_id == wanted
    assert TRAIL.sealer.open(derived).time == NOON
    ids = {TRAIL.custody(PEER, instance()).event_id for _ in range(3)}
    assert len(ids) == 3
    assert wanted not in ids
