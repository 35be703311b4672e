"""Our user side against a node of ours, and against peers that misbehave."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from core.errors import CapacityError, SealError, ServiceError
from dicom_node.association import Destination, echo
from dicom_node.errors import NothingAcceptedError, ObjectRefusedError, PeerError
from dicom_node.part10 import OutgoingObject
from dicom_node.presentation import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES_LEFT_OUT
from dicom_node.store_scu import SendOutcome, SendState, send
from tests.dicom_node.fakes import CT, EXPLICIT, MemorySink, outgoing, peer, running_node


@contextmanager
def peer_that(behaves: Callable[[socket.socket], None]) -> Iterator[Destination]:
    """Run a peer that does to each connection what it is told; it answers within 0.5 s or not."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    behaves(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        port = server.getsockname()[1]
        yield Destination("odd", "127.0.0.1", port, "ODD", "READER", timeout_s=0.5)
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def test_progress_tells_of_each_object_as_it_goes() -> None:
    seen: list[SendOutcome] = []
    with running_node() as running:
        outcomes = send(
            [outgoing(n) for n in range(3)], running.destination(), on_progress=seen.append
        )
    assert seen == outcomes
    assert [o.outgoing.sop_instance_uid for o in outcomes] == ["1.2.3.0", "1.2.3.1", "1.2.3.2"]
    assert {o.state for o in outcomes} == {SendState.STORED}


def test_more_contexts_than_fit_take_more_associations() -> None:
    """PS3.8 9.3.2.2: at most 128 presentation contexts."""
    objects = [outgoing(n, sop_class=uid) for n, uid in enumerate(list(STORAGE_SOP_CLASSES)[:150])]
    with running_node() as running:
        outcomes = send(objects, running.destination())
        assert [o.state for o in outcomes] == [SendState.STORED] * 150
        assert len(running.observer.wait_for("closed", count=3)) == 3
        assert [i.sop_instance_uid for i, _ in running.sink.committed] == [
            o.sop_instance_uid for o in objects
        ]


def test_an_encoding_that_the_peer_does_not_take_fails_that_object_only() -> None:
    deflated = OutgoingObject(CT, "1.2.9", next(iter(TRANSFER_SYNTAXES_LEFT_OUT)), lambda: [b"x"])
    with running_node() as running:
        first, second = send([deflated, outgoing()], running.destination())
    assert isinstance(first.error, ObjectRefusedError)
    assert not first.is_worth_retrying
    assert second.state is SendState.STORED


def test_a_peer_that_takes_nothing_of_it_fails_all_for_good() -> None:
    with running_node(peer(allow=["echo"])) as running:
        outcomes = send([outgoing(1), outgoing(2)], running.destination())
    assert [type(outcome.error) for outcome in outcomes] == [ObjectRefusedError] * 2
    assert not any(outcome.is_worth_retrying for outcome in outcomes)


def test_a_peer_that_does_not_offer_verification_is_named() -> None:
    with (
        running_node(peer(allow=["store"])) as running,
        pytest.raises(NothingAcceptedError, match="takes nothing of what we offer"),
    ):
        echo(running.destination())


def test_an_object_that_cannot_be_read_fails_alone() -> None:
    def tampered() -> Iterator[bytes]:
        yield bytes(500_000)
        raise SealError("a chunk was changed")

    def absent() -> Iterator[bytes]:
        raise SealError("gone")
        yield b""

    objects = [
        outgoing(1),
        OutgoingObject(CT, "1.2.9", EXPLICIT, tampered),
        OutgoingObject(CT, "1.2.10", EXPLICIT, absent),
        outgoing(2),
    ]
    with running_node() as running:
        outcomes = send(objects, running.destination())
        assert [o.status for o in outcomes] == [0, None, None, 0]
        assert [type(o.error) for o in outcomes[1:3]] == [SealError, SealError]
        running.observer.wait_for("closed", count=2)
        assert len(running.sink.committed) == 2
        assert len(running.sink.discarded) == 1


def test_the_words_of_a_failure_are_ours_and_those_of_the_peer_are_apart() -> None:
    sink = MemorySink(failures={(1, "commit"): CapacityError("words of the peer")})
    with running_node(sink=sink) as running:
        (outcome,) = send([outgoing()], running.destination())
    assert outcome.text == "the peer is out of resources (status A700)"
    assert outcome.peer_comment == "words of the peer"
    assert outcome.is_worth_retrying


def test_a_peer_that_says_nothing_is_given_up_in_time() -> None:
    released = threading.Event()
    with peer_that(lambda _: (released.wait(5), None)[1]) as silent:
        start = time.monotonic()
        outcomes = send([outgoing(1), outgoing(2)], silent)
        released.set()
        assert time.monotonic() - start < 4
    assert [o.state for o in outcomes] == [SendState.FAILED] * 2
    assert all(o.is_worth_retrying for o in outcomes)
    assert "did not answer" in outcomes[0].text


def test_a_peer_that_hangs_up_is_reported() -> None:
    with peer_that(lambda _: None) as rude:
        (outcome,) = send([outgoing()], rude)
    assert isinstance(outcome.error, PeerError)


def test_a_peer_that_speaks_no_dicom_is_reported() -> None:
    def web(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with peer_that(web) as server:
        (outcome,) = send([outgoing()], server)
        assert isinstance(outcome.error, PeerError)
        with pytest.raises(PeerError):
            echo(server)


def test_a_peer_that_is_not_there_is_reported_with_a_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    gone = Destination("pacs", "127.0.0.1", port, "PACS", "READER")
    (outcome,) = send([outgoing()], gone)
    assert "pacs at 127.0.0.1" in outcome.text
    assert "firewall" in outcome.text


def test_a_host_that_nobody_knows_is_reported() -> None:
    (outcome,) = send([outgoing()], Destination("pacs", "no-such-host.invalid", 104, "P", "R"))
    assert "no address is known for no-such-host.invalid" in outcome.text


def test_an_association_that_breaks_is_replaced_while_there_is_progress() -> None:
    """The third object makes the node abort; the others get through."""
    with running_node(max_object_bytes=2000) as running:
        objects = [outgoing(1), outgoing(2, data=bytes(9000)), outgoing(3), outgoing(4)]
        outcomes = send(objects, running.destination())
        assert [o.state.value for o in outcomes] == ["stored", "failed", "stored", "stored"]
        assert isinstance(outcomes[1].error, ServiceError)
        assert "broke the association off" in outcomes[1].text
        running.observer.wait_for("closed", count=2)


def test_nothing_to_send_opens_no_association() -> None:
    with running_node() as running:
        assert send([], running.destination()) == []
        assert running.observer.events == []
