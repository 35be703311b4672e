"""`audit`: what an auditor asks, and what nobody can hide."""

import json
import shutil
import sqlite3
import time
import zipfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from audit.export import verify_bundle
from audit.proof import FORMAT
from service.cli.audit_desk import public_key
from service.foundation import opened
from service.settings import load_settings
from tests.support.commands import Ran, second_reader


@dataclass(frozen=True)
class Site:
    """A new installation that keeps its checkpoints outside, too."""

    folder: Path
    outside: Path

    def audit(self, *words: str | Path) -> Ran:
        return second_reader("audit", *words, "--config", self.folder / "config.yaml")

    def events(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.audit("read", "--json").data
        return found

    def lose_log(self) -> None:
        shutil.rmtree(self.folder / "audit")

    def keep_nothing_outside(self) -> None:
        config = self.folder / "config.yaml"
        config.write_text(config.read_text().replace(f"[{self.outside}]", "[]"))

    def sql(self, *statements: str) -> None:
        """Change the database as somebody who may write its file could."""
        with closing(sqlite3.connect(self.folder / "data" / "archive.db")) as database:
            for statement in statements:
                database.execute(statement)
            database.commit()

    @property
    def segment(self) -> Path:
        return next((self.folder / "audit").glob("*.log"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    folder, outside = tmp_path / "site", tmp_path / "outside"
    second_reader("init", folder)
    config = folder / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("checkpoint_files: []", f"checkpoint_files: [{outside}]"))
    site = Site(folder, outside)
    for _ in range(3):
        second_reader("apikey", "add", "x", "--scope", "detect", "--config", config)
    return site


def test_the_table_says_in_words_how_it_ended_and_what_it_was(site: Site) -> None:
    shown = site.audit("read").out
    assert "success: API key" in shown
    assert "User Security Attributes Changed" in shown


def test_the_newest_records_are_shown_oldest_first(site: Site) -> None:
    events = site.events()
    positions = [event["position"] for event in events]
    assert positions[:-1] == sorted(positions[:-1])
    assert positions[-1] is None  # this very look, which waits in the outbox
    few = site.audit("read", "--limit", "2", "--json").data
    assert len(few) == 2
    assert few[-1]["meaning"] == "Audit Log Used"


def test_a_search_finds_by_kind_and_time_and_says_so_in_the_log(site: Site) -> None:
    found = site.audit("search", "--event", "110113", "--from", "2020-01-01", "--json").data
    assert {event["event"] for event in found} == {"110113"}
    assert site.audit("search", "--to", "2020-01-01", "--json").data == []
    searches = [event["details"].get("Search", "") for event in site.events()]
    assert any("event=110113" in text for text in searches)


def test_a_log_that_is_whole_verifies_and_says_up_to_where(site: Site) -> None:
    ran = site.audit("verify", "--json")
    assert ran.code == 0
    assert ran.data["proven_size"] == ran.data["size"]
    assert not ran.data["has_outside_checkpoint"]
    assert "could not be told from this one" in ran.data["summary"]
    assert site.audit("verify", "--checkpoint", site.outside, "--json").data["ok"]


def test_a_flipped_byte_is_found_and_its_position_named(site: Site) -> None:
    size = site.audit("verify", "--json").data["size"] + 1  # this look is recorded, too
    content = bytearray(site.segment.read_bytes())
    content[-5] ^= 1
    site.segment.write_bytes(content)
    ran = site.audit("verify", "--checkpoint", site.outside, "--json")
    assert ran.code == 1
    assert ran.data["first_bad"] == size - 1
    assert ran.data["first_bad_before"] == size


def test_a_log_and_a_database_made_anew_are_found_only_with_a_checkpoint_from_outside(
    site: Site,
) -> None:
    """Somebody who has the keys makes a new log, and tells nobody outside."""
    site.lose_log()
    site.keep_nothing_outside()
    site.sql("DELETE FROM installation WHERE name LIKE 'audit log%'", "DELETE FROM outbox")
    second_reader("apikey", "list", "--config", site.folder / "config.yaml")
    assert site.audit("verify", "--json").data["ok"]
    ran = site.audit("verify", "--checkpoint", site.outside)
    assert ran.code == 1
    assert "DOES NOT HOLD" in ran.out


def test_a_checkpoint_file_of_another_key_is_a_fault_of_its_step(
    site: Site, tmp_path: Path
) -> None:
    second_reader("init", tmp_path / "other")
    strange = tmp_path / "other" / "audit" / "checkpoints"
    ran = site.audit("verify", "--checkpoint", strange)
    assert ran.code == 1
    assert "not signed by the key" in ran.out


def test_an_edited_note_outside_is_a_fault_of_its_step_and_the_others_are_told(
    site: Site,
) -> None:
    notes = site.outside.read_text()
    site.outside.write_text(notes.replace("\ntime 2", "\ntime 1", 1))
    steps = site.audit("verify", "--checkpoint", site.outside, "--json").data["steps"]
    assert [step["number"] for step in steps if step["faults"]] == [4]
    assert "checkpoint 0 of" in steps[3]["faults"][0]
    assert len(steps) == 8


def test_a_log_that_was_removed_whole_is_missed_and_never_begun_silently(site: Site) -> None:
    site.lose_log()
    site.keep_nothing_outside()
    ran = second_reader("apikey", "list", "--config", site.folder / "config.yaml")
    assert "the log is gone" in ran.err
    verified = site.audit("verify", "--json")
    assert verified.code == 1
    told = {step["number"]: step["faults"] for step in verified.data["steps"]}
    assert any("record 1 of the outbox" in fault for fault in told[7])
    assert not list((site.folder / "audit").glob("*.log"))


def test_a_new_log_begins_by_an_operators_decision_which_stands_in_it(site: Site) -> None:
    before = {event["event_id"] for event in site.events()[:-1]}
    config = site.folder / "config.yaml"
    refused = site.audit("begin", "--reason", "no need")
    assert refused.code == 1
    assert "there is a log" in refused.err
    site.lose_log()
    site.keep_nothing_outside()
    second_reader("apikey", "list", "--config", config)
    began = site.audit("begin", "--reason", "the disk was lost")
    assert began.code == 0, began.err
    verified = site.audit("verify", "--json")
    assert verified.data["ok"], verified.out
    events = site.events()
    (decision,) = (e for e in events if "the disk was lost" in (e["outcome_description"] or ""))
    assert (decision["event"], decision["details"]["Command"]) == ("110113", "audit begin")
    assert before <= {event["event_id"] for event in events}  # the database still had them


MAKE_WAIT = (
    "UPDATE outbox SET appended_at = NULL, recorded_at = recorded_at - 100000000"
    " WHERE sequence = (SELECT max(sequence) FROM outbox)"
)


def test_what_waits_because_the_service_was_stopped_is_no_fault(site: Site) -> None:
    site.audit("read")
    site.sql(MAKE_WAIT)
    assert site.audit("verify", "--json").data["ok"]


def test_what_waits_although_somebody_should_append_it_is_a_fault(site: Site) -> None:
    site.audit("read")
    site.sql(
        MAKE_WAIT,
        "INSERT INTO lease VALUES ('audit sequencer', 'a worker', 1, 0, "
        f"{int((time.time() + 20) * 1e6)})",
    )
    steps = site.audit("verify", "--json").data["steps"]
    assert [step["number"] for step in steps if step["faults"]] == [6]


def test_nothing_is_appended_to_a_log_that_does_not_hold_before_it_is_judged(site: Site) -> None:
    site.audit("read")
    site.sql(MAKE_WAIT)
    content = bytearray(site.segment.read_bytes())
    content[200] ^= 1
    site.segment.write_bytes(content)
    steps = site.audit("verify", "--json").data["steps"]
    faulty = [step["number"] for step in steps if step["faults"]]
    assert 6 in faulty
    assert 3 in faulty


def test_a_missing_checkpoint_file_is_named(site: Site, tmp_path: Path) -> None:
    ran = site.audit("verify", "--checkpoint", tmp_path / "none")
    assert ran.code == 1
    assert str(tmp_path / "none") in ran.err


def test_a_record_is_proven_for_somebody_without_our_code(site: Site) -> None:
    event_id = site.events()[0]["event_id"]
    bundle = json.loads(site.audit("prove", event_id).out)
    assert bundle["format"] == FORMAT
    assert bundle["event_id"] == event_id


def test_a_record_that_is_not_there_cannot_be_proven(site: Site) -> None:
    ran = site.audit("prove", "00000000-0000-0000-0000-000000000000")
    assert ran.code == 1
    assert "no record" in ran.err


def test_an_export_is_signed_and_whole(site: Site, tmp_path: Path) -> None:
    out = tmp_path / "out.zip"
    ran = site.audit("export", out)
    assert ran.code == 0, ran.err
    assert not ran.err
    assert out.stat().st_mode & 0o077 == 0
    installation = load_settings(site.folder / "config.yaml")
    with opened(installation, "cli") as foundation, out.open("rb") as bundle:
        report = verify_bundle(bundle, public_key(foundation))
    assert report.proven_size == report.records
    with zipfile.ZipFile(out) as archive:
        assert len(archive.read("events.jsonl").splitlines()) == report.records


def test_an_export_never_writes_over_a_file(site: Site, tmp_path: Path) -> None:
    out = tmp_path / "out.zip"
    out.write_text("mine")
    assert site.audit("export", out).code == 1
    assert out.read_text() == "mine"


def test_people_can_read_it(site: Site) -> None:
    ran = site.audit("read")
    assert "Security Configuration" in ran.out
    assert "The log holds." in site.audit("verify").out
