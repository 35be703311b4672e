from pathlib import Path

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


TLS = {"certificate_file": "us.pem", "key_file": "us.key", "ca_file": "ca.pem"}


def test_dicom_over_tls_has_the_registered_port_beside_the_plain_one() -> None:
    """PS3.15 B.12."""
    settings = NodeSettings.model_validate({"tls": TLS})
    assert settings.tls is not None
    assert (settings.port, settings.tls.port) == (11112, 2762)
    assert NodeSettings().tls is None


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"port": None}, "nobody could connect"),
        ({"peers": [peer(certificates=["ANY"])]}, "peer ct1 has certificates, but there is no tls"),
        ({"port": 2762, "tls": TLS}, "the same"),
    ],
)
def test_ports_that_serve_nobody_are_refused(values: dict[str, object], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        NodeSettings.model_validate(values)


def test_tls_may_be_the_only_way_in() -> None:
    assert NodeSettings.model_validate({"port": None, "tls": TLS}).port is None


def test_files_are_found_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    values = TLS | {"crl_file": "/elsewhere/crl.pem"}
    tls = NodeSettings.model_validate({"tls": values}).resolved(tmp_path).tls
    assert tls is not None
    assert (tls.key_file, tls.crl_file) == (tmp_path / "us.key", Path("/elsewhere/crl.pem"))
