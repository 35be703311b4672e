from dicom_node.entrance.gate import Caller, Gate, readable
from dicom_node.ports import Refusal, RefusalReason
from dicom_node.settings import NodeSettings, PeerSettings

SETTINGS = NodeSettings.model_validate(
    {
        "ae_title": "READER",
        "max_associations": 2,
        "max_unknown_connections": 1,
        "max_connections_per_address": 3,
        "peers": [
            {"name": "ct", "ae_title": "CT", "addresses": ["10.1.0.0/16", "fd00::/64"]},
            {
                "name": "us",
                "ae_title": "US",
                "addresses": ["10.1.2.3"],
                "called_ae_title": "STAT",
                "max_associations": 1,
            },
        ],
    }
)


def entered(gate: Gate, address: str = "10.1.9.9") -> int:
    ticket = gate.enter(address)
    assert isinstance(ticket, int)
    return ticket


def ask(caller: Caller, gate: Gate | None = None) -> PeerSettings | Refusal:
    gate = gate or Gate(SETTINGS)
    return gate.admit(entered(gate, caller.address), caller)


def admitted(caller: Caller) -> str:
    peer = ask(caller)
    assert isinstance(peer, PeerSettings)
    return peer.name


def refusal(caller: Caller) -> Refusal:
    refused = ask(caller)
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
    first, second, third = (entered(gate) for _ in range(3))
    assert isinstance(gate.admit(first, caller), PeerSettings)
    assert isinstance(gate.admit(second, caller), PeerSettings)
    refused = gate.admit(third, caller)
    assert isinstance(refused, Refusal)
    assert refused.reason is RefusalReason.CAPACITY
    assert "dicom_node.max_associations" in refused.remedy
    gate.leave(first)
    assert isinstance(gate.admit(third, caller), PeerSettings)


def test_one_association_too_many_of_a_peer_leaves_room_for_others() -> None:
    gate = Gate(SETTINGS)
    busy = Caller("10.1.2.3", "US", "STAT")
    assert isinstance(ask(busy, gate), PeerSettings)
    refused = ask(busy, gate)
    assert isinstance(refused, Refusal)
    assert refused.reason is RefusalReason.CAPACITY
    assert "`max_associations`" in refused.remedy
    assert "peer us" in refused.remedy
    assert isinstance(ask(Caller("10.1.9.9", "CT", "READER"), gate), PeerSettings)


def test_one_connection_too_many_of_an_address_leaves_room_for_others() -> None:
    gate = Gate(SETTINGS)
    tickets = [entered(gate) for _ in range(3)]
    refused = gate.enter("10.1.9.9")
    assert isinstance(refused, Refusal)
    assert "dicom_node.max_connections_per_address" in refused.remedy
    entered(gate, "10.1.2.3")
    gate.leave(tickets[0])
    entered(gate)


def test_strangers_cannot_take_the_room_of_peers() -> None:
    gate = Gate(SETTINGS)
    stranger = entered(gate, "192.0.2.1")
    assert isinstance(gate.enter("192.0.2.2"), Refusal)
    entered(gate)
    gate.leave(stranger)
    entered(gate, "192.0.2.2")


def test_so_many_may_ask_for_an_association_that_some_can_be_told_no() -> None:
    gate = Gate(SETTINGS)
    tickets = [entered(gate, f"10.1.9.{n}") for n in range(19)]
    seats = [gate.seat(ticket) for ticket in tickets]
    assert [refused is None for refused in seats] == [True] * 18 + [False]


def test_who_leaves_twice_is_counted_out_once() -> None:
    gate = Gate(SETTINGS)
    ticket = entered(gate)
    entered(gate)
    gate.leave(ticket)
    gate.leave(ticket)
    assert gate.connections == 1


def test_other_peers_count_for_who_comes_next_and_open_associations_stay() -> None:
    gate = Gate(SETTINGS)
    assert isinstance(ask(Caller("10.1.9.9", "CT", "READER"), gate), PeerSettings)
    gate.replace_peers(SETTINGS.peers[1:])
    assert isinstance(ask(Caller("10.1.9.9", "CT", "READER"), gate), Refusal)
    assert gate.associations == 1
    gate.replace_peers(SETTINGS.peers)
    assert isinstance(ask(Caller("10.1.9.9", "CT", "READER"), gate), PeerSettings)


def test_a_title_that_would_forge_a_log_line_is_made_readable() -> None:
    assert readable("EVIL\nroot: ok\x1b[31m much too long") == "EVIL?root: ok?[3"
