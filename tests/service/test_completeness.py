"""When a study is complete."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from archive.archive import Archive
from archive.arrivals import Arrival
from archive.revisions import RevisionRecord
from audit.vocabulary import Decision
from core.model import RemoteAE, RevisionKey
from core.states import HoldReason, RevisionState
from service.completeness import Completeness, OpenAssociations
from service.completeness_settings import CompletenessRule, CompletenessSettings
from tests.service.test_intake import OpenTrail
from tests.support.archives import PEER, at, make_archive, new_instance


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    opened = make_archive(tmp_path)
    yield opened
    opened.close()


def _completeness(archive: Archive, settings: CompletenessSettings | None = None) -> Completeness:
    return Completeness(archive, OpenTrail(), settings or CompletenessSettings())


def _arrive(
    archive: Archive,
    number: int = 1,
    *,
    seconds: float = 0,
    modality: str = "CT",
    peer: RemoteAE = PEER,
    association_id: str = "a1",
) -> RevisionKey:
    changes = {"modality": modality, "series_instance_uid": f"2.25.5.{modality}"}
    new = new_instance(
        archive,
        number,
        seconds=seconds,
        peer=peer,
        association_id=association_id,
        changes=changes,
    )
    with archive.transaction() as tx:
        added = archive.studies.add(tx, new)
        archive.arrivals.count(
            tx,
            Arrival(
                association_id,
                added.revision.study_key,
                modality,
                peer,
                1,
                0,
                at(seconds),
                at(seconds),
            ),
        )
    return added.revision


def _record(archive: Archive, key: RevisionKey) -> RevisionRecord:
    with archive.snapshot() as tx:
        return archive.revisions.get(tx, key)


def test_a_study_is_complete_when_nothing_came_for_long_enough(archive: Archive) -> None:
    completeness = _completeness(archive)
    _arrive(archive, 1, seconds=0)
    key = _arrive(archive, 2, seconds=30)
    assert completeness.close_due(at(89)) == []
    assert completeness.close_due(at(90)) == [key]
    assert completeness.close_due(at(91)) == []
    record = _record(archive, key)
    assert (record.state, record.rule) == (RevisionState.SCHEDULED, "quiet for 60 s (default)")


@pytest.mark.parametrize("modality", ["ES", "US"])
def test_modalities_that_send_while_they_examine_get_longer(
    archive: Archive, modality: str
) -> None:
    key = _arrive(archive, modality=modality)
    completeness = _completeness(archive)
    assert completeness.close_due(at(179)) == []
    assert completeness.close_due(at(180)) == [key]
    assert _record(archive, key).rule == f"quiet for 180 s (modality {modality})"


def test_the_longest_quiet_time_of_what_arrived_decides(archive: Archive) -> None:
    _arrive(archive, 1, modality="CT")
    key = _arrive(archive, 2, modality="US")
    completeness = _completeness(archive)
    assert completeness.close_due(at(100)) == []
    assert completeness.close_due(at(180)) == [key]


def test_the_first_rule_that_fits_decides(archive: Archive) -> None:
    rules = (
        CompletenessRule(name="elsewhere", peer="ct2", quiet_time_s=1),
        CompletenessRule(name="our CT", peer="ct1", modality="CT", quiet_time_s=5),
        CompletenessRule(name="called", called_ae_title="SECOND_READER", quiet_time_s=7),
    )
    completeness = _completeness(archive, CompletenessSettings(rules=rules))
    key = _arrive(archive)
    assert completeness.close_due(at(4)) == []
    assert completeness.close_due(at(5)) == [key]
    assert _record(archive, key).rule == "quiet for 5 s (rule our CT)"


def test_a_rule_that_fits_everything_is_refused() -> None:
    with pytest.raises(ValidationError):
        CompletenessRule(name="all", quiet_time_s=5)


def test_an_open_association_keeps_its_studies_waiting(archive: Archive) -> None:
    completeness, associations = _completeness(archive), OpenAssociations(archive, 30)
    key = _arrive(archive)
    with archive.transaction() as tx:
        associations.opened(tx, "a1", at(50))
    assert completeness.close_due(at(79)) == []
    with archive.transaction() as tx:
        associations.opened(tx, "a1", at(79))
        outlook = completeness.outlook(tx, archive.revisions.get(tx, key), at(79))
        assert (outlook.time_left_s, outlook.waits_for_association) == (0, True)
    assert completeness.close_due(at(108)) == []
    with archive.transaction() as tx:
        associations.closed(tx, "a1")
    assert completeness.close_due(at(108)) == [key]


def test_an_association_whose_process_died_is_not_waited_for(archive: Archive) -> None:
    completeness, associations = _completeness(archive), OpenAssociations(archive, 30)
    key = _arrive(archive)
    with archive.transaction() as tx:
        associations.opened(tx, "a1", at(50))
        assert associations.lost(tx, at(79)) == ()
    assert completeness.close_due(at(80)) == [key]
    with archive.snapshot() as tx:
        assert associations.lost(tx, at(80)) == ("a1",)


def test_an_association_that_brought_nothing_for_long_is_not_waited_for(archive: Archive) -> None:
    completeness, associations = _completeness(archive), OpenAssociations(archive, 10**6)
    key = _arrive(archive)
    with archive.transaction() as tx:
        associations.opened(tx, "a1", at(0))
    assert completeness.close_due(at(600)) == []
    assert completeness.close_due(at(601)) == [key]


def test_other_associations_do_not_matter(archive: Archive) -> None:
    key = _arrive(archive)
    with archive.transaction() as tx:
        OpenAssociations(archive, 30).opened(tx, "a2", at(50))
    assert _completeness(archive).close_due(at(60)) == [key]


def test_the_time_left_is_told_while_a_revision_is_open(archive: Archive) -> None:
    key = _arrive(archive, seconds=10)
    with archive.snapshot() as tx:
        outlook = _completeness(archive).outlook(tx, archive.revisions.get(tx, key), at(30))
    assert (outlook.time_left_s, outlook.is_due) == (40, False)
    assert outlook.rule == "quiet for 60 s (default)"


def test_what_must_be_held_is_closed_and_not_handed_on(archive: Archive) -> None:
    completeness = _completeness(archive)
    key = _arrive(archive)
    with archive.transaction() as tx:
        archive.revisions.hold(tx, key, HoldReason.CONFLICT, at=at(1))
    assert completeness.close_due(at(60)) == []
    assert _record(archive, key).state is RevisionState.HELD


def test_what_comes_later_is_the_next_revision_by_its_own_rule(archive: Archive) -> None:
    completeness = _completeness(archive)
    first = _arrive(archive, 1, modality="US")
    assert completeness.close_due(at(180)) == [first]
    second = _arrive(archive, 2, seconds=200, modality="CT", association_id="a2")
    assert second.number == 2
    assert completeness.close_due(at(260)) == [second]
    assert _record(archive, second).rule == "quiet for 60 s (default)"
    with archive.snapshot() as tx:
        assert [record.key for record in archive.revisions.ready(tx)] == [first]


def test_a_closed_revision_is_audited_and_told(archive: Archive) -> None:
    trail = OpenTrail()
    key = _arrive(archive)
    Completeness(archive, trail, CompletenessSettings()).close_due(at(60))
    rule = "quiet for 60 s (default)"
    assert trail.decisions == [(Decision.COMPLETENESS_CLOSED, str(key), rule)]
    with archive.snapshot() as tx:
        assert archive.outbox.count_pending(tx) == 1
        told = archive.journey.of(tx, key.study_key)
    assert [(one.step, one.outcome, one.reason) for one in told] == [
        ("complete", "scheduled", rule)
    ]


def test_two_workers_close_a_revision_once(archive: Archive, tmp_path: Path) -> None:
    other = make_archive(tmp_path)
    key = _arrive(archive)
    closed = [_completeness(archive).close_due(at(60)), _completeness(other).close_due(at(60))]
    other.close()
    assert closed == [[key], []]
