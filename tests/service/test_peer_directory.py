"""What REST and the command line tell of peers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.foundation import Foundation, opened
from service.keys import create_keys
from service.peer_directory import Peers
from service.settings import load_settings

CONFIG = "dicom_node:\n  peers: [{name: %s, ae_title: CT, addresses: [192.0.2.1]}]\n"


@pytest.fixture
def foundation(tmp_path: Path) -> Iterator[Foundation]:
    create_keys(tmp_path / "keys")
    (tmp_path / "config.yaml").write_text(CONFIG % "ct1")
    with opened(load_settings(tmp_path / "config.yaml"), "api") as made:
        yield made


def names(peers: Peers) -> tuple[list[str], bool]:
    roll = peers.peers()
    return [peer.name for peer in roll.peers], roll.is_current


def test_the_peers_of_the_file_as_it_is_now_are_told(foundation: Foundation) -> None:
    peers = Peers(foundation.archive, foundation.installation)
    assert names(peers) == (["ct1"], True)
    foundation.installation.config_file.write_text(CONFIG % "ct2")
    assert names(peers) == (["ct2"], True)


def test_a_wrong_file_leaves_the_peers_of_before_and_says_so(foundation: Foundation) -> None:
    peers = Peers(foundation.archive, foundation.installation)
    foundation.installation.config_file.write_text(CONFIG % "ct2")
    peers.peers()
    foundation.installation.config_file.write_text("dicom_node: [")
    assert names(peers) == (["ct2"], False)
