"""Who is allowed by which entry, and who is not without a person thinking about it."""

from ipaddress import ip_network
from typing import Any

import pytest

from archive.callers import CallerName, RefusedCaller
from dicom_node.ports import RefusalReason
from dicom_node.settings import NodeSettings, PeerSettings
from service.peers import UnallowableCallerError, Wish, entry, what_allows
from tests.support.archives import NOON

NODE = NodeSettings.model_validate(
    {"peers": [{"name": "mr", "ae_title": "MR", "addresses": ["192.0.2.0/28"]}]}
)


def caller(
    calling: str = "CT1",
    address: str = "198.51.100.7",
    reason: RefusalReason = RefusalReason.UNKNOWN_CALLING_AE_TITLE,
    **other: str,
) -> RefusedCaller:
    name = CallerName(address, calling, other.pop("called", "SECOND_READER"), **other)
    return RefusedCaller(name, "", reason.value, "Do this", NOON, NOON, 1, "k3v7q2ab")


def refused(who: RefusedCaller, **wish: Any) -> str:
    with pytest.raises(UnallowableCallerError) as error:
        entry(who, NODE, Wish(**{"name": "ct1", **wish}))
    return str(error.value)


def test_the_entry_lets_exactly_this_caller_in() -> None:
    written = entry(caller(), NODE, Wish("ct1"))
    assert written == {"name": "ct1", "ae_title": "CT1", "addresses": ["198.51.100.7"]}
    assert PeerSettings.model_validate(written).addresses == (ip_network("198.51.100.7/32"),)


def test_what_is_wished_for_is_in_the_entry() -> None:
    network = ip_network("198.51.100.0/29")
    written = entry(caller(), NODE, Wish("ct1", "HOSPITAL-A", ("echo",), network))
    assert written["addresses"] == ["198.51.100.0/29"]
    assert written["issuer_of_patient_id"] == "HOSPITAL-A"
    assert written["allow"] == ["echo"]


def test_another_title_that_it_calls_us_by_is_in_the_entry() -> None:
    who = caller(called="OTHER", reason=RefusalReason.UNKNOWN_CALLED_AE_TITLE)
    assert entry(who, NODE, Wish("ct1"))["called_ae_title"] == "OTHER"


def test_a_certificate_that_it_showed_is_demanded_from_then_on() -> None:
    who = caller(certificate_sha256="ab" * 32)
    assert entry(who, NODE, Wish("ct1"))["certificates"] == ["SHA256:" + "ab" * 32]


@pytest.mark.parametrize("title", ["CT?1", "A,B", "<b>", "", "$(id)", "A  B", "ct1;", "`id`"])
@pytest.mark.parametrize("which", ["calling", "called"])
def test_titles_with_odd_characters_are_shown_and_refused(title: str, which: str) -> None:
    who = caller(title) if which == "calling" else caller(called=title)
    text = refused(who)
    assert title in text
    assert what_allows(who) == "Do this"


@pytest.mark.parametrize("reason", [RefusalReason.NOT_ALLOWED, RefusalReason.NOT_DICOM])
def test_what_no_entry_helps_against_names_what_does(reason: RefusalReason) -> None:
    assert "Do this" in refused(caller(reason=reason))
    assert what_allows(caller(reason=reason)) == "Do this"


def test_who_can_be_allowed_is_told_how() -> None:
    assert what_allows(caller()) == "second-reader peer allow k3v7q2ab --name NAME"


def test_an_address_in_the_range_of_another_peer_is_refused_unless_it_is_said() -> None:
    who = caller(address="192.0.2.3")
    assert "mr (192.0.2.0/28)" in refused(who)
    assert entry(who, NODE, Wish("ct1", shares_address=True))["addresses"] == ["192.0.2.3"]


def test_a_range_that_takes_another_peer_in_is_refused() -> None:
    assert "mr" in refused(caller(address="192.0.2.99"), network=ip_network("192.0.2.0/24"))


def test_a_range_must_hold_the_caller_and_not_everybody() -> None:
    assert "does not hold 198.51.100.7" in refused(caller(), network=ip_network("192.0.3.0/24"))
    assert "does not hold" in refused(caller(), network=ip_network("2001:db8::/32"))
    assert "every address" in refused(caller(), network=ip_network("0.0.0.0/0"))


def test_who_cannot_be_told_from_a_peer_is_refused_whatever_is_said() -> None:
    who = caller("MR", "192.0.2.3")
    assert "told apart from the peer mr" in refused(who, shares_address=True)


def test_a_name_that_is_taken_is_refused_with_what_to_add_if_it_moved() -> None:
    who = caller("MR", "198.51.100.7", RefusalReason.WRONG_ADDRESS)
    text = refused(who, name="mr")
    assert "a peer is called mr already" in text
    assert "add 198.51.100.7 to `addresses`" in text


def test_an_address_of_the_next_generation_is_allowed_alone() -> None:
    who = caller(address="2001:db8::7")
    assert entry(who, NODE, Wish("ct1"))["addresses"] == ["2001:db8::7"]
