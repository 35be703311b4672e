"""`/v1/studies`."""

from datetime import UTC, datetime

import pytest

from api.events import EventKind, EventOutcome
from api.views import StudyPage, StudyQuery
from core.states import HoldReason, RevisionState
from tests.api.fakes import FRESH_UID, HELD_UID, STUDY_UID, House, detail


def test_a_list_goes_on_where_the_page_before_ended() -> None:
    house = House()
    seen, cursor = [], None
    for _ in range(3):
        page = house.call(
            "GET", "/v1/studies", params={"limit": 1} | ({"cursor": cursor} if cursor else {})
        ).json()
        seen += [study["study_instance_uid"] for study in page["studies"]]
        cursor = page["next_cursor"]
    assert seen == [STUDY_UID, HELD_UID, FRESH_UID]
    assert cursor is None


def test_a_list_is_filtered_by_state() -> None:
    answer = House().call("GET", "/v1/studies", params={"state": ["HELD", "OPEN"]})
    assert [study["state"] for study in answer.json()["studies"]] == ["HELD", "OPEN"]


def test_all_filters_reach_the_directory() -> None:
    house = House()
    asked: list[StudyQuery] = []

    def find(query: StudyQuery) -> StudyPage:
        asked.append(query)
        return StudyPage((), None)

    house.studies.find = find  # type: ignore[method-assign]
    params = {
        "state": "HELD",
        "modality": "ES",
        "received_from": "2026-11-01T00:00:00Z",
        "received_to": "2026-11-02T00:00:00+01:00",
        "limit": "7",
        "cursor": "abc",
    }
    assert house.call("GET", "/v1/studies", params=params).status_code == 200
    assert asked == [
        StudyQuery(
            frozenset({RevisionState.HELD}),
            "ES",
            datetime(2026, 11, 1, tzinfo=UTC),
            datetime.fromisoformat("2026-11-02T00:00:00+01:00"),
            7,
            "abc",
        )
    ]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "state=NORMAL",
        "modality=es",
        "received_from=2026-11-01T00:00:00",  # which zone?
        "received_from=yesterday",
        "cursor=..%2F",
        "patient_id=P-7",  # identity does not belong into an address
        "state=" + "&state=".join(["OPEN"] * 8),
    ],
)
def test_a_wrong_filter_is_refused(query: str) -> None:
    house = House()
    assert house.call("GET", f"/v1/studies?{query}").status_code == 422
    assert house.sink.events == []


def test_an_unknown_filter_is_named_as_such() -> None:
    answer = House().call("GET", "/v1/studies?patient_id=P-7")
    assert answer.json()["detail"] == "parameter patient_id: not known here"


def test_a_search_is_recorded_with_what_was_asked_and_whose_studies_went_out() -> None:
    house = House()
    house.call("GET", "/v1/studies?state=HELD&limit=5", headers={"X-Request-Id": b"emr 1\xe9"})
    (event,) = house.sink.events
    assert event.kind is EventKind.QUERY
    assert event.query == "state=HELD&limit=5"
    assert [study.study_instance_uid for study in event.studies] == [HELD_UID]
    assert event.origin.client_request_id == "emr1"


def test_a_study_says_by_which_rule_it_is_complete_and_how_long_until_then() -> None:
    house = House()
    done = house.call("GET", f"/v1/studies/{STUDY_UID}").json()
    assert done["state"] == "COMPLETED"
    assert done["completeness"]["rule"] == "quiet for 180 s (ES)"
    assert done["completeness"]["time_left_s"] is None
    assert done["deliveries"][0]["destination"] == "pacs"
    assert done["journey"][0]["event"] == "received"
    fresh = house.call("GET", f"/v1/studies/{FRESH_UID}").json()
    assert fresh["completeness"]["time_left_s"] == 12.5
    held = house.call("GET", f"/v1/studies/{HELD_UID}").json()
    assert held["hold_reason"] == "conflict"


def test_a_study_is_shown_under_ids_and_never_by_name() -> None:
    answer = House().call("GET", f"/v1/studies/{STUDY_UID}")
    assert answer.json()["patient_id"] == "P-7"
    assert answer.json()["issuer_of_patient_id"] == "HOSPITAL"
    assert "Ada" not in answer.text
    assert "1970" not in answer.text


def test_a_look_at_a_study_is_recorded_with_whose_it_is() -> None:
    house = House()
    house.call("GET", f"/v1/studies/{STUDY_UID}")
    house.call("GET", "/v1/studies/2.25.404")
    found, missed = house.sink.events
    assert found.studies[0].patient.patient_name == "Example^Ada"
    assert found.origin.route == "/v1/studies/{uid}"
    assert missed.outcome is EventOutcome.MINOR_FAILURE
    assert missed.kind is EventKind.QUERY  # 110103 would have to name a study
    assert missed.query == "study_instance_uid=2.25.404"


def test_an_unknown_study_is_a_problem_that_does_not_repeat_its_uid() -> None:
    answer = House().call("GET", "/v1/studies/2.25.404")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:problem-type:second-reader:unknown-study"
    assert "2.25.404" not in answer.text


def test_results_say_how_much_was_seen_and_refer_to_the_originals() -> None:
    answer = House().call("GET", f"/v1/studies/{STUDY_UID}/results").json()
    (reading,) = answer["readings"]
    assert reading["statement"] == "Findings above 0.25; 2 of 3 instances evaluated."
    assert (reading["number_evaluated"], reading["number_failed"]) == (2, 1)
    assert reading["findings"][0]["sop_instance_uid"] == "2.25.22"
    assert reading["findings"][0]["bbox"] == [104.0, 88.5, 190.25, 171.0]
    assert answer["completeness_rule"] == "quiet for 180 s (ES)"
    assert answer["accession_number"] == "A-1001"
    assert answer["objects"][0]["kind"] == "SR"


def test_a_held_study_gives_nothing_away() -> None:
    answer = House().call("GET", f"/v1/studies/{HELD_UID}/results")
    assert answer.status_code == 409
    assert answer.json()["detail"] == "the study is held: conflict"
    assert "readings" not in answer.json()


def test_a_study_that_will_be_held_gives_nothing_away_either() -> None:
    house = House()
    house.studies.studies[FRESH_UID] = detail(FRESH_UID, RevisionState.OPEN, HoldReason.CONFLICT)
    assert house.call("GET", f"/v1/studies/{FRESH_UID}/results").status_code == 409


def test_a_study_without_result_is_not_an_empty_result() -> None:
    answer = House().call("GET", f"/v1/studies/{FRESH_UID}/results")
    assert answer.status_code == 404
    assert answer.json()["type"].endswith(":no-result-yet")


def test_retry_schedules_once_and_commits_its_own_record() -> None:
    house = House()
    answer = house.call("POST", f"/v1/studies/{HELD_UID}/retry")
    assert answer.status_code == 202
    assert answer.json()["state"] == "SCHEDULED"
    (event,) = house.sink.events
    assert event.kind is EventKind.PROCEDURE_RECORD
    assert event.studies[0].study_instance_uid == HELD_UID
    again = house.call("POST", f"/v1/studies/{HELD_UID}/retry")
    assert again.status_code == 409
    assert house.sink.events[-1].outcome is EventOutcome.MINOR_FAILURE
