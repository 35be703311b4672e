"""One door, and receivers in processes of their own."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from socket import socket

import pytest

from dicom_node.association import Destination, echo
from dicom_node.entrance.visitor import Visitor
from dicom_node.errors import AssociationRejectedError, PeerError, ReceiverError
from dicom_node.ports import Refusal, RefusalReason
from dicom_node.processes import crew
from dicom_node.processes.branch import Branch
from dicom_node.processes.channel import Channel, Handed, Left, Message, channel_pair
from dicom_node.processes.spread import SpreadNode
from dicom_node.settings import NodeSettings
from dicom_node.store_scu import send
from tests.dicom_node.branch_program import launch
from tests.dicom_node.fakes import CT, EXPLICIT, MemorySink, RecordingObserver, outgoing, peer
from tests.dicom_node.raw import (
    RawPeer,
    associate_rq,
    pdu,
    pdv,
    raw_association,
    raw_peer,
    store_rq,
)


@dataclass
class Spread:
    """A node of two receivers, and what it did."""

    node: SpreadNode
    observer: RecordingObserver
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    hangs_at_start: bool = False

    @property
    def destination(self) -> Destination:
        return Destination("node", "127.0.0.1", self.node.port, "READER", "SCANNER", timeout_s=10.0)

    @property
    def guests(self) -> list[int]:
        """How many connections each receiver has."""
        return [member.guests for member in self.node.crew.members]


@contextmanager
def spread_node(**settings: object) -> Iterator[Spread]:
    values = {"ae_title": "READER", "host": "127.0.0.1", "port": 0, "processes": 2}
    node_settings = NodeSettings.model_validate(values | {"peers": (peer(),)} | settings)
    observer = RecordingObserver()

    def start(channel: socket) -> "subprocess.Popen[bytes]":
        hangs = running.hangs_at_start
        running.processes.append((idle if hangs else partial(launch, node_settings))(channel))
        return running.processes[-1]

    node = SpreadNode(node_settings, observer, start)
    running = Spread(node, observer)
    node.start()
    try:
        yield running
    finally:
        node.stop()
    assert all(process.poll() is not None for process in running.processes)


def idle(channel: socket) -> "subprocess.Popen[bytes]":
    """Start what never says that it is ready."""
    program = [sys.executable, "-c", "import time; time.sleep(600)"]
    return subprocess.Popen(program, pass_fds=(channel.fileno(),))


@contextmanager
def associations(running: Spread, count: int) -> Iterator[list[RawPeer]]:
    peers = [RawPeer(running.node.port) for _ in range(count)]
    try:
        for one in peers:
            one.send(associate_rq([(1, CT, EXPLICIT)]))
            assert one.receive()[0] == 0x02
        yield peers
    finally:
        for one in peers:
            one.socket.close()


def wait_until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_objects_arrive_whichever_process_takes_them() -> None:
    with spread_node() as running:
        for n in range(4):
            outcomes = send([outgoing(10 * n + i) for i in range(3)], running.destination)
            assert [outcome.status for outcome in outcomes] == [0, 0, 0]


def test_who_has_fewest_guests_gets_the_next() -> None:
    with spread_node() as running:
        wait_until(partial(ready, running, 2))
        with associations(running, 4):
            assert running.guests == [2, 2]


def ready(running: Spread, count: int) -> bool:
    return sum(member.is_open for member in running.node.crew.members) == count


def test_the_limit_of_associations_holds_over_all_processes() -> None:
    with spread_node(max_associations=3) as running, associations(running, 3) as open_ones:
        with pytest.raises(AssociationRejectedError):
            echo(running.destination)
        (refusal,) = running.observer.wait_for("refused")
        assert isinstance(refusal, Refusal)
        assert refusal.reason is RefusalReason.CAPACITY
        open_ones[0].socket.close()
        wait_until(partial(associated, running, 2))
        echo(running.destination)


def associated(running: Spread, count: int) -> bool:
    return running.node.gate.associations == count


def test_a_refusal_within_an_association_is_told_at_the_door() -> None:
    with spread_node(peers=(peer(allow=["store"]),)) as running:
        with pytest.raises(PeerError):
            echo(running.destination)
        (refusal,) = running.observer.wait_for("refused")
        assert isinstance(refusal, Refusal)
        assert refusal.reason is RefusalReason.NOT_ALLOWED


def test_a_receiver_that_dies_gives_its_room_back_and_is_started_again() -> None:
    with spread_node(max_associations=2) as running:
        wait_until(partial(ready, running, 2))
        with associations(running, 2) as open_ones:
            running.processes[0].kill()
            running.processes[1].kill()
            assert [one.receive() for one in open_ones] == [(0, b""), (0, b"")]
            wait_until(partial(associated, running, 0))
            assert running.node.gate.connections == 0
            wait_until(partial(ready, running, 2))
            with associations(running, 2):
                assert len(running.processes) == 4


def test_one_receiver_serves_while_the_other_starts_again() -> None:
    with spread_node() as running:
        wait_until(partial(ready, running, 2))
        running.processes[0].kill()
        wait_until(partial(ready, running, 1))
        for _ in range(5):
            echo(running.destination)


def test_a_receiver_that_is_asked_to_end_finishes_what_is_arriving() -> None:
    with spread_node() as running:
        wait_until(partial(ready, running, 2))
        with raw_association(running.node.port, (1, CT, EXPLICIT)) as caller:
            caller.send(pdu(4, pdv(1, 3, store_rq(CT, "1.2.3")) + pdv(1, 0, b"half ")))
            time.sleep(0.3)  # nothing outside of the process shows that the half has arrived
            busy = running.processes[running.guests.index(1)]
            busy.send_signal(signal.SIGTERM)
            wait_until(partial(ready, running, 1))
            echo(running.destination)
            caller.send(pdu(4, pdv(1, 2, b"whole")))
            assert caller.status() == 0
            assert caller.receive()[0] == 0x07
            busy.wait(10)


def test_stopping_finishes_what_is_arriving_in_every_process() -> None:
    with spread_node() as running, associations(running, 3) as callers:
        for caller in callers:
            caller.send(pdu(4, pdv(1, 3, store_rq(CT, "1.2.3")) + pdv(1, 0, b"half ")))
        time.sleep(0.3)  # nothing outside of the processes shows that the halves have arrived
        stopping = threading.Thread(target=running.node.stop)
        stopping.start()
        time.sleep(0.3)
        for caller in callers:
            caller.send(pdu(4, pdv(1, 2, b"whole")))
            assert caller.status() == 0
        stopping.join(15)
        assert not stopping.is_alive()


def test_a_receiver_ends_when_its_door_has_died() -> None:
    ours, theirs = channel_pair()
    process = launch(NodeSettings(peers=(peer(),)), theirs.socket)
    theirs.close()
    assert ours.receive() is not None
    ours.close()
    assert process.wait(20) == 0


def test_receivers_that_cannot_start_end_the_node() -> None:
    def fail(channel: socket) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])

    node = SpreadNode(NodeSettings(host="127.0.0.1", port=0), RecordingObserver(), fail)
    with pytest.raises(ReceiverError):
        node.start()
    assert not node.is_listening


def test_a_receiver_that_hangs_is_killed_and_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crew, "_PING_S", 0.1)
    monkeypatch.setattr(crew, "_PONG_WITHIN_S", 5.0)
    with spread_node() as running:
        wait_until(partial(ready, running, 2))
        hanging = running.processes[0]
        hanging.send_signal(signal.SIGSTOP)
        assert hanging.wait(30) == -signal.SIGKILL
        wait_until(partial(ready, running, 2))
        with associations(running, 2):
            assert running.guests == [1, 1]


def test_a_receiver_that_never_gets_ready_is_killed_and_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crew, "_PING_S", 0.1)
    with spread_node() as running:
        wait_until(partial(ready, running, 2))
        monkeypatch.setattr(crew, "_READY_WITHIN_S", 5.0)
        running.hangs_at_start = True
        running.processes[0].kill()
        wait_until(lambda: len(running.processes) > 2)
        running.hangs_at_start = False
        assert running.processes[2].wait(30) == -signal.SIGKILL
        wait_until(partial(ready, running, 2))


def test_who_comes_while_no_receiver_is_there_waits_for_one() -> None:
    with spread_node(request_timeout_s=20.0) as running:
        wait_until(partial(ready, running, 2))
        for process in running.processes[:2]:
            process.kill()
        wait_until(partial(ready, running, 0))
        with raw_peer(running.node.port) as caller:
            caller.send(associate_rq([(1, CT, EXPLICIT)]))
            caller.socket.settimeout(20)
            assert caller.receive()[0] == 0x02


def test_a_connection_that_is_lost_between_door_and_receiver_is_counted_out() -> None:
    """So it is when the receiver has no descriptor left: the kernel drops what came along."""
    near, far = channel_pair()
    branch = Branch(NodeSettings(), far, MemorySink(keeps=False), RecordingObserver())
    serving = threading.Thread(target=branch.serve)
    serving.start()
    near.send(Handed(Visitor(7, "dicom_node.port", "127.0.0.1", 1, "127.0.0.1", 2, 0.0)))
    near.end_sending()
    heard = list(iter(lambda: said(near), None))
    serving.join()
    near.close()
    assert Left(7) in heard


def said(channel: Channel) -> Message | None:
    received = channel.receive()
    return None if received is None else received[0]
