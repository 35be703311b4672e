"""The node on loopback, called by our own user side and by raw PDUs."""

import logging
import socket
import threading
import time
import tracemalloc
from ipaddress import ip_network

import pytest

from core.errors import CapacityError, UnavailableError
from dicom_node.association import echo, open_association
from dicom_node.errors import AssociationRejectedError, ListenError, PeerError
from dicom_node.part10 import OutgoingObject
from dicom_node.ports import Ending, Refusal, RefusalReason
from dicom_node.presentation import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    STORAGE_SOP_CLASSES,
    TRANSFER_SYNTAXES,
    TRANSFER_SYNTAXES_LEFT_OUT,
)
from dicom_node.server import DicomNode
from dicom_node.settings import NodeSettings
from dicom_node.store_scu import send
from dicom_node.wire.inflow import ROOM_BYTES
from tests.dicom_node.fakes import (
    CT,
    EXPLICIT,
    MemorySink,
    RecordingObserver,
    RunningNode,
    outgoing,
    peer,
    running_node,
)
from tests.dicom_node.raw import (
    associate_rq,
    pdu,
    pdv,
    raw_association,
    raw_peer,
    store_rq,
)

USER_REJECTION, NO_ABSTRACT_SYNTAX, NO_TRANSFER_SYNTAX = 1, 3, 4


def refusals(running: RunningNode, count: int = 1) -> list[Refusal]:
    found = running.observer.wait_for("refused", count=count)
    return [refusal for refusal in found if isinstance(refusal, Refusal)]


def test_a_peer_verifies_us() -> None:
    with running_node() as running:
        assert echo(running.destination()) < 5
        assert running.observer.wait_for("closed") == [(Ending.RELEASED, 0, 0)]
        assert [name for name, _ in running.observer.events] == ["opened", "echoed", "closed"]


def test_objects_arrive_byte_for_byte_and_in_order() -> None:
    objects = [outgoing(n, data=bytes([n]) * (n * 60_000 + 1)) for n in range(1, 5)]
    with running_node() as running:
        outcomes = send(objects, running.destination())
        assert [outcome.status for outcome in outcomes] == [0, 0, 0, 0]
        assert [data for _, data in running.sink.committed] == [
            b"".join(one.read()) for one in objects
        ]
        assert running.observer.wait_for("closed") == [(Ending.RELEASED, 4, 0)]


@pytest.mark.parametrize(
    ("calling", "called", "reason"),
    [
        ("NOBODY", "READER", RefusalReason.UNKNOWN_CALLING_AE_TITLE),
        ("SCANNER", "WRITER", RefusalReason.UNKNOWN_CALLED_AE_TITLE),
        ("ELSEWHERE", "READER", RefusalReason.WRONG_ADDRESS),
    ],
)
def test_who_is_no_peer_is_rejected(calling: str, called: str, reason: RefusalReason) -> None:
    elsewhere = peer("far", "ELSEWHERE", addresses=(ip_network("192.0.2.0/24"),))
    with running_node(peer(), elsewhere) as running:
        with pytest.raises(AssociationRejectedError):
            echo(running.destination(calling=calling, called=called))
        assert [refusal.reason for refusal in refusals(running)] == [reason]
        assert running.sink.begun == 0


def test_the_rejection_names_the_title_that_is_not_known() -> None:
    """PS3.8 Table 9-21: source 1, reason 7 called, reason 3 calling."""
    with running_node() as running:
        for titles, reason in [(("X", "SCANNER"), 7), (("READER", "X"), 3)]:
            with raw_peer(running.node.port) as caller:
                called, calling = titles
                caller.send(associate_rq([(1, CT, EXPLICIT)], called=called, calling=calling))
                assert caller.receive() == (0x03, bytes([0, 1, 1, reason]))


def test_one_association_too_many_is_rejected_for_now() -> None:
    """PS3.8 Table 9-21: result 2, source 3, reason 2 (local limit exceeded)."""
    with (
        running_node(max_associations=1) as running,
        raw_association(running.node.port, (1, CT, EXPLICIT)),
        raw_peer(running.node.port) as second,
    ):
        second.send(associate_rq([(1, CT, EXPLICIT)]))
        assert second.receive() == (0x03, bytes([0, 2, 3, 2]))


def test_an_association_that_cannot_be_recorded_is_rejected_for_now() -> None:
    observer = RecordingObserver(error=UnavailableError("the audit log is away"))
    with running_node(observer=observer) as running:
        with pytest.raises(AssociationRejectedError, match="congested"):
            echo(running.destination())
        assert [name for name, _ in observer.events] == ["opened"]


