"""Who may connect, as an administrator sees and changes it: by entries of `dicom_node.peers`.

Whoever was refused can be allowed in one step, but nothing is widened silently: what another peer
has already, and what a caller may have made up, is shown and refused.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from archive.callers import RefusedCaller
from core.errors import InputError, NotFoundError
from dicom_node.ports import RefusalReason
from dicom_node.settings import NodeSettings, PeerSettings
from service.config_file import Draft
from service.config_text import appended, removed
from service.settings import parse_settings

PEERS = ("dicom_node", "peers")
"""Where peers are written in config.yaml."""

NOT_LISTED = frozenset({RefusalReason.CAPACITY})
"""Those are known, or one of very many; nothing about them is for an administrator to allow."""

ALLOWABLE = frozenset(
    reason.value
    for reason in (
        RefusalReason.UNKNOWN_CALLED_AE_TITLE,
        RefusalReason.UNKNOWN_CALLING_AE_TITLE,
        RefusalReason.WRONG_ADDRESS,
    )
)
"""An entry of its own lets such a caller in; for other reasons the remedy is another."""

_PLAIN_TITLE = re.compile(r"[A-Za-z0-9_.-]+(?: [A-Za-z0-9_.-]+)*")
"""What a title is made of that was not made up to deceive a reader."""

Network = IPv4Network | IPv6Network


class UnallowableCallerError(InputError):
    """No entry can be written for this caller, or not without widening another."""


class NoSuchPeerError(NotFoundError):
    """No peer of that name is configured."""


@dataclass(frozen=True)
class Wish:
    """What an administrator wants to allow a caller."""

    name: str
    issuer: str = ""
    allow: tuple[str, ...] = ()
    """Empty for the default."""
    network: Network | None = None
    """By default the one address that the caller came from."""
    shares_address: bool = False
    """Whether another peer may have the same address."""


def entry(caller: RefusedCaller, node: NodeSettings, wish: Wish) -> dict[str, Any]:
    """Return the entry that lets a caller in.

    Raises
    ------
    UnallowableCallerError
        If none does, or it would widen what another peer has.
    """
    _refuse_odd(caller)
    network = _network(caller, wish)
    called = caller.caller.called_ae_title
    fingerprint = caller.caller.certificate_sha256
    written = {
        "name": wish.name,
        "ae_title": caller.caller.calling_ae_title,
        "called_ae_title": "" if called == node.ae_title else called,
        "addresses": [_shown(network)],
        "certificates": [f"SHA256:{fingerprint}"] if fingerprint else [],
        "issuer_of_patient_id": wish.issuer,
        "allow": list(wish.allow),
    }
    _refuse_known(written, node, network, wish)
    return {key: value for key, value in written.items() if value}


def what_allows(caller: RefusedCaller) -> str:
    """Return what an administrator can do so that this caller is let in."""
    if caller.reason in ALLOWABLE and _is_plain(caller):
        return f"second-reader peer allow {caller.caller_id} --name NAME"
    return caller.remedy


def with_peer(draft: Draft, config_file: Path, written: dict[str, Any]) -> str:
    """Return config.yaml with one more peer, proven to be right as a whole.

    Raises
    ------
    ConfigurationError
        If it is wrong already, would be then, or is laid out so that it cannot be changed.
    """
    parse_settings(draft.text, config_file)
    text = appended(draft.text, PEERS, written)
    parse_settings(text, config_file)
    return text


def without_peer(draft: Draft, config_file: Path, name: str) -> str:
    """Return config.yaml without one peer, proven to be right as a whole.

    Raises
    ------
    NoSuchPeerError
        If there is none of that name.
    ConfigurationError
        If it is wrong already, would be then, or is laid out so that it cannot be changed.
    """
    peers = parse_settings(draft.text, config_file).dicom_node.peers
    names = [peer.name for peer in peers]
    if name not in names:
        raise NoSuchPeerError(
            f"no peer is called {name}", remedy="`second-reader peer list` shows the names"
        )
    text = removed(draft.text, PEERS, names.index(name))
    parse_settings(text, config_file)
    return text


def _refuse_odd(caller: RefusedCaller) -> None:
    if caller.reason not in ALLOWABLE:
        raise UnallowableCallerError(
            f"it was refused because {caller.reason}", remedy=caller.remedy
        )
    if not caller.caller.calling_ae_title:
        raise UnallowableCallerError(
            "it was refused before it said who it is",
            remedy="Let it try again; if it is listed like this again, write its entry by hand",
        )
    if not _is_plain(caller):
        titles = f'"{caller.caller.calling_ae_title}" calling "{caller.caller.called_ae_title}"'
        raise UnallowableCallerError(
            f"its AE titles hold odd characters: {titles} (? stands for one that is not shown)",
            remedy="Set a plain AE title on the device; or, if it is called so, write its entry by "
            "hand",
        )


def _is_plain(caller: RefusedCaller) -> bool:
    titles = (caller.caller.calling_ae_title, caller.caller.called_ae_title)
    return all(map(_PLAIN_TITLE.fullmatch, titles))


def _network(caller: RefusedCaller, wish: Wish) -> Network:
    """Return what is to be allowed; it must hold the caller, and not everybody."""
    own = ip_network(caller.caller.address)
    network = wish.network or own
    if not _overlap((network,), (own,)):
        raise UnallowableCallerError(
            f"{network} does not hold {own.network_address}, which it came from",
            remedy="Leave --address out, or name a range that holds the address",
        )
    if network.prefixlen == 0:
        raise UnallowableCallerError(
            f"{network} is every address there is", remedy="Name the address of the device"
        )
    return network


def _refuse_known(
    written: dict[str, Any], node: NodeSettings, network: Network, wish: Wish
) -> None:
    called = written["called_ae_title"] or node.ae_title
    others = [peer for peer in node.peers if _overlap(peer.addresses, (network,))]
    for peer in others:
        if (peer.ae_title, node.called_ae_title_of(peer)) == (written["ae_title"], called):
            raise UnallowableCallerError(
                f"it cannot be told apart from the peer {peer.name}: the same AE titles, and an "
                "address in its range",
                remedy=f"It is {peer.name}, so nothing is to be allowed; or give it another title",
            )
    if any(peer.name == wish.name for peer in node.peers):
        raise UnallowableCallerError(
            f"a peer is called {wish.name} already",
            remedy=f"Give it another --name; or, if it is {wish.name} at a new address, add "
            f"{_shown(network)} to `addresses` of its entry in dicom_node.peers",
        )
    if others and not wish.shares_address:
        raise UnallowableCallerError(
            f"{_shown(network)} is in the range of {_named(others)}; anybody there could then use "
            "either title",
            remedy="Give --shared-address as well, if both are on the same machine",
        )


def _named(peers: Sequence[PeerSettings]) -> str:
    return ", ".join(f"{peer.name} ({', '.join(map(_shown, peer.addresses))})" for peer in peers)


def _overlap(ours: Sequence[Network], theirs: Sequence[Network]) -> bool:
    return any(a.version == b.version and a.overlaps(b) for a in ours for b in theirs)


def _shown(network: Network) -> str:
    """Return one address without its length."""
    is_one = network.prefixlen == network.max_prefixlen
    return str(network.network_address if is_one else network)
