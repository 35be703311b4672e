"""A sink that keeps objects in memory, an observer that writes down, a node on loopback."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network

from core.errors import ServiceError
from dicom_node.association import Destination
from dicom_node.part10 import OutgoingObject
from dicom_node.ports import AssociationOrigin, Ending, IncomingObject, Refusal
from dicom_node.server import DicomNode
from dicom_node.settings import NodeSettings, PeerSettings

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


@dataclass
class MemoryReceiver:
    """Takes one object into its sink."""

    sink: "MemorySink"
    incoming: IncomingObject
    data: bytearray = field(default_factory=bytearray)

    def write(self, fragment: bytes | memoryview) -> None:
        self.sink.fragments.append(len(fragment))
        self.sink.fail("write", self.incoming)
        if self.sink.keeps:
            self.data += fragment

    def commit(self) -> None:
        self.sink.fail("commit", self.incoming)
        self.sink.committed.append((self.incoming, bytes(self.data)))

    def discard(self) -> None:
        self.sink.discarded.append(self.incoming)


@dataclass
class MemorySink:
    """Keeps what it gets, or fails at `begin`, `write` or `commit` of the n-th object."""

    keeps: bool = True
    failures: dict[tuple[int, str], Exception | Callable[[], None]] = field(default_factory=dict)
    begun: int = 0
    committed: list[tuple[IncomingObject, bytes]] = field(default_factory=list)
    discarded: list[IncomingObject] = field(default_factory=list)
    fragments: list[int] = field(default_factory=list)

    def begin(self, origin: AssociationOrigin, incoming: IncomingObject) -> MemoryReceiver:
        self.begun += 1
        self.fail("begin", incoming)
        return MemoryReceiver(self, incoming)

    def fail(self, phase: str, incoming: IncomingObject) -> None:
        failure = self.failures.get((self.begun, phase))
        if isinstance(failure, Exception):
            raise failure
        if failure is not None:
            failure()


@dataclass
class RecordingObserver:
    """Writes down what it is told."""

    events: list[tuple[str, object]] = field(default_factory=list)
    error: ServiceError | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)

    def opened(self, origin: AssociationOrigin) -> None:
        self._note("opened", origin)
        if self.error is not None:
            raise self.error

    def closed(self, origin: AssociationOrigin, how: Ending, stored: int, failed: int) -> None:
        self._note("closed", (how, stored, failed))

    def refused(self, refusal: Refusal) -> None:
        self._note("refused", refusal)

    def echoed(self, origin: AssociationOrigin) -> None:
        self._note("echoed", origin)

    def alive(self, origin: AssociationOrigin) -> None:
        self._note("alive", origin)

    def failed_store(
        self, origin: AssociationOrigin, incoming: IncomingObject, error: ServiceError
    ) -> None:
        self._note("failed_store", error)

    def wait_for(self, name: str, *, count: int = 1, seconds: float = 10.0) -> list[object]:
        """Return what was said of `name`, once it was said so often."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while len(found := [what for event, what in self.events if event == name]) < count:
                if not self.changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"{name} was told {len(found)} times of {count}")
            return found

    def _note(self, name: str, what: object) -> None:
        with self.changed:
            self.events.append((name, what))
            self.changed.notify_all()


def peer(name: str = "scanner", ae_title: str = "SCANNER", **other: object) -> PeerSettings:
    """Return a peer on loopback."""
    values = {"addresses": (ip_network("127.0.0.0/8"),)} | other
    return PeerSettings.model_validate({"name": name, "ae_title": ae_title} | values)


@dataclass
class RunningNode:
    """A node, and what it did."""

    node: DicomNode
    sink: MemorySink
    observer: RecordingObserver

    def destination(self, *, calling: str = "SCANNER", called: str = "READER") -> Destination:
        """Return how to call it."""
        return Destination("node", "127.0.0.1", self.node.port, called, calling, timeout_s=10.0)


@contextmanager
def running_node(
    *peers: PeerSettings,
    sink: MemorySink | None = None,
    observer: RecordingObserver | None = None,
    **settings: object,
) -> Iterator[RunningNode]:
    """Run a node called READER on a port of its own."""
    values = {"ae_title": "READER", "host": "127.0.0.1", "port": 0, "peers": peers or (peer(),)}
    sink, observer = sink or MemorySink(), observer or RecordingObserver()
    node = DicomNode(NodeSettings.model_validate(values | settings), sink, observer)
    node.start()
    try:
        yield RunningNode(node, sink, observer)
    finally:
        node.stop()


def outgoing(number: int = 1, *, data: bytes = b"x" * 1000, sop_class: str = CT) -> OutgoingObject:
    """Return an object whose bytes nobody reads as a data set."""
    return OutgoingObject(sop_class, f"1.2.3.{number}", EXPLICIT, lambda: [data])
