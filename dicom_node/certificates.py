"""What a certificate says of its owner, in the words in which config.yaml binds it to a peer.

A certificate counts here only after the TLS handshake has verified it; then each of its names is
as good as the authority that signed it.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

ANY = "ANY"
"""Binds every certificate of the authority: AE title and address tell peers apart then."""

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class CertificateIdentity:
    """Whom a verified certificate names."""

    fingerprint: str
    """SHA-256 of the whole certificate, in hexadecimal."""
    names: tuple[str, ...] = ()
    """Subject alternative names and common names, such as `DNS:ct1.example` and `CN:CT1`."""

    def is_one_of(self, bindings: Iterable[str]) -> bool:
        """Whether one of the bindings of a peer means this certificate."""
        own = {ANY, f"SHA256:{self.fingerprint}", *self.names}
        return any(binding in own for binding in bindings)


def binding(text: str) -> str:
    """Return a binding in the one form in which it is compared.

    Raises
    ------
    ValueError
        If it is none.
    """
    kind, _, value = text.strip().partition(":")
    kind, value = kind.strip().upper(), value.strip()
    if kind == ANY and not value:
        return ANY
    if kind not in _CANONICAL or not value:
        raise ValueError(
            "a certificate is named by SHA256: and its fingerprint, by DNS:, IP:, URI: or EMAIL: "
            "and a subject alternative name, by CN: and its common name, or by ANY"
        )
    return f"{kind}:{_CANONICAL[kind](value)}"


def identity(encoded: bytes, decoded: Mapping[str, Any]) -> CertificateIdentity:
    """Return whom a certificate names, given in DER and as `ssl.SSLSocket.getpeercert` reads it."""
    names = [
        f"{_KINDS[kind]}:{_CANONICAL[_KINDS[kind]](value)}"
        for kind, value in decoded.get("subjectAltName", ())
        if kind in _KINDS
    ]
    names += [
        f"CN:{value}"
        for part in decoded.get("subject", ())
        for key, value in part
        if key == "commonName"
    ]
    return CertificateIdentity(hashlib.sha256(encoded).hexdigest(), tuple(names))


def _fingerprint(value: str) -> str:
    plain = value.replace(":", "").lower()
    if not _FINGERPRINT.fullmatch(plain):
        raise ValueError("a SHA-256 fingerprint has 64 hexadecimal digits")
    return plain


def _address(value: str) -> str:
    return str(ip_address(value))


_CANONICAL: Mapping[str, Callable[[str], str]] = {
    "SHA256": _fingerprint,
    "DNS": str.lower,
    "IP": _address,
    "URI": str,
    "EMAIL": str,
    "CN": str,
}
_KINDS = {"DNS": "DNS", "IP Address": "IP", "URI": "URI", "email": "EMAIL"}
"""How the ssl module calls what we compare."""
