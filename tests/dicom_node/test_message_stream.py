"""What arrives on an association, PDU by PDU, sound or not. Source: PS3.7 6.3, PS3.8 9.3."""

import time
from contextlib import suppress

import pytest

from dicom_node.association import echo
from dicom_node.ports import Ending
from tests.dicom_node.fakes import CT, EXPLICIT, running_node
from tests.dicom_node.raw import pdu, pdv, raw_association, store_rq


def test_a_connection_that_breaks_inside_an_object_discards_it() -> None:
    with running_node() as running:
        with raw_association(running.node.port, (1, CT, EXPLICIT)) as caller:
            caller.send(pdu(4, pdv(1, 3, store_rq(CT, "1.2.3"))))
            caller.send(pdu(4, pdv(1, 0, b"half")))
        assert running.observer.wait_for("closed") == [(Ending.LOST, 0, 1)]
        assert len(running.sink.discarded) == 1


def test_an_abort_inside_an_object_keeps_what_was_acknowledged() -> None:
    """Statement S10 of the protocol requirements."""
    with running_node() as running:
        with raw_association(running.node.port, (1, CT, EXPLICIT)) as caller:
            caller.send(pdu(4, pdv(1, 3, store_rq(CT, "1.2.3")) + pdv(1, 2, b"whole")))
            assert caller.status() == 0
            caller.send(pdu(4, pdv(1, 3, store_rq(CT, "1.2.4")) + pdv(1, 0, b"half")))
            caller.send(pdu(7, bytes(4)))
            assert running.observer.wait_for("closed") == [(Ending.ABORTED, 1, 1)]
        assert [data for _, data in running.sink.committed] == [b"whole"]


def test_fragments_of_any_cut_make_the_same_object() -> None:
    command = store_rq(CT, "1.2.3")
    with (
        running_node() as running,
        raw_association(running.node.port, (1, CT, EXPLICIT)) as caller,
    ):
        caller.send(pdu(4, pdv(1, 1, command[:9])))
        caller.send(pdu(4, pdv(1, 3, command[9:]) + pdv(1, 0, b"ab") + pdv(1, 0, b"")))
        caller.send(pdu(4, pdv(1, 0, b"c")) + pdu(4, pdv(1, 2, b"")))
        assert caller.status() == 0
        assert running.sink.committed[0][1] == b"abc"


def test_an_object_of_another_class_than_its_context_is_refused_and_the_next_is_taken() -> None:
    with (
        running_node() as running,
        raw_association(running.node.port, (1, CT, EXPLICIT)) as caller,
    ):
        other = "1.2.840.10008.5.1.4.1.1.4"
        caller.send(pdu(4, pdv(1, 3, store_rq(other, "1.2.3")) + pdv(1, 2, b"abc")))
        assert caller.status() == 0xA900
        caller.send(pdu(4, pdv(1, 3, store_rq(CT, "1.2.3")) + pdv(1, 2, b"abc")))
        assert caller.status() == 0


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(pdu(4, pdv(1, 2, b"abc")), id="data without a command"),
        pytest.param(pdu(4, pdv(9, 3, store_rq(CT, "1.2.3"))), id="unknown context"),
        pytest.param(pdu(4, pdv(1, 3, b"garbage")), id="no command set"),
        pytest.param(pdu(4, b"\xff\xff\xff\xff\x01\x03"), id="value longer than its PDU"),
        pytest.param(pdu(4, b"\x00\x00\x00\x01\x01\x03"), id="value shorter than its header"),
        pytest.param(pdu(4, b"\x00\x00"), id="value cut off"),
        pytest.param(pdu(4, pdv(1, 1, bytes(20_000))), id="command without an end"),
        pytest.param(b"\x04\x00\xff\xff\xff\xff", id="PDU of 4 GiB"),
        pytest.param(b"\x04\x00\x00\x02\x00\x01", id="PDU one byte over the negotiated limit"),
        pytest.param(
            pdu(4, pdv(1, 3, store_rq(CT, "1.2.3"))) + pdu(4, pdv(3, 2, b"abc")),
            id="data in another context than the command",
        ),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="HTTP"),
        pytest.param(
            pdu(4, pdv(1, 3, store_rq(CT, "1.2.3"))) + pdu(4, pdv(1, 3, store_rq(CT, "1.2.4"))),
            id="command inside a data set",
        ),
    ],
)
def test_what_is_not_the_protocol_is_aborted(message: bytes) -> None:
    with running_node() as running:
        with raw_association(running.node.port, (1, CT, EXPLICIT)) as caller:
            caller.send(message)
            assert caller.receive()[0] in {0x07, 0}
        (closed,) = running.observer.wait_for("closed")
        assert closed in [(Ending.ABORTED, 0, 0), (Ending.ABORTED, 0, 1)]
        assert running.sink.committed == []
        echo(running.destination())


@pytest.mark.parametrize("size", [1000, 60_000])
def test_a_pdu_that_comes_byte_by_byte_is_given_up_at_its_deadline(size: int) -> None:
    with (
        running_node(pdu_timeout_s=0.6, min_bytes_per_s=0) as running,
        raw_association(running.node.port, (1, CT, EXPLICIT)) as caller,
    ):
        caller.send(pdu(4, pdv(1, 3, store_rq(CT, "1.2.3"))))
        caller.send(pdu(4, pdv(1, 2, bytes(size)))[:20])
        with suppress(ConnectionError):
            for _ in range(100):
                caller.send(b"\0")
                time.sleep(0.1)
        assert [what for event, what in running.observer.events if event == "closed"] == [
            (Ending.LOST, 0, 1)
        ]
