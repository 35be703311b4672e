"""DICOM over TLS: files that are there, fit together and are good for a while, and the port."""

import errno
import socket
import time
from collections.abc import Iterator

from dicom_node.secure.handshake import Fault as TlsFault
from dicom_node.secure.handshake import HandshakeError, shake_hands
from dicom_node.secure.tls import TlsFileError, calling_context, listening_context
from dicom_node.secure.tls_files import Expiry, chain_fault, expiries, fingerprint
from dicom_node.settings import NodeSettings, TlsCallSettings, TlsListenerSettings, TlsSettings
from service.checks.addresses import cannot_listen, listen_error, reachable
from service.checks.report import Check, Fault, warn
from service.checks.scene import Scene


def _files(scene: Scene) -> Iterator[Fault]:
    for name, tls in _sections(scene):
        try:
            yield from _faults_of(scene, name, tls)
        except TlsFileError as error:
            yield Fault(f"{name}: {error.message}", error.remedy)


def _sections(scene: Scene) -> Iterator[tuple[str, TlsSettings]]:
    settings, folder = scene.ours.settings, scene.ours.folder
    if settings.dicom_node.tls is not None:
        yield "dicom_node.tls", settings.dicom_node.tls.resolved(folder)
    for one in settings.delivery.destinations:
        if one.tls is not None:
            yield f"tls of the destination {one.name}", one.tls.resolved(folder)


def _faults_of(scene: Scene, name: str, tls: TlsSettings) -> Iterator[Fault]:
    if isinstance(tls, TlsCallSettings):
        calling_context(tls)
    else:
        listening_context(tls)
    is_late = False
    for one in expiries(tls):
        fault = _lateness(scene, name, one)
        if fault is not None:
            is_late = is_late or not fault.is_warning
            yield fault
    broken = None if is_late else chain_fault(tls)
    if broken is not None:
        yield warn(
            f"{name}: no authority in {tls.ca_file} vouches for {tls.certificate_file} ({broken})",
            "Add the certificates between ours and the authority's to certificate_file; it is "
            "right so only if the peers know another authority than we do",
        )


def _lateness(scene: Scene, name: str, one: Expiry) -> Fault | None:
    left = one.at - scene.clock()
    what = f"{name}: {one.what} in {one.file}"
    remedy = "Renew it; the new file is taken up without a restart"
    if left.total_seconds() <= 0:
        return Fault(f"{what} has expired {-left.days - 1} days ago", remedy)
    limits = scene.limits
    soon = limits.list_time if one.what == "the revocation list" else limits.certificate_time
    return warn(f"{what} expires in {left.days} days", remedy) if left < soon else None


def _port(scene: Scene) -> Iterator[Fault]:
    node = scene.ours.settings.dicom_node
    if node.tls is None:
        return
    if not any(peer.certificates for peer in node.peers):
        yield warn(
            "no peer has `certificates`, so nobody may come in over TLS",
            "Name the certificates of each peer in dicom_node.peers",
        )
    refused = listen_error(node.host, node.tls.port)
    if refused == errno.EADDRINUSE:
        yield from _who_is_there(scene, node, node.tls.resolved(scene.ours.folder))
    elif refused is not None:
        yield cannot_listen("dicom_node.tls", node.host, node.tls.port, refused)


def _who_is_there(scene: Scene, node: NodeSettings, tls: TlsListenerSettings) -> Iterator[Fault]:
    """See whether who has the port shows our certificate."""
    try:
        shown = _shown(reachable(node.host), tls, scene.limits.echo_s)
    except TlsFileError:
        return  # the other check tells of it
    except HandshakeError as error:
        # Our own may not be one that a caller could show; who says so has our authorities.
        shown = fingerprint(tls) if error.fault is TlsFault.DECLINED else ""
    except OSError:
        shown = ""
    if shown != fingerprint(tls):
        yield Fault(
            f"port {tls.port} is taken by something that does not show our certificate",
            "End that program, or set another `dicom_node.tls.port`",
        )


def _shown(host: str, tls: TlsListenerSettings, seconds: float) -> str:
    """Return the fingerprint of the certificate that is shown at the port."""
    call = TlsCallSettings.model_validate(
        {**tls.model_dump(exclude={"port"}), "certificates": ("ANY",)}
    )
    context = calling_context(call)
    with (
        socket.create_connection((host, tls.port), timeout=seconds) as plain,
        context.wrap_socket(plain, do_handshake_on_connect=False) as secured,
    ):
        return shake_hands(secured, time.monotonic() + seconds).fingerprint


CHECKS = (
    Check(
        "DICOM TLS files",
        "Without a certificate that counts no peer comes in over TLS, and no result goes out.",
        _files,
        "certificates, keys and lists fit together and are good for a while, or none is needed",
    ),
    Check(
        "DICOM TLS port",
        "Nothing can be received over TLS while another program has the port.",
        _port,
        "the port is free, or answered by this service, or TLS is not switched on",
    ),
)
