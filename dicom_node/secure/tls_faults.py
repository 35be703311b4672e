"""What a failed TLS handshake means: to us who called a peer, and of somebody who called us."""

from dicom_node.errors import TlsError
from dicom_node.ports import Refusal, RefusalReason
from dicom_node.secure.handshake import Fault, HandshakeError

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


_UNTRUSTED: dict[Fault, tuple[RefusalReason, str]] = {
    Fault.NOT_TLS: (RefusalReason.NOT_TLS, "Keep other protocols off dicom_node.tls.port"),
    Fault.VERSION: (
        RefusalReason.WEAK_TLS,
        "Let it speak TLS 1.3 or 1.2; dicom_node.tls.profile says which is allowed",
    ),
    Fault.SUITE: (
        RefusalReason.WEAK_TLS,
        "Let it offer ECDHE with AES-GCM; dicom_node.tls.profile says what is allowed",
    ),
    Fault.NO_CERTIFICATE: (
        RefusalReason.NO_CERTIFICATE,
        "Give it a certificate that an authority in dicom_node.tls.ca_file signed",
    ),
    Fault.EXPIRED: (
        RefusalReason.EXPIRED_CERTIFICATE,
        "Renew it with an authority in dicom_node.tls.ca_file, and see that the clocks are right",
    ),
    Fault.REVOKED: (
        RefusalReason.REVOKED_CERTIFICATE,
        "It is on the list in dicom_node.tls.crl_file: let the peer get another",
    ),
    Fault.NO_LIST: (
        RefusalReason.UNTRUSTED_CERTIFICATE,
        "dicom_node.tls.crl_file has no valid list of its authority: renew the file",
    ),
    Fault.UNTRUSTED: (
        RefusalReason.UNTRUSTED_CERTIFICATE,
        "Add its authority to dicom_node.tls.ca_file, if you trust it",
    ),
    Fault.DECLINED: (
        RefusalReason.TLS_FAILED,
        "It does not accept our certificate: let it trust the authority that signed "
        "dicom_node.tls.certificate_file",
    ),
}
"""What somebody did who called us, and what can be done."""


def untrusted(fault: HandshakeError, address: str) -> Refusal:
    """Return the refusal of somebody who called us over TLS in vain; he could not name himself."""
    reason, remedy = _UNTRUSTED.get(
        fault.fault,
        (RefusalReason.TLS_FAILED, "See that it speaks TLS, to dicom_node.tls.port alone"),
    )
    return Refusal(
        reason=reason,
        address=address,
        calling_ae_title="",
        called_ae_title="",
        remedy=f"{remedy} ({fault.words})",
    )
