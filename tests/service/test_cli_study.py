"""`study`: what a person sees of a study, and what a person may decide."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset

from archive.deliveries import AttemptOutcome
from core.clock import utc_now
from core.model import RevisionKey
from core.states import DeliveryState, HoldReason, RevisionState
from dicom_node.ports import AssociationOrigin, IncomingObject
from service.intake import Intake
from service.keys import Purpose
from tests.support.builders import encoded
from tests.support.commands import Ran, second_reader
from tests.support.house import PEER, House, house, image_with_cells

DESTINATION = {"name": "pacs", "host": "127.0.0.1", "port": 1, "called_ae_title": "PACS"}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, destinations=[DESTINATION]) as opened:
        yield opened


def study(home: House, *words: str) -> Ran:
    return second_reader("study", *words, "--config", home.foundation.installation.config_file)


def processed(home: House) -> tuple[str, RevisionKey]:
    image = image_with_cells((2, 3))
    revision = home.take(image)
    home.process(revision)
    return str(image.StudyInstanceUID), revision


def arrive(home: House, dataset: FileDataset) -> None:
    """Take custody of an instance and leave its revision open."""
    foundation = home.foundation
    intake = Intake(
        archive=foundation.archive,
        trail=foundation.trail,
        clock=utc_now,
        content_key=foundation.keyring.key(Purpose.CONTENT),
        key_version=foundation.keyring.version,
    )
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    incoming = IncomingObject(dataset.SOPClassUID, dataset.SOPInstanceUID, syntax)
    receiver = intake.begin(AssociationOrigin("later", PEER), incoming)
    receiver.write(encoded(dataset))
    receiver.commit()


def move(home: House, revision: RevisionKey, state: RevisionState) -> None:
    archive = home.foundation.archive
    with archive.transaction() as tx:
        archive.revisions.move(tx, revision, state, at=utc_now(), reason="It broke")


def held(home: House) -> tuple[str, RevisionKey]:
    image = image_with_cells((2, 3))
    revision = home.take(image)
    archive = home.foundation.archive
    with archive.transaction() as tx:
        archive.revisions.hold(tx, revision, HoldReason.CONFLICT, at=utc_now(), reason="Two")
    return str(image.StudyInstanceUID), revision


def test_a_study_is_listed_with_its_state(home: House) -> None:
    uid, _ = processed(home)
    (listed,) = study(home, "list", "--json").data
    assert listed["study_instance_uid"] == uid
    assert listed["state"] == "COMPLETED"
    assert listed["patient_id"] == "PID-0001"


def test_only_the_states_that_are_asked_for_are_listed(home: House) -> None:
    processed(home)
    uid, _ = held(home)
    found = study(home, "list", "--state", "held", "--json").data
    assert [one["study_instance_uid"] for one in found] == [uid]


def test_a_study_shows_rule_journey_findings_and_deliveries(home: House) -> None:
    uid, _ = processed(home)
    shown = study(home, "show", uid, "--json").data
    assert shown["completeness"]["rule"] == "a test said so"
    assert shown["completeness"]["is_complete"]
    assert "de-identify" in [entry["step"] for entry in shown["journey"]]
    assert shown["readings"][0]["findings"][0]["bbox"] == [16, 24, 24, 32]
    assert {one["state"] for one in shown["deliveries"]} == {"SCHEDULED"}
    assert {one["kind"] for one in shown["objects"]} == {"SR", "SC"}


def test_a_study_is_found_by_the_key_of_a_log_line(home: House) -> None:
    uid, revision = processed(home)
    shown = study(home, "show", revision.study_key, "--json").data
    assert shown["study_instance_uid"] == uid


def test_a_study_is_shown_to_people(home: House) -> None:
    uid, _ = processed(home)
    ran = study(home, "show", uid)
    assert ran.code == 0
    for words in ("COMPLETED", "a test said so", "journey", "bright", "pacs"):
        assert words in ran.out


def test_an_open_study_says_how_long_it_waits(home: House) -> None:
    uid, _ = processed(home)
    arrive(home, image_with_cells((1, 1), StudyInstanceUID=uid))
    shown = study(home, "show", uid, "--json").data
    assert shown["state"] == "OPEN"
    assert 0 < shown["completeness"]["time_left_s"] <= 180


def test_nothing_is_given_away_of_a_study_that_is_held(home: House) -> None:
    uid, revision = processed(home)
    with home.foundation.archive.transaction() as tx:
        archive = home.foundation.archive
        archive.revisions.reschedule(tx, revision, at=utc_now())
        archive.revisions.hold(tx, revision, HoldReason.CONFLICT, at=utc_now(), reason="Two")
    shown = study(home, "show", uid, "--json").data
    assert shown["state"] == "HELD"
    assert shown["hold_reason"] == "conflict"
    assert shown["readings"] == []


@pytest.mark.parametrize("word", ["show", "retry", "cancel"])
def test_a_study_that_is_not_here_is_a_failure_and_recorded_as_a_look_up(
    home: House, word: str
) -> None:
    ran = study(home, word, "1.2.3")
    assert ran.code == 1
    assert "no study" in ran.err
    config = home.foundation.installation.config_file
    events = second_reader("audit", "search", "--event", "110112", "--json", "--config", config)
    assert [event["outcome"] for event in events.data] == [4]


def test_a_held_study_is_released_by_a_person(home: House) -> None:
    uid, revision = held(home)
    moved = study(home, "retry", uid, "--json").data
    assert moved["state"] == "SCHEDULED"
    assert moved["attempt"] == 2
    config = home.foundation.installation.config_file
    events = second_reader("audit", "search", "--event", "SR-102", "--json", "--config", config)
    assert events.data[-1]["type"] == "Study released"
    assert study(home, "show", uid, "--json").data["journey"][-1]["step"] == "decide"
    home.process(revision)


def test_a_study_that_failed_is_scheduled_again(home: House) -> None:
    image = image_with_cells((2, 3))
    revision = home.take(image)
    move(home, revision, RevisionState.IN_PROGRESS)
    move(home, revision, RevisionState.FAILED)
    uid = str(image.StudyInstanceUID)
    assert study(home, "show", uid, "--json").data["reason"] == "It broke"
    assert study(home, "retry", uid, "--json").data["attempt"] == 2


def test_dead_letters_are_taken_up_again(home: House) -> None:
    uid, revision = processed(home)
    archive, now = home.foundation.archive, utc_now()
    with archive.transaction() as tx:
        for record in archive.deliveries.of_study(tx, revision.study_key):
            archive.deliveries.begin(tx, record.result_key, "pacs", at=now)
            ended = AttemptOutcome(DeliveryState.FAILED, "given up")
            archive.deliveries.settle(tx, record.result_key, "pacs", ended, at=now)
    moved = study(home, "retry", uid, "--json").data
    assert moved["deliveries"] == 2
    assert moved["attempt"] is None
    states = {one["state"] for one in study(home, "show", uid, "--json").data["deliveries"]}
    assert states == {"SCHEDULED"}


def test_a_completed_study_is_processed_again_only_if_told_so(home: House) -> None:
    uid, _ = processed(home)
    ran = study(home, "retry", uid)
    assert ran.code == 1
    assert "--again" in ran.err
    assert study(home, "retry", uid, "--again").code == 0


def test_a_canceled_study_delivers_nothing_more(home: House) -> None:
    uid, _ = processed(home)
    moved = study(home, "cancel", uid, "--json").data
    assert moved["deliveries"] == 2
    states = {one["state"] for one in study(home, "show", uid, "--json").data["deliveries"]}
    assert states == {"CANCELED"}
    assert study(home, "cancel", uid).code == 1


def test_a_study_that_waits_is_canceled(home: House) -> None:
    uid, _ = held(home)
    assert study(home, "cancel", uid, "--json").data["state"] == "CANCELED"
