"""A hospital's certificates, and a node that speaks TLS with them."""

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dicom_node.association import Destination
from dicom_node.ports import Refusal, RefusalReason
from dicom_node.settings import PeerSettings, TlsCallSettings
from tests.dicom_node.fakes import RunningNode, peer, running_node
from tests.dicom_node.raw import RawPeer
from tests.support.certificates import Authority, Owned


@dataclass
class Hospital:
    """One authority that is trusted and one that is not, and who has a certificate of them."""

    folder: Path
    days: float = 30
    authority: Authority = field(init=False)
    other: Authority = field(init=False)
    reader: Owned = field(init=False)
    scanner: Owned = field(init=False)

    def __post_init__(self) -> None:
        self.authority = Authority("Hospital", self.folder, days=self.days)
        self.other = Authority("Elsewhere", self.folder, days=self.days)
        self.reader = self.authority.issue(
            "READER", names=["localhost", "127.0.0.1"], days=self.days
        )
        self.scanner = self.authority.issue("SCANNER", names=["scanner.example"])

    def tls(self, owned: Owned | None = None, **values: Any) -> dict[str, object]:
        """Return a tls section."""
        owned = owned or self.reader
        return {
            "certificate_file": owned.certificate_file,
            "key_file": owned.key_file,
            "ca_file": self.authority.file,
        } | values

    def call(self, running: RunningNode, owned: Owned | None = None, **values: Any) -> Destination:
        """Return how the scanner calls a node over TLS."""
        tls = TlsCallSettings.model_validate(self.tls(owned or self.scanner, **values))
        port = running.node.tls_port
        assert port is not None
        return Destination("node", "127.0.0.1", port, "READER", "SCANNER", timeout_s=10.0, tls=tls)

    def context(self, owned: Owned | None = None) -> ssl.SSLContext:
        """Return how a bare client shakes hands."""
        context = ssl.create_default_context(cafile=self.authority.file)
        owned = owned or self.scanner
        context.load_cert_chain(owned.certificate_file, owned.key_file)
        return context


def scanner(*certificates: str, **values: Any) -> PeerSettings:
    """Return the peer SCANNER with certificates bound to it."""
    return peer(certificates=certificates or ("CN:SCANNER",), **values)


@contextmanager
def secure_node(
    hospital: Hospital,
    *peers: PeerSettings,
    tls: Mapping[str, object] | None = None,
    **values: Any,
) -> Iterator[RunningNode]:
    """Run a node with a plain and a TLS port."""
    section = {**hospital.tls(port=0), **(tls or {})}
    with running_node(*(peers or (scanner(),)), tls=section, **values) as running:
        yield running


class SecurePeer(RawPeer):
    """Raw PDUs over TLS."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        super().__init__(port)
        self.socket = self.secured = context.wrap_socket(self.socket, server_hostname="localhost")


@contextmanager
def secure_peer(running: RunningNode, context: ssl.SSLContext) -> Iterator[SecurePeer]:
    assert running.node.tls_port is not None
    caller = SecurePeer(running.node.tls_port, context)
    try:
        yield caller
    finally:
        caller.socket.close()


def refusal(running: RunningNode) -> Refusal:
    """Return the one refusal that was recorded."""
    (found,) = running.observer.wait_for("refused")
    assert isinstance(found, Refusal)
    return found


def refused_for(running: RunningNode) -> RefusalReason:
    return refusal(running).reason


def plainly(port: int | None) -> socket.socket:
    """Connect without TLS."""
    assert port is not None
    return socket.create_connection(("127.0.0.1", port), timeout=10)
