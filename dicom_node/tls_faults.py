"""What a failed TLS handshake means: to us who called a peer, and of somebody who called us."""

from dicom_node.errors import TlsError
from dicom_node.handshake import Fault, HandshakeError

_INSECURE: dict[Fault, tuple[str, str]] = {
    Fault.SILENT: ("said nothing in the TLS handshake", "Check that the port speaks TLS"),
    Fault.HUNG_UP: ("hung up in the TLS handshake", "Check that the port speaks TLS"),
    Fault.NOT_TLS: ("does not speak TLS there", "Correct the port, or call it without TLS"),
    Fault.VERSION: ("speaks no TLS version of ours", "Let it speak TLS 1.2 or 1.3, see `profile`"),
    Fault.SUITE: ("has no cipher suite of ours", "Let it offer ECDHE with AES-GCM"),
    Fault.EXPIRED: ("has a certificate that is not valid now", "Let it renew its certificate"),
    Fault.REVOKED: ("has a certificate that was revoked", "Let it renew its certificate"),
    Fault.NO_LIST: (
        "has a certificate for which `crl_file` has no valid list",
        "Renew the file with the list of its authority",
    ),
    Fault.UNTRUSTED: (
        "has a certificate of an authority that is not in `ca_file`",
        "Add the authority, if you trust it",
    ),
    Fault.WRONG_NAME: (
        "has a certificate of somebody else",
        "Name what it has in `certificates` of the tls section, if it is the right one",
    ),
    Fault.DECLINED: (
        "does not accept our certificate",
        "Let it trust the authority of `certificate_file`, or give us a certificate of its own",
    ),
}
"""What somebody we call did, and what can be done."""


def insecure(fault: HandshakeError, whom: str) -> TlsError:
    """Return the error for somebody whom we called over TLS in vain."""
    what, remedy = _INSECURE.get(
        fault.fault, ("broke the TLS connection", "Look into the log of the peer")
    )
    return TlsError(f"{whom} {what} ({fault.words})", remedy=remedy)
