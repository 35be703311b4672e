"""What one association may take, at its limits and one beyond."""

import gc
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from dicom_node import acceptor
from dicom_node.pace import Pace
from dicom_node.part10 import OutgoingObject
from dicom_node.ports import Ending
from dicom_node.store_scu import send
from tests.dicom_node.fakes import (
    CT,
    EXPLICIT,
    MemorySink,
    RunningNode,
    outgoing,
    running_node,
)
from tests.dicom_node.raw import RawPeer, pdu, pdv, raw_association, store_rq

LIMIT = 100_000


@pytest.fixture
def quick_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the pace more often than a real peer needs."""
    monkeypatch.setattr(acceptor, "_LOOK_S", 0.05)
    monkeypatch.setattr(acceptor, "Pace", lambda rate: Pace(rate, window_s=0.5))


def test_an_object_as_long_as_allowed_is_stored() -> None:
    with running_node(max_object_bytes=LIMIT) as running:
        outcomes = send([outgoing(1, data=bytes(LIMIT))], running.destination())
        assert [outcome.status for outcome in outcomes] == [0]


@pytest.mark.parametrize("size", [LIMIT + 1, 4 * LIMIT])
def test_an_object_that_is_too_long_is_refused_and_the_next_is_taken(size: int) -> None:
    """PS3.4 Table B.2-1: out of resources."""
    with running_node(max_object_bytes=LIMIT) as running:
        objects = [outgoing(1, data=bytes(size)), outgoing(2)]
        outcomes = send(objects, running.destination())
        assert [outcome.status for outcome in outcomes] == [0xA700, 0]
        assert [one.sop_instance_uid for one in running.sink.discarded] == ["1.2.3.1"]
        assert running.observer.wait_for("closed") == [(Ending.RELEASED, 1, 1)]


def test_an_object_that_does_not_end_is_not_read_to_its_end() -> None:
    with running_node(max_object_bytes=LIMIT) as running:
        with raw_association(running.node.port, (1, CT, EXPLICIT)) as endless:
            endless.send(pdu(4, pdv(1, 3, store_rq(CT, "1.2.3"))))
            for _ in range(5):
                endless.send(pdu(4, pdv(1, 0, bytes(LIMIT - 100))))
            assert endless.receive()[0] in {0, 0x07}
        running.observer.wait_for("closed")
        assert running.sink.committed == []


@pytest.mark.parametrize(("excess", "kind"), [(0, 0x04), (1, 0x07)])
def test_a_pdu_may_be_as_long_as_we_said(excess: int, kind: int) -> None:
    """PS3.8 D.1: the maximum length counts the data values, without the header of the PDU."""
    with (
        running_node(max_pdu_bytes=16384) as running,
        raw_association(running.node.port, (1, CT, EXPLICIT)) as caller,
    ):
        caller.send(pdu(4, pdv(1, 3, store_rq(CT, "1.2.3"))))
        caller.send(pdu(4, pdv(1, 2, bytes(16384 - 6 + excess))))
        assert caller.receive()[0] == kind


def test_an_old_association_ends_after_the_object_that_is_arriving() -> None:
    with (
        running_node(association_timeout_s=0.3) as running,
        raw_association(running.node.port, (1, CT, EXPLICIT)) as old,
    ):
        _begin(old)
        time.sleep(1.0)
        old.send(pdu(4, pdv(1, 2, b"end")))
        assert old.status() == 0
        assert old.receive()[0] == 0x07
        assert running.observer.wait_for("closed") == [(Ending.ABORTED, 1, 0)]


@pytest.mark.parametrize("uid", ["1." * 100, "1.2.3.04.x", ""])
def test_a_name_that_is_no_uid_is_refused_and_the_next_object_is_taken(uid: str) -> None:
    with (
        running_node() as running,
        raw_association(running.node.port, (1, CT, EXPLICIT)) as caller,
    ):
        caller.send(pdu(4, pdv(1, 3, store_rq(CT, uid))) + pdu(4, pdv(1, 2, b"data")))
        assert caller.status() >= 0xA000
        caller.send(pdu(4, pdv(1, 3, store_rq(CT, "1.2.3"))) + pdu(4, pdv(1, 2, b"data")))
        assert caller.status() == 0
        assert running.sink.begun == 1


def _begin(caller: RawPeer) -> None:
    caller.send(pdu(4, pdv(1, 3, store_rq(CT, "1.2.3")) + pdv(1, 0, b"beginning")))


@pytest.mark.usefixtures("quick_look")
def test_a_peer_that_dribbles_an_object_is_given_up_however_well_it_cuts_it() -> None:
    with (
        running_node(min_bytes_per_s=10_000) as running,
        raw_association(running.node.port, (1, CT, EXPLICIT)) as slow,
    ):
        _begin(slow)
        with pytest.raises(OSError, match=r"reset|pipe"):
            _dribble(slow)
        assert running.observer.wait_for("closed") == [(Ending.LOST, 0, 1)]
        assert len(running.sink.discarded) == 1


def _dribble(slow: RawPeer) -> None:
    for _ in range(600):
        slow.send(pdu(4, pdv(1, 0, b"whole PDU")))
        time.sleep(0.05)


@pytest.mark.usefixtures("quick_look")
def test_what_we_take_ourselves_is_not_the_pace_of_the_peer() -> None:
    sink = MemorySink(failures={(1, "commit"): lambda: time.sleep(2.0)})
    with running_node(sink=sink, min_bytes_per_s=10_000) as running:
        assert [one.status for one in send([outgoing(1)], running.destination())] == [0]


@pytest.mark.usefixtures("quick_look")
def test_a_peer_may_be_idle_between_two_objects() -> None:
    with (
        running_node(min_bytes_per_s=10_000) as running,
        raw_association(running.node.port, (1, CT, EXPLICIT)) as caller,
    ):
        for _ in range(2):
            time.sleep(1.0)
            _begin(caller)
            caller.send(pdu(4, pdv(1, 2, b"end")))
            assert caller.status() == 0


@pytest.mark.usefixtures("quick_look")
def test_a_peer_that_is_just_fast_enough_is_heard_to_the_end() -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            time.sleep(0.1)
            yield bytes(4_000)

    one = OutgoingObject(CT, "1.2.3", EXPLICIT, pieces)
    with running_node(min_bytes_per_s=1_000) as running:
        assert [outcome.status for outcome in send([one], running.destination())] == [0]


def test_an_association_that_has_ended_holds_little_until_the_collector_comes() -> None:
    """Its threads and queues refer to each other; its buffer of a megabyte must not wait, too."""
    count = 20
    with running_node() as running:
        _come_and_go(running, 1)
        gc.disable()
        tracemalloc.start()
        try:
            _come_and_go(running, count)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
    assert held / count < 200_000


def _come_and_go(running: RunningNode, count: int) -> None:
    for _ in range(count):
        with raw_association(running.node.port, (1, CT, EXPLICIT)) as caller:
            caller.send(pdu(0x07, bytes(4)))
            assert caller.receive()[0] == 0
    while running.node.gate.connections:
        time.sleep(0.01)
