from dicom_node.gate import Caller, Gate, readable
from dicom_node.ports import Refusal, RefusalReason
from dicom_node.settings import NodeSettings, PeerSettings

SETTINGS = NodeSettings.model_validate(
    {
        "ae_title": "READER",
        "max_associations": 2,
        "max_unknown_connections": 1,
        "peers": [
            {"name": "ct", "ae_title": "CT", "addresses": ["10.1.0.0/16", "fd00::/64"]},
            {"name": "us", "ae_title": "US", "addresses": ["10.1.2.3"], "called_ae_title": "STAT"},
        ],
    }
)


def admitted(caller: Caller) -> str:
    peer = Gate(SETTINGS).admit(caller)
    assert isinstance(peer, PeerSettings)
    return peer.name


def refusal(caller: Caller) -> Refusal:
    refused = Gate(SETTINGS).admit(caller)
    assert isinstance(refused, Refusal)
    return refused


def test_a_peer_is_known_by_both_titles_and_its_address() -> None:
    assert admitted(Caller("10.1.9.9", "CT", "READER")) == "ct"
    assert admitted(Caller("10.1.2.3", "US", "STAT")) == "us"


def test_an_ipv4_address_in_an_ipv6_socket_is_the_same_address() -> None:
    assert admitted(Caller("::ffff:10.1.9.9", "CT", "READER")) == "ct"


def test_a_scoped_ipv6_address_is_understood() -> None:
    assert admitted(Caller("fd00::7%eth0", "CT", "READER")) == "ct"


def test_an_unknown_called_ae_title_names_the_setting() -> None:
    refused = refusal(Caller("10.1.9.9", "CT", "OTHER"))
    assert refused.reason is RefusalReason.UNKNOWN_CALLED_AE_TITLE
    assert "called_ae_title" in refused.remedy


def test_an_unknown_calling_ae_title_names_the_setting() -> None:
    refused = refusal(Caller("10.1.9.9", "MR", "READER"))
    assert refused.reason is RefusalReason.UNKNOWN_CALLING_AE_TITLE
    assert "dicom_node.peers" in refused.remedy


def test_a_known_title_from_a_foreign_address_names_the_peer() -> None:
    refused = refusal(Caller("10.2.0.1", "CT", "READER"))
    assert refused.reason is RefusalReason.WRONG_ADDRESS
    assert "`addresses` of the peer ct" in refused.remedy


def test_a_peer_that_calls_the_title_of_another_is_not_let_in() -> None:
    assert refusal(Caller("10.1.2.3", "US", "READER")).reason is (
        RefusalReason.UNKNOWN_CALLING_AE_TITLE
    )


def test_one_association_too_many_is_refused_until_one_ends() -> None:
    gate, caller = Gate(SETTINGS), Caller("10.1.9.9", "CT", "READER")
    assert isinstance(gate.admit(caller), PeerSettings)
    assert isinstance(gate.admit(caller), PeerSettings)
    refused = gate.admit(caller)
    assert isinstance(refused, Refusal)
    assert refused.reason is RefusalReason.CAPACITY
    gate.dismiss()
    assert isinstance(gate.admit(caller), PeerSettings)


def test_strangers_cannot_take_the_room_of_peers() -> None:
    gate = Gate(SETTINGS)
    assert gate.enter("192.0.2.1") is None
    assert gate.enter("192.0.2.2") is not None
    assert gate.enter("10.1.9.9") is None
    gate.leave("192.0.2.1")
    assert gate.enter("192.0.2.2") is None


def test_connections_of_peers_are_bounded_too() -> None:
    gate = Gate(SETTINGS)
    results = [gate.enter("10.1.9.9") for _ in range(19)]
    assert [r is None for r in results] == [True] * 18 + [False]


def test_a_title_that_would_forge_a_log_line_is_made_readable() -> None:
    assert readable("EVIL\nroot: ok\x1b[31m much too long") == "EVIL?root: ok?[3"
