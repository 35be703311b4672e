"""The door: whoever is silent, slow or strange costs a descriptor, for a bounded time."""

import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import ip_network
from pathlib import Path

import pytest

from dicom_node.association import echo
from dicom_node.entrance import door as door_module
from dicom_node.entrance.door_pdu import AssociateRequest
from dicom_node.ports import Refusal, RefusalReason
from dicom_node.presentation import STORAGE_SOP_CLASSES
from tests.dicom_node.fakes import CT, EXPLICIT, RunningNode, peer, running_node
from tests.dicom_node.raw import APPLICATION_CONTEXT, associate_rq, item, pdu, raw_peer

REQUEST = associate_rq([(1, CT, EXPLICIT)])


def caller(running: RunningNode, address: str = "127.0.0.1") -> socket.socket:
    """Return a connection from another loopback address."""
    return socket.create_connection(
        ("127.0.0.1", running.node.port), timeout=10, source_address=(address, 0)
    )


@contextmanager
def callers(running: RunningNode, count: int, *addresses: str) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(caller(running, address))
            for address in addresses or ("127.0.0.2",)
            for _ in range(count)
        ]


def wait_until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def connections(running: RunningNode, count: int) -> Callable[[], bool]:
    return lambda: running.node.gate.connections == count


def answer(connection: socket.socket) -> bytes:
    try:
        return connection.recv(4096)
    except ConnectionResetError:
        return b""


def refusals(running: RunningNode, count: int = 1) -> list[Refusal]:
    return [r for r in running.observer.wait_for("refused", count=count) if isinstance(r, Refusal)]


def test_connections_that_say_nothing_cost_no_thread() -> None:
    with running_node() as running:
        echo(running.destination())
        wait_until(connections(running, 0))
        before = threading.active_count()
        with callers(running, 40):
            wait_until(connections(running, 40))
            assert threading.active_count() == before


def test_a_request_that_comes_slowly_costs_no_thread_until_it_is_whole() -> None:
    with running_node() as running:
        echo(running.destination())
        wait_until(connections(running, 0))
        before = threading.active_count()
        with caller(running) as slow:
            for piece in (REQUEST[:3], REQUEST[3:50], REQUEST[50:-1]):
                slow.sendall(piece)
                time.sleep(0.1)
                assert threading.active_count() == before
            slow.sendall(REQUEST[-1:])
            assert answer(slow)[0] == 0x02


def test_a_request_that_dribbles_is_given_up_at_the_deadline_whatever_comes() -> None:
    with running_node(request_timeout_s=0.5) as running, caller(running) as slow:
        start, given_up = time.monotonic(), False
        for n in range(len(REQUEST)):
            given_up = given_up or not is_open(slow, REQUEST[n : n + 1])
        assert given_up
        assert time.monotonic() - start < 30
        assert running.observer.events == []


def is_open(connection: socket.socket, piece: bytes) -> bool:
    """Send a piece, and see in a while whether anybody is still there."""
    connection.settimeout(0.05)
    try:
        connection.sendall(piece)
        return connection.recv(1) != b""
    except TimeoutError:
        return True
    except OSError:
        return False


def test_a_request_longer_than_the_door_looks_at_is_served() -> None:
    """PS3.8 allows 128 contexts; these need more than 64 KiB."""
    user = item(0x50, item(0x51, b"\0\0\x40\0") + item(0x52, b"1.2.3"))
    head = REQUEST[6:74] + item(0x10, APPLICATION_CONTEXT)
    contexts = b""
    for n, sop_class in zip(range(1, 256, 2), STORAGE_SOP_CLASSES, strict=False):
        syntaxes = item(0x40, EXPLICIT.encode()) * 30
        body = bytes((n, 0, 0, 0)) + item(0x30, sop_class.encode()) + syntaxes
        contexts += item(0x20, body)
    request = pdu(0x01, head + contexts + user)
    assert len(request) > 64 * 1024
    with running_node() as running, caller(running) as verbose:
        verbose.sendall(request)
        assert answer(verbose)[:1] == b"\x02"


@pytest.mark.parametrize(("count", "kind"), [(128, 0x02), (129, 0x03)])
def test_more_presentation_contexts_than_there_are_ids_are_rejected(count: int, kind: int) -> None:
    """PS3.8 9.3.2.2: odd numbers from 1 to 255."""
    contexts = [((2 * n + 1) % 256, CT, EXPLICIT) for n in range(count)]
    with running_node() as running, raw_peer(running.node.port) as greedy:
        greedy.send(associate_rq(contexts))
        assert greedy.receive()[0] == kind


def test_what_no_request_begins_with_is_aborted_and_recorded() -> None:
    """PS3.8 Table 9-10: AA-1."""
    with running_node() as running, caller(running) as stranger:
        stranger.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert answer(stranger) == bytes((7, 0, 0, 0, 0, 4, 0, 0, 0, 0))
        assert refusals(running)[0].reason is RefusalReason.NOT_DICOM
        wait_until(connections(running, 0))


