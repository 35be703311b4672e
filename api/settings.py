"""The `api:` section of config.yaml."""

import ipaddress
from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, PositiveFloat, PositiveInt, model_validator

MIB = 1024 * 1024


class ApiSettings(BaseModel, frozen=True, extra="forbid"):
    """The `api:` section of config.yaml."""

    host: str = "127.0.0.1"
    """Address to listen on; loopback by default, so that nothing is open unasked."""
    port: int = Field(default=8080, ge=0, le=65535)
    """TCP port; 0 takes any free one, which tests want."""
    tls_certificate_file: Path | None = None
    """Certificate chain (PEM); with it only TLS 1.3 is spoken."""
    tls_key_file: Path | None = None
    """Private key of the certificate (PEM), readable by the service alone."""
    allow_plain_http: bool = False
    """Listen beyond loopback without TLS: only where a proxy on the same machine or in the same pod
    speaks TLS, because API keys and identities cross this wire."""
    max_body_bytes: PositiveInt = 64 * MIB
    """Largest request body as sent (base64 counts as sent); bigger objects belong to C-STORE."""
    max_buffered_bytes: PositiveInt = 256 * MIB
    """All bodies in memory together; beyond it requests are told to come again later."""
    max_concurrent: PositiveInt = 64
    """Requests in work at once; beyond it they are told to come again later."""
    requests_per_minute: PositiveInt = 6000
    """How often one address, and one API key, may ask; then the answer is 429 with Retry-After. A
    minute's worth may come at once. Raise it where many callers come through one proxy. Each api
    process counts for itself; `/livez`, `/readyz` and `/metrics` do not count."""
    max_concurrent_detections: PositiveInt = 4
    """Detections in work at once; others wait for their turn within their time limit."""
    max_connections: PositiveInt = 512
    """Open connections, idle ones included, so that idle clients cannot use up file descriptors."""
    header_timeout_s: PositiveFloat = 10.0
    """From connecting to the end of the request head; then the connection is closed."""
    body_timeout_s: PositiveFloat = 30.0
    """From the end of the head to the end of the body; a sender that trickles is cut off."""
    request_timeout_s: PositiveFloat = 10.0
    """How long a look-up may take before the answer is 503."""
    detection_timeout_s: PositiveFloat = 30.0
    """How long a detection may take, its wait for a turn included, before the answer is 503."""
    keep_alive_s: PositiveInt = 15
    """How long an idle connection is kept for the next request."""
    retry_after_s: PositiveInt = 5
    """What Retry-After says when something is unavailable."""
    graceful_stop_s: PositiveInt = 15
    """How long requests in work may take to finish once we are told to stop."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_certificate_file and tls_key_file belong together")
        if not (self.has_tls or self.allow_plain_http or _is_loopback(self.host)):
            raise ValueError(
                f"host {self.host} is reached from other machines: set tls_certificate_file and "
                "tls_key_file, or allow_plain_http if a proxy in front of it speaks TLS"
            )
        if self.max_buffered_bytes < self.max_body_bytes:
            raise ValueError("max_buffered_bytes must hold at least one body of max_body_bytes")
        return self

    @property
    def has_tls(self) -> bool:
        """Whether we speak TLS ourselves."""
        return self.tls_certificate_file is not None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
