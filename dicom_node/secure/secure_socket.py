"""The socket under an association over TLS.

A TLS library reads whole records ahead of what it is asked for, so that a descriptor with nothing
to read can still have something to say, and one with something to read may have nothing for us.
Hence this socket never blocks: it asks the library first, and waits for the descriptor only after
that has said what it waits for.
"""

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from pynetdicom.association import Association
from pynetdicom.transport import AddressInformation

from dicom_node.certificates import CertificateIdentity
from dicom_node.secure.handshake import Fault, HandshakeError, fault_of, shake_hands, wait_for
from dicom_node.wire.prompt_socket import PromptSocket

_RECORD_BYTES = 16 * 1024
"""So much is read to see whether there is anything: what one record holds (RFC 8446 5.1)."""
_DRAIN_BYTES = 64 * 1024
_NO_FAULT = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


@dataclass(frozen=True)
class SecureCall:
    """How somebody is called over TLS."""

    context: ssl.SSLContext
    host: str
    certificates: tuple[str, ...]
    """Who may answer; empty leaves it to the context, which then checks the host's name."""
    timeout_s: float

    def expect(self, shown: CertificateIdentity) -> None:
        """Raise a `HandshakeError` if the certificate is not one that may answer."""
        if self.certificates and not shown.is_one_of(self.certificates):
            raise HandshakeError(Fault.WRONG_NAME, f"the certificate is SHA256:{shown.fingerprint}")


class SecureSocket(PromptSocket):
    """A socket over TLS with deadlines; one thread reads and writes, any may `cut` it."""

    def __init__(
        self,
        assoc: Association,
        pdu_timeout_s: float,
        *,
        client_socket: socket.socket | None = None,
        address: AddressInformation | None = None,
        call: SecureCall | None = None,
    ) -> None:
        self.socket: socket.socket | None
        super().__init__(assoc, pdu_timeout_s, client_socket=client_socket, address=address)
        self._call = call
        self._ahead = bytearray()
        self._is_over = False
        self._lock = threading.Lock()
        self._is_goodbye_said = False
        self.fault: HandshakeError | None = None
        """Why TLS failed, if it did; with TLS 1.3 a refusal may come after our handshake."""

    def accept(self, context: ssl.SSLContext, deadline: float) -> CertificateIdentity:
        """Secure the connection that somebody opened to us, and return who that is.

        Raises
        ------
        HandshakeError
            If it fails.
        """
        return self._secure(lambda plain: _wrapped(context, plain, is_server=True), deadline)

    def connect(self, primitive: Any) -> None:  # noqa: ANN401 - untyped library
        """Connect and secure the connection, as requestor."""
        super().connect(primitive)
        call = self._call
        if call is None or self.socket is None:
            return
        try:
            shown = self._secure(
                lambda plain: _wrapped(call.context, plain, host=call.host),
                time.monotonic() + call.timeout_s,
            )
            call.expect(shown)
        except HandshakeError as error:
            self.fault = error
            self._shutdown_socket()
            self.socket = None
            self._is_connected = False
            primitive.result = "Evt17"  # not connected, after all; nobody has looked yet

    def _secure(
        self, wrap: Callable[[socket.socket], ssl.SSLSocket], deadline: float
    ) -> CertificateIdentity:
        if self.socket is None:
            raise HandshakeError(Fault.HUNG_UP, "the connection ended before the handshake")
        try:
            secured = self.socket = wrap(self.socket)
        except OSError as error:
            raise fault_of(error) from None
        return shake_hands(secured, deadline)

    @property
    def ready(self) -> bool:
        """Whether there is something to read, be it the end."""
        connection = self.socket
        if connection is None or not self._is_connected:
            return False
        if connection.fileno() < 0:
            self.event_queue.put("Evt17")
            return False
        return bool(self._ahead) or self._is_over or self._look(connection)

    def _look(self, connection: socket.socket) -> bool:
        try:
            self._ahead += connection.recv(_RECORD_BYTES)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError as error:
            self._note(error)
        self._is_over = not self._ahead
        return True

    def _recv_into(self, target: memoryview, deadline: float) -> int:
        taken = min(len(target), len(self._ahead))
        if taken:
            target[:taken] = self._ahead[:taken]
            del self._ahead[:taken]
            return taken
        connection = self.socket
        if connection is None or self._is_over:
            return 0
        try:
            return _patiently(partial(connection.recv_into, target), connection, deadline)
        except OSError as error:
            self._note(error)
            raise

    def drain(self) -> bool:
        """Throw away what has arrived; False at the end of the stream."""
        self._ahead.clear()
        return bool(self.socket is not None and self.socket.recv(_DRAIN_BYTES))

    def send(self, bytestream: bytes) -> None:
        """Send all of it, or report the connection as lost."""
        rest = memoryview(bytestream)
        deadline = time.monotonic() + self._pdu_timeout_s
        connection = self.socket
        if connection is None:
            return
        try:
            while rest:
                rest = rest[_patiently(partial(connection.send, rest), connection, deadline) :]
            self._acknowledge_at_once()
        except OSError as error:
            self._note(error)
            self._hear_last_word(connection)
            self.event_queue.put("Evt17")

    def _hear_last_word(self, connection: socket.socket) -> None:
        """Read why the other side hung up on us while we were about to speak (RFC 8446 4.4.2.4)."""
        try:
            connection.recv(_RECORD_BYTES)
        except OSError as error:
            self._note(error)

    def cut(self) -> None:
        """End the connection from another thread: the reader sees its end and does the rest."""
        connection = self.socket
        if connection is not None:
            with suppress(OSError):
                # SSLSocket's own would forget the encryption under the reader's hands.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _shutdown_socket(self) -> None:
        connection = self.socket
        with self._lock:
            is_first, self._is_goodbye_said = not self._is_goodbye_said, True
        if is_first and isinstance(connection, ssl.SSLSocket):
            with suppress(OSError, ValueError):
                connection.unwrap()  # says that we are done; never waits for the answer
        super()._shutdown_socket()

    def _note(self, error: OSError) -> None:
        if isinstance(error, ssl.SSLError) and not isinstance(error, _NO_FAULT):
            self.fault = fault_of(error)


def _wrapped(
    context: ssl.SSLContext, plain: socket.socket, *, is_server: bool = False, host: str = ""
) -> ssl.SSLSocket:
    return context.wrap_socket(
        plain,
        server_side=is_server,
        do_handshake_on_connect=False,
        server_hostname=host or None,
    )


def _patiently(action: Callable[[], int], connection: socket.socket, deadline: float) -> int:
    while True:
        try:
            return action()
        except ssl.SSLWantReadError:
            wait_for(connection, select.POLLIN, deadline)
        except ssl.SSLWantWriteError:
            wait_for(connection, select.POLLOUT, deadline)
