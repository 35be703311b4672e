"""`peer`: who was refused is listed and allowed in one step; the file keeps its layout."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from archive.configurations import ConfigurationInForce
from audit.vocabulary import Alert
from core.clock import utc_now
from core.errors import ConfigurationError
from core.model import RemoteAE
from dicom_node.ports import AssociationOrigin, Refusal, RefusalReason
from service.cli import peer_desk
from service.completeness import OpenAssociations
from service.config_file import digest_of
from service.foundation import Foundation, opened
from service.peers import Wish
from service.presence import LISTENER, Presence
from service.settings import load_settings
from service.transfers import NodeWatch, Transfers
from tests.support.commands import Ran, second_reader

UNKNOWN = RefusalReason.UNKNOWN_CALLING_AE_TITLE


@pytest.fixture
def config(tmp_path: Path) -> Path:
    second_reader("init", tmp_path / "site")
    return tmp_path / "site" / "config.yaml"


@pytest.fixture
def foundation(config: Path) -> Iterator[Foundation]:
    with opened(load_settings(config), "dicom") as made:
        yield made


def watch(foundation: Foundation) -> NodeWatch:
    archive, trail, clock = foundation.archive, foundation.trail, foundation.clock
    return NodeWatch(
        archive, trail, OpenAssociations(archive, 30.0), Transfers(archive, trail, clock), clock
    )


def refuse(
    foundation: Foundation,
    calling: str = "CT1",
    reason: RefusalReason = UNKNOWN,
    address: str = "192.0.2.7",
) -> None:
    watch(foundation).refused(Refusal(reason, address, calling, "SECOND_READER", "Add it"))


def peer(config: Path, *arguments: str) -> Ran:
    return second_reader("peer", *arguments, "--config", config)


def the_id(config: Path) -> str:
    return str(peer(config, "unknown", "--json").data[0]["id"])


def test_who_was_refused_is_listed_newest_first_with_what_lets_it_in(
    config: Path, foundation: Foundation
) -> None:
    refuse(foundation)
    refuse(foundation)
    refuse(foundation, "MR?", address="::ffff:192.0.2.9")
    newest, oldest = peer(config, "unknown", "--json").data
    assert (newest["calling_ae_title"], newest["address"]) == ("MR?", "192.0.2.9")
    assert newest["what_allows"] == "Add it"
    assert (oldest["count"], oldest["reason"]) == (2, UNKNOWN.value)
    assert oldest["what_allows"] == f"second-reader peer allow {oldest['id']} --name NAME"
    table = peer(config, "unknown").out
    assert oldest["what_allows"] in table
    assert "192.0.2.9" in table


def test_what_is_told_again_counts_and_the_certificate_is_shown(
    config: Path, foundation: Foundation
) -> None:
    told = Refusal(
        UNKNOWN,
        "192.0.2.7",
        "CT1",
        "SECOND_READER",
        "Add it",
        certificate_fingerprint="ab" * 32,
        certificate_names="CN:CT1",
    )
    watch(foundation).refused(told)
    watch(foundation).refused(replace(told, times=40, is_repeated=True))
    (caller,) = peer(config, "unknown", "--json").data
    assert caller["count"] == 41
    assert caller["certificate_sha256"] == "ab" * 32
    assert caller["certificate_subject"] == "CN:CT1"
    ran = second_reader("audit", "search", "--event", "110113", "--json", "--config", config)
    assert "(40 times more)" in ran.out


def test_who_is_only_one_too_many_is_not_listed(config: Path, foundation: Foundation) -> None:
    refuse(foundation, reason=RefusalReason.CAPACITY)
    refuse(foundation, address="")
    assert peer(config, "unknown", "--json").data == []


def test_a_caller_is_allowed_in_one_step_and_the_rest_of_the_file_stays(
    config: Path, foundation: Foundation
) -> None:
    before, mode = config.read_text().splitlines(), config.stat().st_mode
    refuse(foundation)
    ran = peer(
        config, "allow", the_id(config), "--name", "ct1", "--issuer", "A", "--allow", "store"
    )
    assert ran.code == 0, ran.err
    (made,) = load_settings(config).settings.dicom_node.peers
    assert (made.name, made.ae_title, str(made.addresses[0])) == ("ct1", "CT1", "192.0.2.7/32")
    assert (made.issuer_of_patient_id, [*made.allow]) == ("A", ["store"])
    after = config.read_text().splitlines()
    assert [line for line in after if line in before] == before
    assert config.stat().st_mode == mode
    assert peer(config, "unknown", "--json").data == []
    assert "from the next start on" in ran.out


def test_who_allowed_whom_and_why_is_in_the_audit_log(config: Path, foundation: Foundation) -> None:
    refuse(foundation)
    peer(config, "allow", the_id(config), "--name", "ct1")
    ran = second_reader("audit", "search", "--event", "110113", "--json", "--config", config)
    (event,) = [e for e in ran.data if e["details"].get("Command") == "peer allow"]
    assert event["type"] == Alert.SOFTWARE_CONFIGURATION.code.meaning
    assert "peer ct1 was allowed: CT1 from 192.0.2.7" in str(event)
    assert UNKNOWN.value in str(event)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--name", "ct 1"], 1, "a name has 1 to 64"),
        (["--name", "ct1", "--allow", "find"], 2, "echo, store"),
        (["--name", "ct1", "--address", "here"], 2, "no address"),
        (["--name", "ct1", "--address", "0.0.0.0/0"], 1, "every address"),
        (["--name", "ct1", "--address", "192.0.2.7/24"], 2, "no address"),
    ],
)
def test_a_wish_that_is_wrong_changes_nothing(
    config: Path, foundation: Foundation, arguments: list[str], code: int, said: str
) -> None:
    before = config.read_bytes()
    refuse(foundation)
    ran = peer(config, "allow", the_id(config), *arguments)
    assert ran.code == code
    assert said in ran.err
    assert config.read_bytes() == before
    assert len(peer(config, "unknown", "--json").data) == 1


def test_a_caller_that_nobody_knows_is_named_with_the_command_that_lists_them(config: Path) -> None:
    ran = peer(config, "allow", "nobody", "--name", "ct1")
    assert ran.code == 1
    assert "peer unknown" in ran.err


def test_a_peer_is_removed_and_who_is_none_is_named(config: Path, foundation: Foundation) -> None:
    before = config.read_text()
    refuse(foundation)
    peer(config, "allow", the_id(config), "--name", "ct1")
    assert peer(config, "remove", "ct1").code == 0
    assert load_settings(config).settings.dicom_node.peers == ()
    assert [line for line in before.splitlines() if line not in config.read_text()] == []
    again = peer(config, "remove", "ct1")
    assert again.code == 1
    assert "peer list" in again.err


def test_who_is_forgotten_is_off_the_list(config: Path, foundation: Foundation) -> None:
    refuse(foundation)
    assert peer(config, "forget", the_id(config)).code == 0
    assert peer(config, "unknown", "--json").data == []


def test_peers_are_listed_with_what_they_may_and_when_they_were_here(
    config: Path, foundation: Foundation
) -> None:
    refuse(foundation)
    peer(config, "allow", the_id(config), "--name", "ct1", "--allow", "echo")
    assert peer(config, "list", "--json").data[0]["last_seen_at"] is None
    assert "never" in peer(config, "list").out
    origin = AssociationOrigin("a1", RemoteAE("ct1", "CT1", "SECOND_READER", "192.0.2.7"))
    watch(foundation).opened(origin)
    (shown,) = peer(config, "list", "--json").data
    assert shown["allow"] == ["echo"]
    assert shown["called_ae_title"] == "SECOND_READER"
    assert shown["last_seen_at"] is not None
    assert shown["last_seen_address"] == "192.0.2.7"


def test_a_file_that_is_wrong_is_not_touched(config: Path, foundation: Foundation) -> None:
    refuse(foundation)
    caller = the_id(config)
    config.write_text("dicom_node: {prot: 1}\n")
    assert "prot" in peer(config, "allow", caller, "--name", "ct1").err
    assert config.read_text() == "dicom_node: {prot: 1}\n"


def test_a_listener_that_says_so_has_taken_it_up(foundation: Foundation) -> None:
    Presence(foundation.archive, LISTENER, "here:104", foundation.clock).renew()
    digest, waits = digest_of(b"new"), []

    def takes_up(seconds: float) -> None:
        waits.append(seconds)
        one = ConfigurationInForce("here:104", digest, "", "", utc_now())
        with foundation.archive.transaction() as tx:
            foundation.archive.configurations.put(tx, one)

    assert "has taken it up" in peer_desk.told(foundation, digest, takes_up)
    assert len(waits) == 1
    never = peer_desk.told(foundation, digest_of(b"newer"), lambda _: None)
    assert "here:104 has not taken it up" in never
    assert "doctor" in never


def test_two_at_once_do_not_lose_an_entry(config: Path, foundation: Foundation) -> None:
    for number in range(4):
        refuse(foundation, f"CT{number}", address=f"192.0.2.{number}")
    ids = {one["calling_ae_title"]: one["id"] for one in peer(config, "unknown", "--json").data}
    done: dict[str, bool] = {}

    def allow(title: str) -> None:
        wish = Wish(title.lower())
        try:
            peer_desk.allow(config, ids[title], wish)
        except ConfigurationError:
            done[title] = False
        else:
            done[title] = True

    threads = [threading.Thread(target=allow, args=(title,)) for title in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = {one.name for one in load_settings(config).settings.dicom_node.peers}
    assert names == {title.lower() for title, is_done in done.items() if is_done}
    assert names
