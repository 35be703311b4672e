"""What REST tells of studies, results and models: the same as the objects that are delivered."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from api.events import AccessEvent, EventKind, EventOutcome, Principal, RequestOrigin
from api.views import StudyQuery, StudyResults
from archive.deliveries import AttemptOutcome
from archive.index import ResultKey
from core.clock import utc_now
from core.errors import InputError, NotFoundError
from core.findings import Box, Conclusion
from core.model import RevisionKey, StudyKey
from core.states import DeliveryState, HoldReason, IllegalMoveError, RevisionState
from inference.client import ReaderClient
from inference.package import Accepts
from inference.registry import Registry
from inference.requests import ModelState, ReaderStatus
from service.access import AccessTrail
from service.directory import Models, Results, Studies
from service.keys import Purpose
from tests.support.detector import bright_cells_package
from tests.support.house import House, house, image_with_cells

PACS = {"name": "pacs", "host": "127.0.0.1", "port": 104, "called_ae_title": "PACS"}
EVENT = AccessEvent(
    EventKind.PROCEDURE_RECORD,
    EventOutcome.SUCCESS,
    RequestOrigin("0011", "", "POST", "/v1/studies/{uid}/retry", "10.0.0.7"),
    Principal("the emr", "abcd1234", frozenset()),
)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    card = {"accepts": Accepts(modalities=("ES",))}
    with house(tmp_path, card=card, destinations=[PACS]) as opened:
        yield opened


def studies(home: House) -> Studies:
    ours = home.foundation
    access = AccessTrail(ours.archive, ours.trail, ours.clock)
    return Studies(ours.archive, home.completeness(), access, ours.clock)


def results(home: House, uid: str) -> StudyResults:
    key = home.foundation.keyring.key(Purpose.RESULT)
    return Results(home.foundation.archive, key).results(uid)


def move(home: House, revision: RevisionKey, *states: RevisionState) -> None:
    archive = home.foundation.archive
    with archive.transaction() as tx:
        for state in states:
            archive.revisions.move(tx, revision, state, at=utc_now(), reason="a test")


def run(home: House, revision: RevisionKey) -> None:
    move(home, revision, RevisionState.IN_PROGRESS)
    home.process(revision)


def execute(home: House, statement: str) -> None:
    with home.foundation.archive.transaction() as tx:
        tx.connection.exec_driver_sql(statement)


# --- results --------------------------------------------------------------------------------------


def report(home: House, revision: RevisionKey) -> Dataset:
    archive = home.foundation.archive
    with archive.snapshot() as tx:
        (made,) = (o for o in archive.results.objects(tx, revision) if o.kind == "SR")
    return dcmread(BytesIO(archive.read_object(revision.study_key, made.blob_name)))


def tracking_uids(item: Dataset) -> list[str]:
    """Return every Tracking Unique Identifier (112040, DCM) of a content tree, in its order."""
    found = []
    for child in item.get("ContentSequence", []):
        name = child.get("ConceptNameCodeSequence")
        if name and name[0].CodeValue == "112040":
            found.append(str(child.UID))
        found += tracking_uids(child)
    return found


def test_findings_are_told_in_the_words_of_the_report(home: House) -> None:
    original = image_with_cells((2, 3), (5, 5))
    revision = home.take(original)
    run(home, revision)
    told = results(home, str(original.StudyInstanceUID))
    assert told.identity.patient.patient_id == original.PatientID
    assert (told.revision, told.newest_revision) == (1, 1)
    assert (told.state, told.hold_reason) == (RevisionState.COMPLETED, None)
    assert (told.number_of_instances, told.completeness_rule) == (1, "a test said so")
    (reading,) = told.readings
    assert (reading.conclusion, reading.number_evaluated) == (Conclusion.FINDINGS, 1)
    assert [one.region for one in reading.findings] == [Box(16, 24, 24, 32), Box(40, 40, 48, 48)]
    assert {one.sop_instance_uid for one in reading.findings} == {original.SOPInstanceUID}
    assert {one.series_instance_uid for one in reading.findings} == {original.SeriesInstanceUID}
    assert [one.tracking_uid for one in reading.findings] == tracking_uids(report(home, revision))
    sr = report(home, revision)
    shown = {(one.kind, one.sop_class_uid, one.sop_instance_uid) for one in told.objects}
    assert ("SR", sr.SOPClassUID, sr.SOPInstanceUID) in shown
    assert {one.kind for one in told.objects} == {"SR", "SC"}


def test_tracking_uids_stay_those_of_the_report_when_the_identity_changes_later(
    home: House,
) -> None:
    original = image_with_cells((2, 3))
    revision = home.take(original)
    run(home, revision)
    execute(home, "UPDATE study SET identity_version = identity_version + 1")
    told = results(home, str(original.StudyInstanceUID))
    uids = [one.tracking_uid for one in told.readings[0].findings]
    assert uids == tracking_uids(report(home, revision))


@pytest.mark.parametrize("ended", [None, RevisionState.FAILED, RevisionState.CANCELED])
def test_readings_that_did_not_pass_the_last_check_are_not_told(
    home: House, ended: RevisionState | None
) -> None:
    original = image_with_cells((2, 3))
    revision = home.take(original)
    move(home, revision, RevisionState.IN_PROGRESS)
    home.release.deidentify(revision)
    home.infer.infer(revision)
    home.encode.encode(revision)
    if ended is not None:
        move(home, revision, ended)
    told = results(home, str(original.StudyInstanceUID))
    assert told.readings == ()
    assert told.objects == ()
    assert told.state is (ended or RevisionState.IN_PROGRESS)


def test_a_late_instance_leaves_the_results_of_the_revision_before(home: House) -> None:
    first = image_with_cells((2, 3))
    shared = {"StudyInstanceUID": first.StudyInstanceUID}
    run(home, home.take(first))
    second = home.take(image_with_cells((4, 4), InstanceNumber=2, **shared))
    told = results(home, str(first.StudyInstanceUID))
    assert (told.revision, told.newest_revision) == (1, 2)
    assert (told.number_of_instances, told.state) == (1, RevisionState.SCHEDULED)
    run(home, second)
    told = results(home, str(first.StudyInstanceUID))
    assert (told.revision, told.newest_revision, told.number_of_instances) == (2, 2, 2)
    uids = [one.tracking_uid for one in told.readings[0].findings]
    assert uids == tracking_uids(report(home, second))


def test_a_study_in_conflict_says_so_while_its_revision_is_open(home: House) -> None:
    first = image_with_cells((2, 3))
    run(home, home.take(first))
    revision = home.take(
        image_with_cells((4, 4), InstanceNumber=2, StudyInstanceUID=first.StudyInstanceUID)
    )
    execute(home, "UPDATE revision SET state = 'OPEN' WHERE number = 2")
    archive = home.foundation.archive
    with archive.transaction() as tx:
        archive.revisions.hold(tx, revision, HoldReason.CONFLICT, at=utc_now())
    told = results(home, str(first.StudyInstanceUID))
    assert (told.state, told.hold_reason) == (RevisionState.OPEN, HoldReason.CONFLICT)


def test_a_finding_is_told_even_if_its_instance_was_superseded_since(home: House) -> None:
    original = image_with_cells((2, 3))
    revision = home.take(original)
    run(home, revision)
    archive = home.foundation.archive
    with archive.transaction() as tx:
        (only,) = archive.catalogue.instances(tx, revision)
        archive.studies.supersede(tx, only.instance_key)
    told = results(home, str(original.StudyInstanceUID))
    assert told.readings[0].findings[0].sop_instance_uid == original.SOPInstanceUID


def test_a_study_that_we_do_not_have_is_not_found(home: House) -> None:
    with pytest.raises(NotFoundError):
        results(home, "2.25.404")
    with pytest.raises(NotFoundError):
        studies(home).study("2.25.404")
    with pytest.raises(NotFoundError):
        studies(home).retry("2.25.404", EVENT)


# --- studies --------------------------------------------------------------------------------------


def test_the_list_goes_from_the_newest_to_the_oldest_and_each_study_is_on_one_page(
    home: House,
) -> None:
    uids = []
    for number in range(5):
        original = image_with_cells((1, 1), PatientID=f"P-{number}")
        home.take(original)
        uids.append(str(original.StudyInstanceUID))
    desk, seen, cursor = studies(home), [], None
    while True:
        page = desk.find(StudyQuery(limit=2, cursor=cursor))
        seen += [one.identity.study_instance_uid for one in page.studies]
        cursor = page.next_cursor
        if cursor is None:
            break
        assert not any(uid.encode() in base64.urlsafe_b64decode(cursor) for uid in uids)
    assert seen == uids[::-1]
    assert desk.find(StudyQuery(limit=5)).next_cursor is None


def test_the_list_is_filtered_by_state_modality_and_time(home: House) -> None:
    run(home, home.take(image_with_cells((1, 1))))
    home.take(image_with_cells((1, 1), Modality="SC"))
    desk, now = studies(home), utc_now()

    def count(query: StudyQuery) -> int:
        return len(desk.find(query).studies)

    assert count(StudyQuery(states=frozenset({RevisionState.COMPLETED}))) == 1
    assert count(StudyQuery(modality="SC")) == 1
    assert count(StudyQuery(received_from=now)) == 0
    assert count(StudyQuery(received_to=now)) == 2


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"[]", b"[1, 2]", b'["2026-01-01", "k"]', b'["2026-01-01T00:00:00+00:00", 1]'],
)
def test_a_cursor_that_is_not_ours_is_refused(home: House, content: bytes) -> None:
    cursor = base64.urlsafe_b64encode(content).decode()
    with pytest.raises(InputError, match="not one of ours"):
        studies(home).find(StudyQuery(cursor=cursor))


def test_a_cursor_names_a_time_and_a_key_of_ours(home: House) -> None:
    for _ in range(2):
        home.take(image_with_cells((1, 1)))
    cursor = studies(home).find(StudyQuery(limit=1)).next_cursor
    assert cursor is not None
    _, key = json.loads(base64.urlsafe_b64decode(cursor))
    assert len(StudyKey(key)) == 26


def test_an_open_study_says_by_which_rule_and_when_it_will_be_complete(home: House) -> None:
    original = image_with_cells((1, 1))
    home.take(original)
    execute(home, "UPDATE revision SET state = 'OPEN'")
    detail = studies(home).study(str(original.StudyInstanceUID))
    assert detail.state is RevisionState.OPEN
    assert not detail.completeness.is_complete
    assert detail.completeness.rule == "quiet for 180 s (modality ES)"
    assert detail.completeness.time_left_s is not None
    assert 170 < detail.completeness.time_left_s <= 180


def test_a_study_that_is_through_tells_its_way_and_its_deliveries(home: House) -> None:
    original = image_with_cells((1, 1))
    revision = home.take(original)
    run(home, revision)
    detail = studies(home).study(str(original.StudyInstanceUID))
    assert detail.completeness.is_complete
    assert detail.completeness.rule == "a test said so"
    assert detail.completeness.decided_at is not None
    assert detail.completeness.time_left_s is None
    assert (detail.modalities, detail.number_of_instances) == (("ES",), 1)
    steps = [entry.event for entry in detail.journey]
    assert steps.index("infer: done") < steps.index("process: done")
    assert {(one.destination, one.kind, one.state) for one in detail.deliveries} == {
        ("pacs", "SR", DeliveryState.SCHEDULED),
        ("pacs", "SC", DeliveryState.SCHEDULED),
    }
    sr = report(home, revision)
    assert sr.SOPInstanceUID in {one.sop_instance_uid for one in detail.deliveries}


# --- retry ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ended", [RevisionState.FAILED, RevisionState.CANCELED, RevisionState.COMPLETED]
)
def test_what_ended_is_scheduled_again_with_the_record_of_who_wanted_it(
    home: House, ended: RevisionState
) -> None:
    original = image_with_cells((1, 1))
    revision = home.take(original)
    move(home, revision, RevisionState.IN_PROGRESS, ended)
    summary = studies(home).retry(str(original.StudyInstanceUID), EVENT)
    assert summary.state is RevisionState.SCHEDULED
    event = home.events()[-1]
    assert event.kind.code.value == "110111"
    assert event.patient_ids() == {original.PatientID}
    facts = {(one.name, one.value) for one in event.details}
    assert {("Before", ended.value), ("Revision", "1")} <= facts
    detail = studies(home).study(str(original.StudyInstanceUID))
    assert detail.journey[-1].event == "decide: scheduled again"


def test_a_held_study_is_released_by_a_retry(home: House) -> None:
    original = image_with_cells((1, 1))
    revision = home.take(original)
    archive = home.foundation.archive
    with archive.transaction() as tx:
        archive.revisions.hold(tx, revision, HoldReason.CONFLICT, at=utc_now())
    summary = studies(home).retry(str(original.StudyInstanceUID), EVENT)
    assert (summary.state, summary.hold_reason) == (RevisionState.SCHEDULED, None)


@pytest.mark.parametrize("state", ["OPEN", "SCHEDULED", "IN PROGRESS"])
def test_what_is_on_its_way_is_not_scheduled_again(home: House, state: str) -> None:
    original = image_with_cells((1, 1))
    home.take(original)
    execute(home, f"UPDATE revision SET state = '{state}'")
    before = len(home.events())
    with pytest.raises(IllegalMoveError):
        studies(home).retry(str(original.StudyInstanceUID), EVENT)
    assert len(home.events()) == before  # the api records the refusal


def test_where_only_deliveries_were_given_up_only_they_are_tried_again(home: House) -> None:
    original = image_with_cells((1, 1))
    revision = home.take(original)
    run(home, revision)
    given_up = AttemptOutcome(DeliveryState.FAILED, "refused")
    with home.foundation.archive.transaction() as tx:
        deliveries = home.foundation.archive.deliveries
        for one in deliveries.of_study(tx, revision.study_key):
            deliveries.begin(tx, ResultKey(one.result_key), "pacs", at=utc_now())
            deliveries.settle(tx, one.result_key, "pacs", given_up, at=utc_now())
    summary = studies(home).retry(str(original.StudyInstanceUID), EVENT)
    assert summary.state is RevisionState.COMPLETED
    detail = studies(home).study(str(original.StudyInstanceUID))
    assert {one.state for one in detail.deliveries} == {DeliveryState.SCHEDULED}


# --- models ---------------------------------------------------------------------------------------


def test_models_are_listed_as_not_ready_while_the_reader_is_away(tmp_path: Path) -> None:
    package = bright_cells_package(tmp_path / "cells", accepts=Accepts(modalities=("ES", "SC")))
    away = ReaderClient(tmp_path / "no.sock")
    (card,) = Models(Registry([tmp_path]), away).models()
    assert (card.name, card.version, card.digest) == ("cells", "1.0.0", package.digest)
    assert (card.task, card.labels, card.threshold) == ("detect", ("bright",), 0.25)
    assert card.accepts == ("modality: ES, SC",)
    assert not card.is_ready
    assert "does not listen" in card.reason


class Answering(ReaderClient):
    """A reader that says what it has without being asked over a socket."""

    def __init__(self, *states: ModelState) -> None:
        super().__init__(Path("nowhere"))
        self._states = states

    def status(self, *, timeout_s: float = 5.0) -> ReaderStatus:
        return ReaderStatus(self._states, 0, 16, 0, 100)


@pytest.mark.parametrize(
    ("changes", "is_ready", "reason"),
    [
        ({}, True, ""),
        ({"is_loaded": False}, False, "it is loaded when it is first asked for"),
        ({"digest": "0" * 64}, False, "restart all roles"),
        ({"name": "other"}, False, "restart all roles"),
    ],
)
def test_a_model_is_ready_if_the_reader_has_loaded_this_very_package(
    tmp_path: Path, changes: dict[str, Any], is_ready: bool, reason: str
) -> None:
    package = bright_cells_package(tmp_path / "cells")
    state = replace(ModelState("cells", "1.0.0", package.digest, is_loaded=True), **changes)
    (card,) = Models(Registry([tmp_path]), Answering(state)).models()
    assert card.is_ready is is_ready
    assert reason in card.reason
