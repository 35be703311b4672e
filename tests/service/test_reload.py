"""A changed config.yaml is taken up as far as it can be; a wrong one changes nothing."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import UnavailableError
from service.reload import Change, Reload, StatPeers
from service.settings import load_settings

CT = {"name": "ct", "ae_title": "CT", "addresses": ["192.0.2.1"]}
MR = {"name": "mr", "ae_title": "MR", "addresses": ["192.0.2.2"]}


@dataclass
class Site:
    """An installation's config.yaml, and who looks at it."""

    config: Path
    changes: list[Change] = field(default_factory=list)
    is_away: bool = False

    def write(self, text: str) -> None:
        self.config.write_text(text)

    def say(self, *peers: dict[str, Any], **sections: Any) -> None:
        self.write(yaml.safe_dump({"dicom_node": {"peers": list(peers)}, **sections}))

    def start(self) -> Reload:
        reload = Reload(load_settings(self.config), self.take_up)
        settle(reload)
        return reload

    def take_up(self, change: Change) -> None:
        if self.is_away:
            raise UnavailableError("the database is away")
        self.changes.append(change)


def settle(reload: Reload) -> None:
    """Look until the file has been seen twice the same."""
    reload.look()
    reload.look()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path / "config.yaml")
    made.say(CT)
    return made


def test_an_unchanged_file_changes_nothing(site: Site) -> None:
    reload = site.start()
    assert (site.changes, reload.standing.fault, reload.standing.waiting) == ([], "", ())


def test_other_peers_are_taken_up_by_name(site: Site) -> None:
    reload = site.start()
    digest = reload.standing.digest
    site.say(CT | {"issuer_of_patient_id": "A"}, MR)
    settle(reload)
    site.say(MR)
    settle(reload)
    first, second = site.changes
    assert str(first) == "added: mr; changed: ct"
    assert str(second) == "removed: ct"
    assert [peer.name for peer in second.node.peers] == ["mr"]
    assert reload.standing.digest != digest


def test_a_file_that_is_just_being_written_is_left_alone(site: Site) -> None:
    reload = site.start()
    site.write("")
    reload.look()
    site.say(CT, MR)
    settle(reload)
    assert [str(change) for change in site.changes] == ["added: mr"]


@pytest.mark.parametrize(
    "text", ["", "dicom_node: [", "dicom_node: {prot: 1}", "x" * 10, "dicom_node: {peers: [{}]}"]
)
def test_a_wrong_file_keeps_the_peers_and_says_so_once(
    site: Site, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    reload = site.start()
    digest = reload.standing.digest
    site.write(text)
    with caplog.at_level(logging.ERROR):
        settle(reload)
        settle(reload)
    assert site.changes == []
    assert reload.standing.fault
    assert reload.standing.digest == digest
    assert len(caplog.records) == 1


def test_a_file_that_is_mended_ends_the_fault(site: Site) -> None:
    reload = site.start()
    site.write("dicom_node: [")
    settle(reload)
    site.say(CT)
    settle(reload)
    assert reload.standing.fault == ""
    assert site.changes == []


def test_bytes_that_are_no_text_are_a_fault(site: Site) -> None:
    reload = site.start()
    site.config.write_bytes(b"api: \xff\n")
    settle(reload)
    assert "UTF-8" in reload.standing.fault


def test_other_sections_wait_for_a_restart_and_the_peers_do_not(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    reload = site.start()
    site.say(CT, MR, api={"port": 1234})
    with caplog.at_level(logging.WARNING):
        settle(reload)
        settle(reload)
    assert [str(change) for change in site.changes] == ["added: mr"]
    assert reload.standing.waiting == ("api",)
    assert [record.getMessage() for record in caplog.records] == [
        "config.yaml: a restart is needed for api"
    ]


def test_our_own_title_stays_the_old_one_until_a_restart(site: Site) -> None:
    reload = site.start()
    site.write(yaml.safe_dump({"dicom_node": {"ae_title": "OTHER", "peers": [CT, MR]}}))
    settle(reload)
    assert site.changes[0].node.ae_title == "SECOND_READER"
    assert reload.standing.waiting == ("dicom_node",)


def test_peers_that_only_fit_after_a_restart_wait_for_it(site: Site) -> None:
    """They can be told apart by our new title, but not by the one in force."""
    reload = site.start()
    other = CT | {"name": "other", "called_ae_title": "SECOND_READER"}
    site.write(yaml.safe_dump({"dicom_node": {"ae_title": "NEW", "peers": [CT, other]}}))
    settle(reload)
    assert "before a restart" in reload.standing.fault
    assert site.changes == []


def test_what_could_not_be_taken_up_is_tried_again(site: Site) -> None:
    reload = site.start()
    site.is_away = True
    site.say(CT, MR)
    reload.look()
    with pytest.raises(UnavailableError):
        reload.look()
    site.is_away = False
    assert reload.look()
    assert [str(change) for change in site.changes] == ["added: mr"]


def test_a_change_between_reading_and_looking_is_not_missed(site: Site) -> None:
    installation = load_settings(site.config)
    site.say(CT, MR)
    reload = Reload(installation, site.take_up)
    settle(reload)
    assert [str(change) for change in site.changes] == ["added: mr"]


def test_a_file_that_is_away_for_a_moment_is_no_fault(site: Site) -> None:
    reload = site.start()
    site.config.rename(site.config.with_name("moved"))
    settle(reload)
    assert reload.standing.fault == ""


def test_whose_studies_come_first_follows_the_file(site: Site) -> None:
    stat = StatPeers(load_settings(site.config))
    assert "ct" not in stat
    site.say(CT | {"priority": "stat"}, MR)
    stat.look()
    stat.look()
    assert "ct" in stat
    assert "mr" not in stat
