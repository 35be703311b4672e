"""The journey of a study."""

from archive.archive import Archive
from archive.journey import JourneyEntry
from tests.support.archives import at, stored


def test_a_journey_is_told_in_order_and_nothing_twice_in_a_row(archive: Archive) -> None:
    key = stored(archive)
    steps = [("received", "begun"), ("infer", "failed"), ("infer", "failed"), ("infer", "done")]
    with archive.transaction() as tx:
        for second, (step, outcome) in enumerate(steps):
            archive.journey.note(tx, key, JourneyEntry(at(second), key.number, step, outcome, ""))
        told = archive.journey.of(tx, key.study_key)
    assert [(entry.step, entry.outcome) for entry in told] == [
        ("received", "begun"),
        ("infer", "failed"),
        ("infer", "done"),
    ]
    assert told[1].at == at(1)
