"""Serve the application over HTTP with uvicorn, in this process, until told to stop."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.border import MAX_HEAD_BYTES
from api.settings import ApiSettings
from core.errors import ConfigurationError

log = logging.getLogger(__name__)

_BACKLOG = 256
_MAX_HEAD_BYTES = 2 * MAX_HEAD_BYTES
"""Of a head that is still arriving: what the parser holds at most. The border is exact."""


class ApiServer:
    """One HTTP listener, bound when it is made, so that a taken port is known before all else.

    Raises
    ------
    ConfigurationError
        If the address cannot be listened on, or certificate and key are not a pair.
    """

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        tls = _tls_context(settings)
        self._server = _Server(
            uvicorn.Config(
                app,
                loop="asyncio",
                http=bounded_protocol(settings.header_timeout_s, settings.max_connections),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,  # an address holds UIDs; the border writes its own line
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=settings.keep_alive_s,
                timeout_graceful_shutdown=settings.graceful_stop_s,
                ssl_context_factory=(lambda _config, _default: tls) if tls else None,
                h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
            )
        )
        self._socket = bound_socket(settings)

    @property
    def port(self) -> int:
        """The port we listen on, also where the settings leave it open."""
        port: int = self._socket.getsockname()[1]
        return port

    def run(self) -> None:
        """Serve until `stop`; requests in work are finished first. Signals are the caller's."""
        log.info("api listens on port %d", self.port)
        self._server.run(sockets=[self._socket])

    def close(self) -> None:
        """Let the port go without having served."""
        self._socket.close()

    def stop(self) -> None:
        """Make `run` finish and return; may be called from a signal handler or any thread."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: uvicorn would end the process with the signal it caught."""
        yield


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 with a limit of connections, and a deadline for each request head.

    Without it, a client that connects and says nothing, or a byte now and then, keeps its
    connection for ever. What still comes of a body after its answer falls under it too.
    """

    head_timeout_s: float
    max_connections: int
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head, or hang up where there is no room."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.abort()
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take what came, and stop waiting if it ended a head."""
        self._await_head()
        super().data_received(data)
        if self._is_answering():
            self._end_wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._end_wait()
        super().connection_lost(exc)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        if self._deadline is None and not self._is_answering():
            self._deadline = self.loop.call_later(self.head_timeout_s, self.transport.abort)

    def _end_wait(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def bounded_protocol(timeout_s: float, connections: int) -> type[BoundedProtocol]:
    """Return the protocol with its limits; uvicorn makes one object of it per connection."""

    class Bounded(BoundedProtocol):
        head_timeout_s = timeout_s
        max_connections = connections

    return Bounded


def bound_socket(settings: ApiSettings) -> socket.socket:
    """Return the listening socket, or say which setting to change."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server(
            (settings.host, settings.port), family=family, backlog=_BACKLOG
        )
    except OSError as error:
        raise ConfigurationError(
            f"the api cannot listen on {settings.host} port {settings.port}: {error.strerror}",
            remedy="Free the port, or change api.host or api.port",
        ) from error
    # Connections inherit it. asyncio would set it, but not on a socket made without its protocol
    # number, as these are; each answer then waits some 40 ms for the client's acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _tls_context(settings: ApiSettings) -> ssl.SSLContext | None:
    if settings.tls_certificate_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file, lambda: "")
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"certificate and key of the api cannot be used: {error.strerror or error}",
            remedy="Check api.tls_certificate_file and api.tls_key_file: PEM, and a pair",
        ) from error
    return context
