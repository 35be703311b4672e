"""Who may connect, and how many: address first, then called and calling AE title and address.

Only counting and comparing; nothing here waits. All processes of a node ask one gate, so that its
limits are exact.
"""

import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from dicom_node.certificates import CertificateIdentity
from dicom_node.ports import Refusal, RefusalReason
from dicom_node.settings import NodeSettings, PeerSettings, Right

_SPARE_SEATS = 16
"""Beyond `max_associations`: so many more are heard, to be told that we are full."""

_MAX_AE_TITLE = 16
_MAX_NAMES = 128


def readable(said: str, longest: int = _MAX_AE_TITLE) -> str:
    """Return an AE title as it may be logged: short, printable, nothing that ends a line."""
    shown = said.strip(" ")[:longest]
    return "".join(c if " " <= c <= "~" and c not in "\\\"'" else "?" for c in shown)


def parse_address(address: str) -> IPv4Address | IPv6Address:
    """Read an address as a socket gives it; an IPv4 address mapped into IPv6 is IPv4."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed


@dataclass(frozen=True)
class Caller:
    """Somebody who asks for an association, as he presents himself."""

    address: str
    calling_ae_title: str
    called_ae_title: str
    certificate: CertificateIdentity | None = None
    """What he proved to own; None without TLS."""


@dataclass
class _Guest:
    address: str
    is_stranger: bool
    is_seated: bool = False
    peer: str = ""
    caller: Caller | None = None
    rights: frozenset[Right] = frozenset()


class Gate:
    """Tells peers from strangers, and keeps each from taking the room of the others.

    A connection comes in by `enter`, which gives it a ticket; takes a seat when it has asked for
    an association; becomes a peer's by `admit`; and gives everything back by `leave`.
    """

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._peers: Sequence[PeerSettings] = settings.peers
        self._lock = threading.Lock()
        self._tickets = itertools.count(1)
        self._guests: dict[int, _Guest] = {}

    @property
    def associations(self) -> int:
        """How many associations are open."""
        with self._lock:
            return sum(1 for guest in self._guests.values() if guest.peer)

    @property
    def connections(self) -> int:
        """How many connections are open, those that have not spoken yet included."""
        with self._lock:
            return len(self._guests)

    def replace_peers(self, peers: Sequence[PeerSettings]) -> frozenset[int]:
        """Go by other peers from now on; return the tickets of those who may not stay.

        Somebody stays who would be let in again as the same peer, with no right less.
        """
        with self._lock:
            self._peers = tuple(peers)
            return frozenset(n for n, guest in self._guests.items() if not self._may_stay(guest))

    def enter(self, address: str) -> int | Refusal:
        """Count a new connection in and return its ticket, or refuse it."""
        with self._lock:
            is_stranger = not any(_is_at(peer, address) for peer in self._peers)
            refusal = (self._crowd if is_stranger else self._press)(address)
            if refusal is not None:
                return refusal
            ticket = next(self._tickets)
            self._guests[ticket] = _Guest(address, is_stranger)
            return ticket

    def seat(self, ticket: int) -> Refusal | None:
        """Let a connection ask for an association, which will cost threads, or refuse it."""
        with self._lock:
            guest = self._guests[ticket]
            seated = sum(1 for one in self._guests.values() if one.is_seated)
            if seated >= self._settings.max_associations + _SPARE_SEATS:
                return self._full(Caller(guest.address, "", ""))
            guest.is_seated = True
            return None

    def admit(self, ticket: int, caller: Caller) -> PeerSettings | Refusal:
        """Return the peer that `caller` is and count its association in, or refuse it."""
        with self._lock:
            peer = self._identify(caller)
            if isinstance(peer, Refusal):
                return peer
            refusal = self._overdone(peer, caller)
            if refusal is not None:
                return refusal
            guest = self._guests[ticket]
            guest.peer, guest.caller, guest.rights = peer.name, caller, peer.allow
            return peer

    def leave(self, ticket: int) -> None:
        """Count a connection out, and its association; nothing happens if it is out."""
        with self._lock:
            self._guests.pop(ticket, None)

    def _may_stay(self, guest: _Guest) -> bool:
        if guest.caller is None:
            return True  # who has not asked yet is asked by the new peers
        peer = self._identify(guest.caller)
        return (
            not isinstance(peer, Refusal) and peer.name == guest.peer and guest.rights <= peer.allow
        )

    def _crowd(self, address: str) -> Refusal | None:
        strangers = sum(1 for guest in self._guests.values() if guest.is_stranger)
        if strangers < self._settings.max_unknown_connections:
            return None
        return _refusal(
            RefusalReason.WRONG_ADDRESS,
            Caller(address, "", ""),
            "Too many connections from addresses of no peer: add the address to "
            "`addresses` of its peer in dicom_node.peers, or keep it out of the port",
        )

    def _press(self, address: str) -> Refusal | None:
        limit = self._settings.max_connections_per_address
        if sum(1 for guest in self._guests.values() if guest.address == address) < limit:
            return None
        return _refusal(
            RefusalReason.CAPACITY,
            Caller(address, "", ""),
            f"{limit} connections from this address are open: raise "
            "dicom_node.max_connections_per_address, or let the peer try again later",
        )

    def _overdone(self, peer: PeerSettings, caller: Caller) -> Refusal | None:
        names = [guest.peer for guest in self._guests.values() if guest.peer]
        if len(names) >= self._settings.max_associations:
            return self._full(caller)
        limit = peer.max_associations
        if limit is None or names.count(peer.name) < limit:
            return None
        return _refusal(
            RefusalReason.CAPACITY,
            caller,
            f"{limit} associations of the peer {peer.name} are open: raise its "
            "`max_associations` in dicom_node.peers, or let it try again later",
        )

    def _identify(self, caller: Caller) -> PeerSettings | Refusal:
        settings = self._settings
        called = [
            peer
            for peer in self._peers
            if settings.called_ae_title_of(peer) == caller.called_ae_title
        ]
        if not called and caller.called_ae_title != settings.ae_title:
            return _refusal(
                RefusalReason.UNKNOWN_CALLED_AE_TITLE,
                caller,
                f"Let the peer call {settings.ae_title}, or set `called_ae_title` of its entry in "
                "dicom_node.peers",
            )
        titled = [peer for peer in called if peer.ae_title == caller.calling_ae_title]
        if not titled:
            return _refusal(
                RefusalReason.UNKNOWN_CALLING_AE_TITLE,
                caller,
                "Add a peer with this `ae_title` and this address in `addresses` to "
                "dicom_node.peers",
            )
        for peer in titled:
            if _is_at(peer, caller.address):
                return _unbound(peer, caller) or peer
        return _refusal(
            RefusalReason.WRONG_ADDRESS,
            caller,
            f"Add the address to `addresses` of the peer {titled[0].name} in dicom_node.peers, "
            "if it is its own",
        )

    def _full(self, caller: Caller) -> Refusal:
        return _refusal(
            RefusalReason.CAPACITY,
            caller,
            f"{self._settings.max_associations} associations are open: raise "
            "dicom_node.max_associations, or let the peer try again later",
        )


def _unbound(peer: PeerSettings, caller: Caller) -> Refusal | None:
    """Refuse a peer that does not come as its certificates say."""
    if caller.certificate is None:
        if not peer.certificates:
            return None
        return _refusal(
            RefusalReason.WITHOUT_TLS,
            caller,
            "Let the peer call dicom_node.tls.port with its certificate, or remove `certificates` "
            f"of the peer {peer.name} in dicom_node.peers",
        )
    if caller.certificate.is_one_of(peer.certificates):
        return None
    return _refusal(
        RefusalReason.WRONG_CERTIFICATE,
        caller,
        f"Add SHA256:{caller.certificate.fingerprint} to `certificates` of the peer {peer.name} in "
        "dicom_node.peers, if the certificate is its own",
    )


def _refusal(reason: RefusalReason, caller: Caller, remedy: str) -> Refusal:
    shown = caller.certificate
    return Refusal(
        reason=reason,
        address=caller.address,
        calling_ae_title=readable(caller.calling_ae_title),
        called_ae_title=readable(caller.called_ae_title),
        remedy=remedy,
        certificate_fingerprint=shown.fingerprint if shown else "",
        certificate_names=readable(", ".join(shown.names), _MAX_NAMES) if shown else "",
    )


def _is_at(peer: PeerSettings, address: str) -> bool:
    parsed = parse_address(address)
    return any(parsed in network for network in peer.addresses)