@pytest.mark.parametrize(
    ("head", "is_request"),
    [
        (b"\x01\x00\x00\x00\x00\xf0", True),
        (b"\x01\x00\x00\x10\x00\x00", True),
        (b"\x01\x00\x00\x10\x00\x01", False),
        (b"\x01\x00\xff\xff\xff\xff", False),
        (b"\x04\x00\x00\x00\x00\xf0", False),
        (b"\x01", True),
        (b"G", False),
    ],
)
def test_a_request_is_known_by_its_type_and_a_sane_length(head: bytes, is_request: bool) -> None:
    assert AssociateRequest().may_begin_with(head) is is_request


def test_a_short_word_of_another_protocol_is_recorded_when_its_time_is_over() -> None:
    with running_node(request_timeout_s=0.3) as running, caller(running) as stranger:
        stranger.sendall(b"hi")
        assert refusals(running)[0].reason is RefusalReason.NOT_DICOM


def test_somebody_who_only_looks_whether_the_port_is_open_is_not_recorded() -> None:
    with running_node() as running:
        caller(running).close()
        wait_until(connections(running, 0))
        echo(running.destination())
        assert [name for name, _ in running.observer.events if name == "refused"] == []


def test_silent_connections_cannot_keep_a_peer_out() -> None:
    """The waiting room is full: who waits longest of those that take most room has to go."""
    with (
        running_node(max_waiting_connections=6) as running,
        callers(running, 6, "127.0.0.2") as crowd,
        caller(running, "127.0.0.3") as patient,
    ):
        for _ in range(10):
            echo(running.destination())
        assert answer(crowd[0]) == b""
        patient.sendall(REQUEST)
        assert answer(patient)[0] == 0x02


def test_the_limit_of_an_address_leaves_the_others_alone() -> None:
    with (
        running_node(max_connections_per_address=3) as running,
        callers(running, 3, "127.0.0.2"),
    ):
        with caller(running, "127.0.0.2") as one_too_many:
            assert answer(one_too_many) == b""
        (refusal,) = refusals(running)
        assert "max_connections_per_address" in refusal.remedy
        echo(running.destination())


def test_a_peer_is_told_that_we_are_full_while_others_keep_us_busy() -> None:
    """PS3.8 Table 9-21: result 2, source 3, reason 2 (local limit exceeded)."""
    running_peers = (peer(max_associations=1), peer("other", "OTHER"))
    with running_node(*running_peers) as running, caller(running) as first:
        first.sendall(REQUEST)
        assert answer(first)[0] == 0x02
        with caller(running) as second:
            second.sendall(REQUEST)
            assert answer(second) == bytes((3, 0, 0, 0, 0, 4, 0, 2, 3, 2))
        echo(running.destination(calling="OTHER"))


def test_who_asks_when_nobody_more_can_be_heard_is_told_at_the_door() -> None:
    with running_node(max_associations=1, idle_timeout_s=30.0) as running:
        gate = running.node.gate
        tickets = [gate.enter(f"127.0.0.{n}") for n in range(10, 27)]
        assert [gate.seat(ticket) for ticket in tickets if isinstance(ticket, int)] == [None] * 17
        with caller(running) as late:
            late.sendall(REQUEST)
            assert answer(late) == bytes((3, 0, 0, 0, 0, 4, 0, 2, 3, 2))
        assert refusals(running)[0].reason is RefusalReason.CAPACITY


def test_strangers_are_turned_away_beyond_their_own_few() -> None:
    far = peer(addresses=(ip_network("127.0.0.9/32"),))
    with (
        running_node(far, max_unknown_connections=2) as running,
        callers(running, 2, "127.0.0.2"),
    ):
        with caller(running, "127.0.0.3") as third:
            assert answer(third) == b""
        with caller(running, "127.0.0.9") as known:
            known.sendall(REQUEST)
            assert answer(known)[0] == 0x02


def test_the_node_goes_on_when_no_descriptor_was_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "_BREATH_S", 0.1)
    with running_node() as running, callers(running, 2) as waiting:
        wait_until(connections(running, 2))
        with socket.socket() as late, no_descriptor_left():
            late.connect(("127.0.0.1", running.node.port))
            assert answer(waiting[0]) == b""
        echo(running.destination())


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(one.name) for one in Path("/proc/self/fd").iterdir())
    spare = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2, limits[1]))
    try:
        with suppress(OSError):
            while True:
                spare.append(os.open("/dev/null", os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in spare:
            os.close(descriptor)


def test_a_stop_turns_away_who_has_not_come_in() -> None:
    with running_node() as running, callers(running, 3) as waiting:
        wait_until(connections(running, 3))
        running.node.stop()
        assert [answer(one) for one in waiting] == [b""] * 3
        assert running.node.gate.connections == 0


def test_an_old_association_ends_between_two_objects() -> None:
    with running_node(association_timeout_s=0.3) as running, raw_peer(running.node.port) as old:
        old.send(REQUEST)
        assert old.receive()[0] == 0x02
        assert old.receive()[0] == 0x07