def test_a_right_that_is_missing_is_refused_context_by_context() -> None:
    """PS3.8 Table 9-18."""
    with running_node(peer(allow=["store"])) as running:
        with raw_peer(running.node.port) as caller:
            contexts = [
                (1, "1.2.840.10008.1.1", IMPLICIT_LITTLE),
                (3, CT, EXPLICIT),
                (5, "1.2.840.10008.5.1.4.1.2.2.1", IMPLICIT_LITTLE),
                (7, "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.1.2.4.95"),
            ]
            caller.send(associate_rq(contexts))
            kind, body = caller.receive()
        assert kind == 0x02
        assert results(body) == {
            1: USER_REJECTION,
            3: 0,
            5: NO_ABSTRACT_SYNTAX,
            7: NO_TRANSFER_SYNTAX,
        }
        (refusal,) = refusals(running)
        assert refusal.reason is RefusalReason.NOT_ALLOWED
        assert "Add `echo` to `allow` of the peer scanner" in refusal.remedy


def results(associate_ac: bytes) -> dict[int, int]:
    """Return the result of each presentation context. Source: PS3.8 Table 9-18."""
    found, position = {}, 68
    while position < len(associate_ac):
        length = int.from_bytes(associate_ac[position + 2 : position + 4], "big")
        if associate_ac[position] == 0x21:
            found[associate_ac[position + 4]] = associate_ac[position + 6]
        position += 4 + length
    return found


def test_everything_in_the_conformance_statement_is_accepted_and_nothing_else() -> None:
    """Every SOP class in one encoding; every transfer syntax for one SOP class."""
    pairs = [(uid, EXPLICIT_LITTLE) for uid in STORAGE_SOP_CLASSES]
    pairs += [(CT, uid) for uid in TRANSFER_SYNTAXES]
    refused = [(CT, uid) for uid in TRANSFER_SYNTAXES_LEFT_OUT]
    with running_node() as running:
        for start in range(0, len(pairs), 120):
            some = list(dict.fromkeys(pairs[start : start + 120]))
            with open_association(running.destination(), some + refused[:8]) as association:
                assert all(association.context_id(*pair) for pair in some)
                assert not any(association.context_id(*pair) for pair in refused)


def test_a_full_disk_is_told_and_the_association_goes_on() -> None:
    """PS3.4 Table B.2-1."""
    sink = MemorySink(failures={(2, "commit"): CapacityError("the disk is full")})
    with running_node(sink=sink) as running:
        outcomes = send([outgoing(n) for n in (1, 2, 3)], running.destination())
        assert [outcome.status for outcome in outcomes] == [0, 0xA700, 0]
        assert outcomes[1].is_worth_retrying
        assert running.observer.wait_for("closed") == [(Ending.RELEASED, 2, 1)]
        assert len(running.observer.wait_for("opened")) == 1


def test_a_bug_in_the_sink_is_told_and_the_association_goes_on() -> None:
    sink = MemorySink(failures={(1, "write"): RuntimeError("DOE^JOHN")})
    with running_node(sink=sink) as running:
        outcomes = send([outgoing(1), outgoing(2)], running.destination())
        assert [outcome.status for outcome in outcomes] == [0x0110, 0]


def test_what_is_not_dicom_is_refused_and_the_node_goes_on() -> None:
    with running_node() as running:
        with raw_peer(running.node.port) as caller:
            caller.send(b"GET / HTTP/1.1\r\nHost: reader\r\n\r\n")
            caller.receive()
        assert refusals(running)[0].reason is RefusalReason.NOT_DICOM
        echo(running.destination())


def test_a_connection_that_says_nothing_is_closed_in_time() -> None:
    with (
        running_node(request_timeout_s=0.3) as running,
        raw_peer(running.node.port) as silent,
    ):
        start = time.monotonic()
        assert silent.receive() == (0, b"")
        assert time.monotonic() - start < 5
        assert running.observer.events == []


def test_a_pdu_that_dribbles_is_given_up_in_time() -> None:
    with (
        running_node(pdu_timeout_s=0.5) as running,
        raw_association(running.node.port, (1, CT, EXPLICIT)) as slow,
    ):
        slow.send(b"\x04\x00\x00\x00\x10\x00abc")
        assert running.observer.wait_for("closed", seconds=5) == [(Ending.LOST, 0, 0)]


def test_a_peer_that_falls_silent_is_aborted() -> None:
    with (
        running_node(idle_timeout_s=0.5) as running,
        raw_association(running.node.port, (1, CT, EXPLICIT)) as silent,
    ):
        assert silent.receive()[0] == 0x07
        assert running.observer.wait_for("closed") == [(Ending.ABORTED, 0, 0)]


def test_the_time_that_we_take_is_not_the_silence_of_the_peer() -> None:
    sink = MemorySink(failures={(1, "commit"): lambda: time.sleep(1.5)})
    with running_node(sink=sink, idle_timeout_s=0.5) as running:
        assert [o.status for o in send([outgoing(1)], running.destination())] == [0]


