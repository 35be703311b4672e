"""Who may connect: known addresses first, then called AE title, calling AE title and address."""

import threading
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from dicom_node.ports import Refusal, RefusalReason
from dicom_node.settings import NodeSettings, PeerSettings

_SPARE_CONNECTIONS = 16
"""Beyond `max_associations`: so many more are heard, to be told that we are full."""

_MAX_AE_TITLE = 16


def readable(ae_title: str) -> str:
    """Return an AE title as it may be logged: short, printable, nothing that ends a line."""
    shown = ae_title.strip(" ")[:_MAX_AE_TITLE]
    return "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in shown)


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


class Gate:
    """Tells peers from strangers, and keeps strangers from taking the peers' room."""

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._connected = 0
        self._strangers = 0
        self._associated = 0

    def enter(self, address: str) -> Refusal | None:
        """Count a new connection in, or refuse it before a thread is spent on it."""
        with self._lock:
            if self._is_stranger(address):
                if self._strangers >= self._settings.max_unknown_connections:
                    return self._refusal(
                        RefusalReason.WRONG_ADDRESS,
                        Caller(address, "", ""),
                        "Too many connections from addresses of no peer: add the address to "
                        "`addresses` of its peer in dicom_node.peers, or keep it out of the port",
                    )
                self._strangers += 1
                return None
            if self._connected >= self._settings.max_associations + _SPARE_CONNECTIONS:
                return self._full(Caller(address, "", ""))
            self._connected += 1
            return None

    def leave(self, address: str) -> None:
        """Count a connection out that `enter` let in."""
        with self._lock:
            if self._is_stranger(address):
                self._strangers -= 1
            else:
                self._connected -= 1

    def admit(self, caller: Caller) -> PeerSettings | Refusal:
        """Return the peer that `caller` is and count its association in, or refuse it."""
        peer = self._identify(caller)
        if isinstance(peer, Refusal):
            return peer
        with self._lock:
            if self._associated >= self._settings.max_associations:
                return self._full(caller)
            self._associated += 1
        return peer

    def dismiss(self) -> None:
        """Count an association out that `admit` let in."""
        with self._lock:
            self._associated -= 1

    def _identify(self, caller: Caller) -> PeerSettings | Refusal:
        settings = self._settings
        called = [
            peer
            for peer in settings.peers
            if settings.called_ae_title_of(peer) == caller.called_ae_title
        ]
        if not called and caller.called_ae_title != settings.ae_title:
            return self._refusal(
                RefusalReason.UNKNOWN_CALLED_AE_TITLE,
                caller,
                f"Let the peer call {settings.ae_title}, or set `called_ae_title` of its entry in "
                "dicom_node.peers",
            )
        titled = [peer for peer in called if peer.ae_title == caller.calling_ae_title]
        if not titled:
            return self._refusal(
                RefusalReason.UNKNOWN_CALLING_AE_TITLE,
                caller,
                "Add a peer with this `ae_title` and this address in `addresses` to "
                "dicom_node.peers",
            )
        for peer in titled:
            if _is_at(peer, caller.address):
                return peer
        return self._refusal(
            RefusalReason.WRONG_ADDRESS,
            caller,
            f"Add the address to `addresses` of the peer {titled[0].name} in dicom_node.peers, "
            "if it is its own",
        )

    def _is_stranger(self, address: str) -> bool:
        return not any(_is_at(peer, address) for peer in self._settings.peers)

    def _full(self, caller: Caller) -> Refusal:
        return self._refusal(
            RefusalReason.CAPACITY,
            caller,
            f"{self._settings.max_associations} associations are open: raise "
            "dicom_node.max_associations, or let the peer try again later",
        )

    def _refusal(self, reason: RefusalReason, caller: Caller, remedy: str) -> Refusal:
        return Refusal(
            reason=reason,
            address=caller.address,
            calling_ae_title=readable(caller.calling_ae_title),
            called_ae_title=readable(caller.called_ae_title),
            remedy=remedy,
        )


def _is_at(peer: PeerSettings, address: str) -> bool:
    parsed = parse_address(address)
    return any(parsed in network for network in peer.addresses)
