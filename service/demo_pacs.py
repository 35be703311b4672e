"""The archive of the demo's hospital: a node that keeps what it gets as files in a folder."""

from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from core.errors import ServiceError
from core.part10 import file_head
from dicom_node.ports import AssociationOrigin, Ending, IncomingObject, Refusal
from dicom_node.server import DicomNode
from dicom_node.settings import NodeSettings, PeerSettings

AE_TITLE = "DEMO_PACS"


@dataclass
class _Receiver:
    """Takes one object, and keeps it once it is whole."""

    inbox: "Inbox"
    incoming: IncomingObject
    content: bytearray = field(default_factory=bytearray)

    def write(self, fragment: bytes | memoryview) -> None:
        """Take the next bytes."""
        self.content += fragment

    def commit(self) -> None:
        """Keep the object."""
        about = self.incoming
        head = file_head(about.sop_class_uid, about.sop_instance_uid, about.transfer_syntax_uid)
        path = self.inbox.folder / f"{about.sop_instance_uid}.dcm"
        path.write_bytes(head + bytes(self.content))
        self.inbox.received.append(path)

    def discard(self) -> None:
        """Forget what came."""
        self.content.clear()


@dataclass
class Inbox:
    """What came so far."""

    folder: Path
    received: list[Path] = field(default_factory=list)

    def begin(self, origin: AssociationOrigin, incoming: IncomingObject) -> _Receiver:  # noqa: ARG002
        """Open a receiver for one object."""
        return _Receiver(self, incoming)


class _Silence:
    """An observer who tells nobody: the demo's PACS keeps no log."""

    def opened(self, origin: AssociationOrigin) -> None:
        """Note an association."""

    def closed(self, origin: AssociationOrigin, how: Ending, stored: int, failed: int) -> None:
        """Note its end."""

    def refused(self, refusal: Refusal) -> None:
        """Note who was not let in."""

    def echoed(self, origin: AssociationOrigin) -> None:
        """Note a verification."""

    def alive(self, origin: AssociationOrigin) -> None:
        """Note that an association lives."""

    def failed_store(
        self, origin: AssociationOrigin, incoming: IncomingObject, error: ServiceError
    ) -> None:
        """Note what was not stored."""


def demo_pacs(inbox: Inbox, sender: str) -> DicomNode:
    """Return a node on a free port of loopback that takes objects from `sender` alone."""
    peer = PeerSettings(name="service", ae_title=sender, addresses=(ip_network("127.0.0.0/8"),))
    settings = NodeSettings(ae_title=AE_TITLE, host="127.0.0.1", port=0, peers=(peer,))
    return DicomNode(settings, inbox, _Silence())
