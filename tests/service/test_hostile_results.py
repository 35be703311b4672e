"""Results that a radiologist must not be misled by: reruns that see more, or less."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from core.clock import utc_now
from core.findings import Conclusion, Evaluation, Outcome, Reading
from core.model import RevisionKey
from core.states import DeliveryState
from inference.requests import ModelOrder, StudyInstance
from service.steps.readings import Reads
from tests.service.test_delivery import Destination, listening
from tests.support.house import House, house, image_with_cells
from tests.support.peers import free_port


@dataclass(frozen=True)
class Blinded:
    """A reader that could process nothing, because its decoder was killed."""

    inner: Reads

    def read_study(
        self, instances: Iterable[StudyInstance], orders: Sequence[ModelOrder]
    ) -> tuple[Reading, ...]:
        return tuple(_nothing_seen(one) for one in self.inner.read_study(instances, orders))


def _nothing_seen(reading: Reading) -> Reading:
    failed = tuple(
        Evaluation(one.instance_key, Outcome.COULD_NOT_PROCESS, reason="the decoder was killed")
        for one in reading.evaluations
    )
    return replace(reading, findings=(), evaluations=failed)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def home(tmp_path: Path, port: int) -> Iterator[House]:
    pacs = {"name": "pacs", "host": "127.0.0.1", "port": port, "called_ae_title": "PACS"}
    with house(tmp_path, destinations=[pacs]) as opened:
        yield opened


def reports(home: House, revision: RevisionKey) -> list[FileDataset]:
    archive = home.foundation.archive
    with archive.snapshot() as tx:
        made = archive.results.objects(tx, revision)
    contents = [archive.read_object(revision.study_key, one.blob_name) for one in made]
    datasets = [dcmread(BytesIO(content)) for content in contents]
    return [dataset for dataset in datasets if dataset.Modality == "SR"]


def again(home: House, revision: RevisionKey) -> None:
    with home.foundation.archive.transaction() as tx:
        home.foundation.archive.revisions.reschedule(tx, revision, at=utc_now())


def test_a_rerun_that_sees_more_takes_the_place_of_one_that_saw_nothing(
    home: House, port: int
) -> None:
    revision = home.take(image_with_cells((1, 1)))
    blind = replace(home, infer=replace(home.infer, reader=Blinded(home.infer.reader)))
    pacs = Destination()
    with listening(pacs, port):
        blind.process(revision)
        home.delivery.attempt(revision, "pacs")
        (before,) = reports(home, revision)
        assert before.CompletionFlag == "PARTIAL"
        again(home, revision)
        home.process(revision)
        home.delivery.attempt(revision, "pacs")
    (after,) = reports(home, revision)
    with home.foundation.archive.snapshot() as tx:
        (reading,) = home.foundation.archive.results.readings(tx, revision)
    assert reading.conclusion is Conclusion.FINDINGS
    assert after.CompletionFlag == "COMPLETE"
    assert after.SOPInstanceUID != before.SOPInstanceUID
    assert str(after.SOPInstanceUID) in pacs.kept


def test_a_rerun_that_sees_the_same_sends_nothing_anew(home: House, port: int) -> None:
    revision = home.take(image_with_cells((1, 1)))
    pacs = Destination()
    with listening(pacs, port):
        for _ in range(2):
            home.process(revision)
            home.delivery.attempt(revision, "pacs")
            again(home, revision)
    assert len(pacs.transmissions) == 2
    with home.foundation.archive.snapshot() as tx:
        found = home.foundation.archive.deliveries.of_study(tx, revision.study_key)
    assert {record.state for record in found} == {DeliveryState.COMPLETED}
