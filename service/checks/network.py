"""Who reaches us and whom we reach: ports, peers, destinations."""

import errno
import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from ipaddress import ip_address

from dicom_node.association import Destination, echo
from dicom_node.errors import AssociationRejectedError, PeerError
from dicom_node.settings import NodeSettings
from service.checks.addresses import cannot_listen, listen_error, reachable
from service.checks.report import Check, Fault, warn
from service.checks.scene import Scene
from service.settings import DestinationSettings

_ASKER = "SR_DOCTOR"


def _dicom_port(scene: Scene) -> Iterator[Fault]:
    node = scene.ours.settings.dicom_node
    if node.port is None:
        return
    refused = listen_error(node.host, node.port)
    if refused is None:
        return
    if refused != errno.EADDRINUSE:
        yield cannot_listen("dicom_node", node.host, node.port, refused)
        return
    try:
        echo(_ourselves(node, node.port, scene.limits.echo_s))
    except AssociationRejectedError:
        return  # a DICOM node that does not know us as a peer: ours, if none on loopback is named
    except PeerError:
        yield Fault(
            f"port {node.port} is taken by something that does not answer as a DICOM node",
            "End that program, or set another `dicom_node.port`",
        )


def _api_port(scene: Scene) -> Iterator[Fault]:
    api = scene.ours.settings.api
    refused = listen_error(api.host, api.port)
    if refused is None:
        return
    if refused != errno.EADDRINUSE:
        yield cannot_listen("api", api.host, api.port, refused)
        return
    scheme = "https" if api.has_tls else "http"
    if not _is_alive(f"{scheme}://{reachable(api.host)}:{api.port}/livez", scene.limits.echo_s):
        yield Fault(
            f"port {api.port} is taken by something that does not answer /livez as we do",
            "End that program, or set another `api.port`",
        )


def _peers(scene: Scene) -> Iterator[Fault]:
    peers = scene.ours.settings.dicom_node.peers
    if not peers:
        yield warn(
            "no peer is named, so nobody may send",
            "Name each modality and PACS under `dicom_node.peers`",
        )
    for peer in peers:
        if any(network.prefixlen == 0 for network in peer.addresses):
            yield warn(
                f"peer {peer.name} may come from any address",
                "Name its address: AE titles alone prove nothing",
            )


def _destinations(scene: Scene) -> Iterator[Fault]:
    settings = scene.ours.settings
    for one in settings.delivery.destinations:
        if _is_ourselves(one, settings.dicom_node):
            yield Fault(
                f"destination {one.name} is this service itself: results would come in as studies",
                "Name the PACS that shall keep them",
            )
            continue
        called = Destination(
            one.name,
            one.host,
            one.port,
            one.called_ae_title,
            one.calling_ae_title or settings.dicom_node.ae_title,
            timeout_s=scene.limits.echo_s,
            connect_timeout_s=scene.limits.echo_s,
            tls=one.tls.resolved(scene.ours.folder) if one.tls else None,
        )
        try:
            echo(called)
        except PeerError as error:
            yield Fault(error.message, error.remedy or f"Ask who runs {one.name}")


def _ourselves(node: NodeSettings, port: int, timeout_s: float) -> Destination:
    """Return our own node, called as a peer on this machine would, if one is named."""
    host = reachable(node.host)
    here = ip_address(host) if _is_address(host) else None
    titles = [
        (node.called_ae_title_of(peer), peer.ae_title)
        for peer in node.peers
        if here is not None
        and any(here in network for network in peer.addresses)
        and not peer.certificates
    ]
    called, calling = titles[0] if titles else (node.ae_title, _ASKER)
    return Destination(
        "this service",
        host,
        port,
        called,
        calling,
        timeout_s=timeout_s,
        connect_timeout_s=timeout_s,
    )


def _is_ourselves(one: DestinationSettings, node: NodeSettings) -> bool:
    if one.port not in {node.port, node.tls.port if node.tls else None}:
        return False
    try:
        found = socket.getaddrinfo(one.host, one.port, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return any(_is_local(str(address[0])) for *_, address in found)


def _is_local(address: str) -> bool:
    """Whether the address is one of this machine's: only those can be bound."""
    return listen_error(address, 0) is None


def _is_alive(url: str, timeout_s: float) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the question is only whether it is us
    try:
        with urllib.request.urlopen(url, timeout=timeout_s, context=context) as answer:  # noqa: S310
            return bool(json.loads(answer.read(4096)) == {"status": "alive"})
    except (OSError, ValueError, urllib.error.URLError):
        return False


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


CHECKS = (
    Check(
        "DICOM port",
        "Nothing can be received while another program has the port.",
        _dicom_port,
        "the port is free, or answered by a DICOM node",
    ),
    Check(
        "REST port",
        "Nothing can be asked while another program has the port.",
        _api_port,
        "the port is free, or answered by this service",
    ),
    Check(
        "peers",
        "Only peers that are named may send; one that may come from anywhere proves nothing.",
        _peers,
        "every peer is known by its address",
    ),
    Check(
        "destinations",
        "Results for a destination that is away wait, and a loop would never end.",
        _destinations,
        "every destination answers C-ECHO, and none is this service",
    ),
)
