import pytest
from pydantic import ValidationError

from dicom_node.settings import NodeSettings, PeerSettings, Right


def peer(**values: object) -> dict[str, object]:
    return {"name": "ct1", "ae_title": "CT1", "addresses": ["10.0.0.5"]} | values


def test_a_peer_may_echo_and_store_unless_told_otherwise() -> None:
    assert PeerSettings.model_validate(peer()).allow == {Right.ECHO, Right.STORE}


def test_an_ae_title_loses_its_padding() -> None:
    """PS3.5 6.2: leading and trailing spaces are not significant."""
    assert PeerSettings.model_validate(peer(ae_title=" CT1  ")).ae_title == "CT1"


@pytest.mark.parametrize("title", ["", "   ", "SEVENTEEN-LETTERS", "A\\B", "TAB\tTAB", "ÄE"])
def test_what_is_no_ae_title_is_refused(title: str) -> None:
    with pytest.raises(ValidationError, match="AE title"):
        PeerSettings.model_validate(peer(ae_title=title))


def test_a_peer_without_an_address_is_refused() -> None:
    with pytest.raises(ValidationError, match="addresses"):
        PeerSettings.model_validate(peer(addresses=[]))


def test_two_peers_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(ValidationError, match="cannot be told apart"):
        NodeSettings.model_validate(
            {"peers": [peer(), peer(name="ct2", addresses=["10.0.0.0/24"])]}
        )


def test_peers_that_differ_in_the_called_ae_title_can_be_told_apart() -> None:
    settings = NodeSettings.model_validate(
        {"peers": [peer(), peer(name="ct1-stat", called_ae_title="READER_STAT")]}
    )
    assert [settings.called_ae_title_of(p) for p in settings.peers] == [
        "SECOND_READER",
        "READER_STAT",
    ]


def test_two_peers_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="two peers are called ct1"):
        NodeSettings.model_validate({"peers": [peer(), peer(addresses=["10.0.0.6"])]})