def test_an_open_association_is_reported_as_alive() -> None:
    with (
        running_node(heartbeat_s=0.1) as running,
        raw_association(running.node.port, (1, CT, EXPLICIT)),
    ):
        running.observer.wait_for("alive", count=3)


def test_strangers_are_counted_apart() -> None:
    far = peer(addresses=(ip_network("192.0.2.0/24"),))
    with (
        running_node(far, max_unknown_connections=1) as running,
        raw_peer(running.node.port),
    ):
        with raw_peer(running.node.port) as second:
            assert second.receive() == (0, b"")
        assert refusals(running)[0].reason is RefusalReason.WRONG_ADDRESS


def test_many_associations_at_once() -> None:
    with running_node() as running:
        threads = [
            threading.Thread(
                target=send,
                args=([outgoing(100 * t + n) for n in range(10)], running.destination()),
            )
            for t in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(running.sink.committed) == 60
        ends = running.observer.wait_for("closed", count=6)
        assert ends == [(Ending.RELEASED, 10, 0)] * 6


def test_memory_does_not_grow_with_the_object() -> None:
    piece, count = bytes(256 * 1024), 128
    huge = OutgoingObject(CT, "1.2.3", EXPLICIT, lambda: (piece for _ in range(count)))
    with running_node(sink=MemorySink(keeps=False)) as running:
        tracemalloc.start()
        try:
            assert send([huge], running.destination())[0].status == 0
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert sum(running.sink.fragments) == len(piece) * count == 32 * 1024**2
        assert max(running.sink.fragments) <= ROOM_BYTES
        assert peak < 6 * 1024**2


def test_stopping_finishes_the_object_that_is_arriving() -> None:
    with running_node() as running:
        with raw_association(running.node.port, (1, CT, EXPLICIT)) as caller:
            caller.send(pdu(4, pdv(1, 3, store_rq(CT, "1.2.3")) + pdv(1, 0, b"half ")))
            while not running.sink.begun:
                time.sleep(0.01)
            stopping = threading.Thread(target=running.node.stop)
            stopping.start()
            time.sleep(0.3)
            caller.send(pdu(4, pdv(1, 2, b"whole")))
            assert caller.status() == 0
            assert caller.receive()[0] == 0x07
            stopping.join(5)
            assert not stopping.is_alive()
        assert running.sink.committed[0][1] == b"half whole"
        assert running.observer.wait_for("closed") == [(Ending.ABORTED, 1, 0)]


def test_stopping_does_not_wait_for_ever() -> None:
    with running_node(stop_timeout_s=0.3) as running:
        with raw_association(running.node.port, (1, CT, EXPLICIT)) as caller:
            caller.send(pdu(4, pdv(1, 3, store_rq(CT, "1.2.3")) + pdv(1, 0, b"half")))
            while not running.sink.begun:
                time.sleep(0.01)
            start = time.monotonic()
            running.node.stop()
            assert time.monotonic() - start < 3
        assert running.observer.wait_for("closed") == [(Ending.LOST, 0, 1)]
        assert len(running.sink.discarded) == 1


def test_a_stopped_node_listens_no_more_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    with running_node() as running:
        destination = running.destination()
        echo(destination)
    with pytest.raises(PeerError, match="cannot be reached"):
        echo(destination)
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(threading.enumerate()) <= before


def test_serving_ends_when_somebody_stops_the_node() -> None:
    node = DicomNode(NodeSettings(host="127.0.0.1", port=0), MemorySink(), RecordingObserver())
    serving = threading.Thread(target=node.serve_forever)
    serving.start()
    while node.port == 0:
        time.sleep(0.01)
    node.stop()
    serving.join(5)
    assert not serving.is_alive()


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = NodeSettings(host="127.0.0.1", port=port)
        with pytest.raises(ListenError, match=rf"127.0.0.1:{port} .*dicom_node.port"):
            DicomNode(settings, MemorySink(), RecordingObserver()).start()


def test_no_log_line_holds_what_identifies_a_patient(caplog: pytest.LogCaptureFixture) -> None:
    sink = MemorySink(failures={(1, "commit"): RuntimeError("SECRET^NAME")})
    with caplog.at_level(logging.DEBUG), running_node(sink=sink) as running:
        one = OutgoingObject(CT, "1.2.777.888", EXPLICIT, lambda: [b"SECRET^NAME"])
        send([one, one], running.destination())
        with raw_association(running.node.port, (1, CT, EXPLICIT)) as caller:
            caller.send(pdu(4, pdv(1, 3, b"SECRET^NAME")))
            caller.receive()
        running.observer.wait_for("closed", count=2)
    assert "association" in caplog.text
    assert "SECRET" not in caplog.text
    assert "1.2.777.888" not in caplog.text
