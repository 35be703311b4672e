"""What the node needs from the house: where received instances go, and who is told what happens.

`service/wiring` hands in what implements these. All methods are called from the threads of the
associations, several at a time, but those of one association in order.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from core.errors import ServiceError
from core.model import RemoteAE


@dataclass(frozen=True)
class AssociationOrigin:
    """One accepted association and the peer behind it."""

    association_id: str
    """Ours, random; safe to log."""
    peer: RemoteAE
    issuer_of_patient_id: str = ""
    """Who issues the patient IDs of this peer, where its objects do not say so."""


@dataclass(frozen=True)
class IncomingObject:
    """What the command set says of an object before its first byte arrives. Identity."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


class Ending(StrEnum):
    """How an association came to its end."""

    RELEASED = "released"
    """The peer said that it is done."""
    ABORTED = "aborted"
    """The peer or we gave it up; what was promised may not have come."""
    LOST = "lost"
    """The connection broke."""


class RefusalReason(StrEnum):
    """Why somebody was not let in, or not let do what he asked."""

    UNKNOWN_CALLED_AE_TITLE = "unknown called AE title"
    UNKNOWN_CALLING_AE_TITLE = "unknown calling AE title"
    WRONG_ADDRESS = "known AE title from an address that is not its own"
    NOT_ALLOWED = "the peer may not do what it asked for"
    """Only the presentation contexts concerned are refused; the association may live on."""
    CAPACITY = "too many associations"
    NOT_DICOM = "what arrived is not DICOM"
    NOT_TLS = "what arrived on the TLS port is not TLS"
    TLS_FAILED = "the TLS handshake failed"
    WEAK_TLS = "no TLS version or cipher suite that counts here"
    NO_CERTIFICATE = "no certificate was shown"
    UNTRUSTED_CERTIFICATE = "a certificate that is not trusted"
    EXPIRED_CERTIFICATE = "a certificate that is not valid now"
    REVOKED_CERTIFICATE = "a certificate that was revoked"
    WRONG_CERTIFICATE = "a certificate that is not bound to this peer"
    WITHOUT_TLS = "a peer with certificates came without TLS"


@dataclass(frozen=True)
class Refusal:
    """Somebody who was refused, and what an administrator can do about it.

    The AE titles are as the peer gave them, but with all but printable ASCII replaced.
    """

    reason: RefusalReason
    address: str
    """Empty where callers of several addresses are told of together."""
    calling_ae_title: str
    """Empty where the connection was refused before the peer could name itself."""
    called_ae_title: str
    remedy: str
    """Names the setting of config.yaml to change."""
    certificate_fingerprint: str = ""
    """SHA-256 of the certificate that the peer proved to own; empty without TLS."""
    certificate_names: str = ""
    """Whom that certificate names, readable and cut to a line; empty without TLS."""
    last_at: datetime | None = None
    """When it last happened; given once it is reported."""
    times: int = 1
    """How many refusals this tells of."""
    is_repeated: bool = False
    """Whether the first of them was reported before."""

    @property
    def how_often(self) -> str:
        """Of how many refusals this tells, in words; empty for one alone."""
        if self.is_repeated:
            return f" ({self.times} times more)"
        return f" ({self.times} times)" if self.times > 1 else ""


class InstanceReceiver(Protocol):
    """Takes one object while it arrives.

    `write` and `commit` may raise a `ServiceError`, which becomes the status of the answer; after
    that nothing is called but `discard`.
    """

    def write(self, fragment: bytes | memoryview) -> None:
        """Take the next bytes of the encoded data set; they are lent for this call only."""

    def commit(self) -> None:
        """Return once the object, its row and its audit record are durable, or raise."""

    def discard(self) -> None:
        """Forget what arrived: the association broke, or `write` or `commit` raised."""


class InstanceSink(Protocol):
    """Where received instances go."""

    def begin(self, origin: AssociationOrigin, incoming: IncomingObject) -> InstanceReceiver:
        """Open a receiver for one object, or raise a `ServiceError` to refuse it unread."""


class NodeObserver(Protocol):
    """Is told what happens on the node. A `ServiceError` raised by `opened` or `echoed` refuses.

    The errors of all other methods are logged and change nothing on the wire.
    """

    def opened(self, origin: AssociationOrigin) -> None:
        """Note that an association was accepted."""

    def closed(self, origin: AssociationOrigin, how: Ending, stored: int, failed: int) -> None:
        """Note that an association ended; called once for each `opened`, but for a crash."""

    def refused(self, refusal: Refusal) -> None:
        """Note that somebody was not let in."""

    def echoed(self, origin: AssociationOrigin) -> None:
        """Note that the peer verified the connection (C-ECHO)."""

    def alive(self, origin: AssociationOrigin) -> None:
        """Note that the association still lives; called every few seconds while it does."""

    def failed_store(
        self, origin: AssociationOrigin, incoming: IncomingObject, error: ServiceError
    ) -> None:
        """Note that an object was not stored; called after its `discard`."""
