"""The TLS handshake, in both roles: within a deadline, and with a plain word when it fails."""

import select
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto

from dicom_node.certificates import CertificateIdentity, identity

_LAST_WORD_S = 1.0
_LAST_BYTES = 64 * 1024


class Fault(Enum):
    """Why a handshake failed, or what was said right after it."""

    SILENT = auto()
    """The time was over."""
    HUNG_UP = auto()
    NOT_TLS = auto()
    VERSION = auto()
    SUITE = auto()
    NO_CERTIFICATE = auto()
    EXPIRED = auto()
    """Not valid any more, or not yet."""
    REVOKED = auto()
    NO_LIST = auto()
    """There is no valid revocation list to look it up in."""
    UNTRUSTED = auto()
    WRONG_NAME = auto()
    DECLINED = auto()
    """The other side does not want our certificate."""
    OTHER = auto()


class HandshakeError(Exception):
    """A handshake failed; `words` says how, without anything that the other side chose."""

    def __init__(self, fault: Fault, words: str) -> None:
        super().__init__(words)
        self.fault = fault
        self.words = words


_BY_REASON = {
    "WRONG_VERSION_NUMBER": Fault.NOT_TLS,
    "HTTP_REQUEST": Fault.NOT_TLS,
    "HTTPS_PROXY_REQUEST": Fault.NOT_TLS,
    "UNSUPPORTED_PROTOCOL": Fault.VERSION,
    "VERSION_TOO_LOW": Fault.VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": Fault.VERSION,
    "NO_SHARED_CIPHER": Fault.SUITE,
    "NO_SUITABLE_KEY_SHARE": Fault.SUITE,
    "NO_SUITABLE_SIGNATURE_ALGORITHM": Fault.SUITE,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": Fault.SUITE,
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": Fault.SUITE,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": Fault.NO_CERTIFICATE,
    "SSLV3_ALERT_BAD_CERTIFICATE": Fault.DECLINED,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": Fault.DECLINED,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": Fault.DECLINED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": Fault.DECLINED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": Fault.DECLINED,
    "TLSV1_ALERT_UNKNOWN_CA": Fault.DECLINED,
    "TLSV1_ALERT_ACCESS_DENIED": Fault.DECLINED,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": Fault.DECLINED,
}
"""By the reason codes of OpenSSL; TLSV1_ALERT and the like are what the other side said."""

_BY_VERIFICATION = {
    3: Fault.NO_LIST,
    9: Fault.EXPIRED,
    10: Fault.EXPIRED,
    11: Fault.NO_LIST,
    12: Fault.NO_LIST,
    23: Fault.REVOKED,
    62: Fault.WRONG_NAME,
    63: Fault.WRONG_NAME,
    64: Fault.WRONG_NAME,
}
"""By the verification results of OpenSSL; all others mean a certificate that is not trusted."""


def shake_hands(connection: ssl.SSLSocket, deadline: float) -> CertificateIdentity:
    """Finish the handshake by `deadline` (monotonic) and return whose certificate was shown.

    The connection does not block afterwards.

    Raises
    ------
    HandshakeError
        If it fails; the other side was told why, as far as TLS has words for it.
    """
    connection.setblocking(False)
    try:
        _until(connection, connection.do_handshake, deadline)
    except OSError as error:
        _let_hear(connection)
        raise fault_of(error) from None
    encoded = connection.getpeercert(binary_form=True)
    decoded = connection.getpeercert()
    if encoded is None or decoded is None:
        raise HandshakeError(Fault.NO_CERTIFICATE, "no certificate was shown")
    return identity(encoded, decoded)


def fault_of(error: OSError) -> HandshakeError:
    """Say what an error of the TLS library means."""
    if isinstance(error, TimeoutError):
        return HandshakeError(Fault.SILENT, "the handshake took too long")
    if isinstance(error, ssl.SSLCertVerificationError):
        fault = _BY_VERIFICATION.get(error.verify_code, Fault.UNTRUSTED)
        return HandshakeError(fault, error.verify_message.rstrip("."))
    if isinstance(error, ssl.SSLEOFError) or not isinstance(error, ssl.SSLError):
        return HandshakeError(Fault.HUNG_UP, "the connection ended in the handshake")
    reason = error.reason or ""
    words = reason.partition("_ALERT_")[2] or reason or "no reason was given"
    return HandshakeError(_BY_REASON.get(reason, Fault.OTHER), words.lower().replace("_", " "))


def _until(connection: ssl.SSLSocket, action: Callable[[], None], deadline: float) -> None:
    while True:
        try:
            action()
        except ssl.SSLWantReadError:
            wait_for(connection, select.POLLIN, deadline)
        except ssl.SSLWantWriteError:
            wait_for(connection, select.POLLOUT, deadline)
        else:
            return


def wait_for(connection: socket.socket, event: int, deadline: float) -> None:
    """Return once the connection can be read or written; TimeoutError at the deadline."""
    left = deadline - time.monotonic()
    poll = select.poll()
    poll.register(connection, event)
    if left <= 0 or not poll.poll(left * 1000):
        raise TimeoutError


def _let_hear(connection: ssl.SSLSocket) -> None:
    """Let the alert arrive: with bytes unread, the kernel would end the connection before it."""
    deadline = time.monotonic() + _LAST_WORD_S
    left = _LAST_BYTES
    with suppress(OSError):
        # The methods of SSLSocket itself would take the bytes for a conversation that goes on.
        socket.socket.shutdown(connection, socket.SHUT_WR)
        while left > 0:
            wait_for(connection, select.POLLIN, deadline)
            taken = len(socket.socket.recv(connection, left))
            if taken == 0:
                return
            left -= taken
