"""What associations and attempts leave in the audit log, also when they break off."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.events import AuditEvent
from audit.vocabulary import EventKind, Outcome
from core.clock import utc_now
from core.states import DeliveryState
from dicom_node.ports import AssociationOrigin
from service.completeness import OpenAssociations
from service.transfers import NodeWatch, Transfers
from tests.support.house import PEER, House, house, image_with_cells

PACS = {"name": "pacs", "host": "127.0.0.1", "port": 1, "called_ae_title": "PACS"}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, destinations=[PACS]) as opened:
        yield opened


def told(home: House, kind: EventKind) -> list[AuditEvent]:
    return [event for event in home.events() if event.kind is kind]


def counted(home: House) -> list[str]:
    return [
        detail.value
        for event in told(home, EventKind.INSTANCES_TRANSFERRED)
        for detail in event.details
        if detail.name == "NumberOfInstances"
    ]


def test_an_association_that_was_taken_for_lost_and_went_on_is_told_again(home: House) -> None:
    archive = home.foundation.archive
    transfers = Transfers(archive, home.foundation.trail, utc_now)
    gone = OpenAssociations(archive, 60.0)
    home.receive(image_with_cells((1, 1), StudyInstanceUID="2.25.21"))
    assert transfers.report_lost(gone) == 1
    assert transfers.report_lost(gone) == 0
    home.receive(image_with_cells((5, 5), StudyInstanceUID="2.25.21"))
    assert transfers.report_lost(gone) == 1
    assert counted(home) == ["1", "2"]
    with archive.transaction() as tx:
        transfers.report(tx, "association", "released")  # nothing more came
    assert counted(home) == ["1", "2"]


def test_an_attempt_that_broke_off_has_an_end_in_the_log(home: House) -> None:
    revision = home.take(image_with_cells((1, 1)))
    home.process(revision)
    archive = home.foundation.archive
    with archive.transaction() as tx:  # where a worker is killed
        for record in archive.deliveries.due(tx, revision, "pacs"):
            archive.deliveries.begin(tx, record.result_key, "pacs", at=utc_now())
    home.delivery.broke_off(revision, "pacs")
    (end,) = told(home, EventKind.INSTANCES_TRANSFERRED)
    assert end.outcome is Outcome.SERIOUS_FAILURE
    assert end.outcome_description == "the attempt broke off"
    with archive.snapshot() as tx:
        states = {record.state for record in archive.deliveries.due(tx, revision, "pacs")}
    assert states == {DeliveryState.SCHEDULED}
    home.delivery.broke_off(revision, "pacs")  # nothing had begun
    assert len(told(home, EventKind.INSTANCES_TRANSFERRED)) == 1


def test_a_verification_is_recorded_as_one_and_not_as_a_query(home: House) -> None:
    archive, trail = home.foundation.archive, home.foundation.trail
    watch = NodeWatch(
        archive, trail, OpenAssociations(archive, 60.0), Transfers(archive, trail, utc_now), utc_now
    )
    watch.echoed(AssociationOrigin("association", PEER))
    (echo,) = home.events()
    assert echo.kind is EventKind.VERIFICATION
    assert [who.is_requestor for who in echo.participants] == [True, False]
