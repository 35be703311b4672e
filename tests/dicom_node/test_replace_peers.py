"""Other peers while the node runs: new ones at once, and of old ones the end between messages."""

import time

import pytest

from dicom_node.association import Destination, echo
from dicom_node.entrance.gate import Caller, Gate
from dicom_node.errors import AssociationRejectedError
from dicom_node.ports import Ending
from dicom_node.settings import NodeSettings, PeerSettings
from tests.dicom_node.fakes import CT, EXPLICIT, peer, running_node
from tests.dicom_node.raw import pdu, pdv, raw_association, store_rq
from tests.dicom_node.test_spread import associations, spread_node

ABORT = 0x07


def test_a_new_peer_is_let_in_at_once_and_a_removed_one_is_not() -> None:
    with running_node(peer()) as running:
        mr = running.destination(calling="MR")
        with pytest.raises(AssociationRejectedError):
            echo(mr)
        running.node.replace_peers([peer("mr", "MR")])
        echo(mr)
        with pytest.raises(AssociationRejectedError):
            echo(running.destination())


def test_a_removed_peer_is_cut_off_after_the_object_that_is_arriving() -> None:
    with running_node() as running:
        with raw_association(running.node.port, (1, CT, EXPLICIT)) as caller:
            caller.send(pdu(4, pdv(1, 3, store_rq(CT, "1.2.3")) + pdv(1, 0, b"half ")))
            while not running.sink.begun:
                time.sleep(0.01)
            running.node.replace_peers([])
            caller.send(pdu(4, pdv(1, 2, b"whole")))
            assert caller.status() == 0
            assert caller.receive()[0] == ABORT
        assert running.sink.committed[0][1] == b"half whole"
        assert running.observer.wait_for("closed") == [(Ending.ABORTED, 1, 0)]


def test_a_peer_that_stays_one_is_not_disturbed() -> None:
    with (
        running_node(peer(), peer("mr", "MR")) as running,
        raw_association(running.node.port, (1, CT, EXPLICIT)) as caller,
    ):
        running.node.replace_peers([peer(issuer_of_patient_id="A")])
        caller.send(pdu(4, pdv(1, 3, store_rq(CT, "1.2.3")) + pdv(1, 2, b"whole")))
        assert caller.status() == 0


def test_the_gate_names_those_who_are_no_peers_any_more() -> None:
    gate = Gate(NodeSettings(ae_title="READER", peers=(peer(), peer("mr", "MR"))))
    tickets = [gate.enter("127.0.0.1") for _ in range(3)]
    scanner, mr, _ = (ticket for ticket in tickets if isinstance(ticket, int))
    gate.admit(scanner, Caller("127.0.0.1", "SCANNER", "READER"))
    gate.admit(mr, Caller("127.0.0.1", "MR", "READER"))
    assert gate.replace_peers([peer("mr", "MR")]) == {scanner}
    assert gate.replace_peers([]) == {scanner, mr}


@pytest.mark.parametrize(
    ("narrowed", "stays"),
    [
        (peer(addresses=["10.0.0.0/8"]), False),
        (peer(allow=["echo"]), False),
        (peer(called_ae_title="OTHER"), False),
        (peer(certificates=["CN:scanner"]), False),
        (peer(addresses=["127.0.0.0/8", "10.0.0.0/8"], priority="stat"), True),
    ],
)
def test_who_would_not_be_let_in_again_may_not_stay(narrowed: PeerSettings, stays: bool) -> None:
    gate = Gate(NodeSettings(ae_title="READER", peers=(peer(),)))
    ticket = gate.enter("127.0.0.1")
    assert isinstance(ticket, int)
    gate.admit(ticket, Caller("127.0.0.1", "SCANNER", "READER"))
    assert gate.replace_peers([narrowed]) == (frozenset() if stays else {ticket})


def test_receivers_in_processes_of_their_own_go_by_other_peers_too() -> None:
    with spread_node() as running:
        mr = Destination("node", "127.0.0.1", running.node.port, "READER", "MR", timeout_s=10.0)
        with associations(running, 3) as callers:
            running.node.replace_peers([peer("mr", "MR")])
            assert [caller.receive()[0] for caller in callers] == [ABORT] * 3
            echo(mr)
            with pytest.raises(AssociationRejectedError):
                echo(running.destination)
