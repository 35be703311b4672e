"""The five steps: the right objects under the right identity, and the same again when run twice."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from archive.results import ResultObject
from core.errors import InputError, UnavailableError
from core.findings import Conclusion, Outcome
from core.model import RevisionKey
from core.states import HoldReason, IllegalMoveError, RevisionState
from inference.package import Accepts
from results.errors import BorderError, NotEncodableError
from tests.support.builders import ct_image
from tests.support.house import House, house, image_with_cells


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    card = {"accepts": Accepts(modalities=("ES",))}
    with house(tmp_path, card=card) as opened:
        yield opened


def objects(home: House, revision: RevisionKey) -> list[tuple[ResultObject, bytes]]:
    archive = home.foundation.archive
    with archive.snapshot() as tx:
        made = archive.results.objects(tx, revision)
    return [(one, archive.read_object(revision.study_key, one.blob_name)) for one in made]


def read(home: House, revision: RevisionKey) -> list[FileDataset]:
    return [dcmread(BytesIO(content)) for _, content in objects(home, revision)]


def state(home: House, revision: RevisionKey) -> RevisionState:
    with home.foundation.archive.snapshot() as tx:
        return home.foundation.archive.revisions.get(tx, revision).state


def conclusion(home: House, revision: RevisionKey) -> Conclusion:
    with home.foundation.archive.snapshot() as tx:
        return home.foundation.archive.results.readings(tx, revision)[0].conclusion


def test_a_finding_comes_back_under_the_identity_of_the_original(home: House) -> None:
    original = image_with_cells((2, 3))
    revision = home.take(original)
    home.process(revision)
    results = read(home, revision)
    assert [result.Modality for result in results] == ["OT", "SR"]
    for result in results:
        assert result.PatientID == original.PatientID
        assert result.IssuerOfPatientID == original.IssuerOfPatientID
        assert result.StudyInstanceUID == original.StudyInstanceUID
        assert result.AccessionNumber == original.AccessionNumber
    assert state(home, revision) is RevisionState.COMPLETED


def test_models_see_nothing_of_the_identity(home: House) -> None:
    revision = home.take(image_with_cells((2, 3)))
    home.release.deidentify(revision)
    archive = home.foundation.archive
    with archive.snapshot() as tx:
        (copy,) = archive.results.released(tx, revision)
    assert copy.blob_name is not None
    seen = archive.read_object(revision.study_key, copy.blob_name)
    assert b"Example" not in seen
    assert b"PID-0001" not in seen
    assert b"ACC-0001" not in seen


@pytest.mark.parametrize("step", ["deidentify", "infer", "encode", "check"])
def test_a_step_that_runs_twice_changes_nothing(home: House, step: str) -> None:
    revision = home.take(image_with_cells((2, 3)))
    steps = {
        "deidentify": home.release.deidentify,
        "infer": home.infer.infer,
        "encode": home.encode.encode,
        "check": home.check.check,
    }
    for name, run in steps.items():
        run(revision)
        if name == step:
            run(revision)
    home.conclude.enqueue_deliveries(revision)
    uids = [made.sop_instance_uid for made, _ in objects(home, revision)]
    assert len(uids) == len(set(uids)) == 2


def test_a_whole_rerun_makes_the_same_instances(home: House) -> None:
    revision = home.take(image_with_cells((2, 3)))
    home.process(revision)
    before = [made.sop_instance_uid for made, _ in objects(home, revision)]
    archive = home.foundation.archive
    with archive.transaction() as tx:
        archive.revisions.reschedule(tx, revision, at=home.foundation.clock())
    home.process(revision)
    assert [made.sop_instance_uid for made, _ in objects(home, revision)] == before


def test_no_finding_is_a_result_of_its_own(home: House) -> None:
    revision = home.take(image_with_cells())
    home.process(revision)
    assert conclusion(home, revision) is Conclusion.NO_FINDING
    assert len(objects(home, revision)) == 2


def test_a_study_that_no_model_accepts_is_not_evaluated(home: House) -> None:
    revision = home.take(ct_image())
    home.process(revision)
    assert conclusion(home, revision) is Conclusion.NOT_EVALUATED
    assert "SR" in [made.kind for made, _ in objects(home, revision)]


def test_an_instance_that_cannot_be_decoded_is_never_no_finding(home: House) -> None:
    broken = image_with_cells((1, 1), Rows=640)
    revision = home.take(broken)
    home.process(revision)
    assert conclusion(home, revision) is Conclusion.COULD_NOT_PROCESS


def test_every_instance_is_accounted_for(home: House) -> None:
    first = image_with_cells((1, 1))
    second = ct_image(attributes={"StudyInstanceUID": first.StudyInstanceUID})
    revision = home.take(first, second)
    home.process(revision)
    with home.foundation.archive.snapshot() as tx:
        (reading,) = home.foundation.archive.results.readings(tx, revision)
    outcomes = [evaluation.outcome for evaluation in reading.evaluations]
    assert sorted(outcomes) == [Outcome.EVALUATED, Outcome.NOT_EVALUATED]


def test_a_late_instance_opens_a_revision_with_results_of_its_own(home: House) -> None:
    first = image_with_cells((1, 1))
    one = home.take(first)
    home.process(one)
    late = image_with_cells((2, 2), StudyInstanceUID=first.StudyInstanceUID)
    two = home.take(late)
    home.process(two)
    assert two.number == one.number + 1
    uids = {made.sop_instance_uid for key in (one, two) for made, _ in objects(home, key)}
    assert len(uids) == 5  # one report and one capture; one report and two captures


def test_a_held_revision_does_not_begin(home: House) -> None:
    revision = home.take(image_with_cells((1, 1), PatientID=""))
    with pytest.raises(IllegalMoveError):
        home.release.deidentify(revision)


@pytest.mark.parametrize(
    ("error", "hold"),
    [
        (NotEncodableError("no study date"), HoldReason.NOT_ENCODABLE),
        (BorderError("R1", "patient_id differs"), HoldReason.CHECK_FAILED),
    ],
)
def test_what_a_person_must_look_at_is_held(
    home: House, error: InputError | BorderError, hold: HoldReason
) -> None:
    revision = home.take(image_with_cells((1, 1)))
    home.release.deidentify(revision)
    home.conclude.give_up(revision, error)
    with home.foundation.archive.snapshot() as tx:
        record = home.foundation.archive.revisions.get(tx, revision)
    assert (record.state, record.hold_reason) == (RevisionState.HELD, hold)


def test_any_other_error_fails_the_revision_with_its_reason(home: House) -> None:
    revision = home.take(image_with_cells((1, 1)))
    home.release.deidentify(revision)
    home.conclude.give_up(revision, UnavailableError("the reader is away"))
    with home.foundation.archive.snapshot() as tx:
        record = home.foundation.archive.revisions.get(tx, revision)
    assert (record.state, record.reason) == (RevisionState.FAILED, "the reader is away")


def test_a_conflict_that_arrives_meanwhile_keeps_everything_here(home: House) -> None:
    original = image_with_cells((1, 1))
    revision = home.take(original)
    home.release.deidentify(revision)
    home.infer.infer(revision)
    home.encode.encode(revision)
    home.check.check(revision)
    other = image_with_cells(
        (5, 5),
        StudyInstanceUID=original.StudyInstanceUID,
        SOPInstanceUID=original.SOPInstanceUID,
    )
    home.take(other)
    with pytest.raises(IllegalMoveError):
        home.conclude.enqueue_deliveries(revision)
    assert state(home, revision) is RevisionState.HELD


def test_every_step_leaves_its_audit_record(home: House) -> None:
    revision = home.take(image_with_cells((1, 1)))
    home.process(revision)
    purposes = {
        detail.value
        for event in home.events()
        for detail in event.details
        if detail.name == "Purpose"
    }
    assert purposes == {"de-identify", "infer", "encode"}
