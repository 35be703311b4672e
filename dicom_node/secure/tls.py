"""From settings to what the TLS library wants: versions, cipher suites, files.

Both sides always show a certificate. Nothing is renegotiated or compressed. A session of TLS 1.2
that a caller resumes is one that was verified a few minutes ago by the files that still are there.

Source: PS3.15 B.12; RFC 9325 (BCP 195)
"""

import logging
import ssl
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

from core.errors import ConfigurationError
from dicom_node.settings import TlsCallSettings, TlsProfile, TlsSettings

log = logging.getLogger(__name__)

TLS12_SUITES = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)
"""Forward secret and authenticated; none with DHE, CBC or static RSA. Source: RFC 9325 4.2."""
TLS13_SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""Those of RFC 8446 9.1, which the library offers by itself."""

_SECURITY_LEVEL = 2
"""Keys of 112 bits of security and more: RSA 2048, ECC 224 (and no curve below 256 is offered)."""
_OLDEST = {
    TlsProfile.BCP195: ssl.TLSVersion.TLSv1_2,
    TlsProfile.TLS13_ONLY: ssl.TLSVersion.TLSv1_3,
}


class TlsFileError(ConfigurationError):
    """A certificate, key or list is missing, unsafe or damaged, or does not belong together."""


def listening_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return what a handshake with somebody who called us goes by.

    Raises
    ------
    TlsFileError
        If a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    return _prepared(context, settings)


def calling_context(settings: TlsCallSettings) -> ssl.SSLContext:
    """Return what a handshake with somebody we call goes by.

    Raises
    ------
    TlsFileError
        If a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = not settings.certificates
    context.hostname_checks_common_name = False
    return _prepared(context, settings)


def _prepared(context: ssl.SSLContext, settings: TlsSettings) -> ssl.SSLContext:
    context.minimum_version = _OLDEST[settings.profile]
    context.set_ciphers(f"{':'.join(TLS12_SUITES)}:@SECLEVEL={_SECURITY_LEVEL}")
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    # Who is named in ca_file is believed, also an authority that another one signed.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    _load_own(context, settings)
    _load_authorities(context, settings.ca_file)
    if settings.crl_file is not None:
        _load_lists(context, settings.crl_file)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


def _load_own(context: ssl.SSLContext, settings: TlsSettings) -> None:
    certificate, key = settings.certificate_file, settings.key_file
    for file in (certificate, key):
        _see(file)
    fault = key_fault(key)
    if fault is not None:
        raise TlsFileError(fault, remedy=f"Run `chmod 600 {key}`")
    try:
        context.load_cert_chain(certificate, key, lambda: "")  # or OpenSSL would ask a terminal
    except ssl.SSLError as error:
        raise TlsFileError(
            f"certificate {certificate} and key {key} cannot be used ({_words(error)})",
            remedy="Both have to be PEM and belong together, the key without a passphrase; an RSA "
            "key needs 2048 bits",
        ) from None


def _load_authorities(context: ssl.SSLContext, file: Path) -> None:
    _see(file)
    try:
        context.load_verify_locations(file)
    except ssl.SSLError as error:
        raise TlsFileError(
            f"{file} holds no certificates that can be read ({_words(error)})",
            remedy="Name a PEM file with the certificates of the authorities",
        ) from None


def _load_lists(context: ssl.SSLContext, file: Path) -> None:
    _see(file)
    try:
        context.load_verify_locations(file)
    except ssl.SSLError as error:
        fault = f" ({_words(error)})"
    else:
        if context.cert_store_stats()["crl"]:
            return
        fault = ""
    raise TlsFileError(
        f"{file} holds no revocation list{fault}",
        remedy="Name a PEM file with the lists of the authorities, or remove crl_file",
    )


def key_fault(key_file: Path) -> str | None:
    """Say what is unsafe about a private key's file; None if nothing is."""
    mode = stat.S_IMODE(key_file.stat().st_mode)
    return f"{key_file} can be read by others (mode {mode:04o})" if mode & 0o077 else None


def _see(file: Path) -> None:
    try:
        with file.open("rb"):
            return
    except OSError as error:
        raise TlsFileError(
            f"{file} cannot be read ({error.strerror})",
            remedy="Correct the name in the tls section, or who may read the file",
        ) from None


def _words(error: ssl.SSLError) -> str:
    return (error.reason or type(error).__name__).lower().replace("_", " ")


Stamp = tuple[tuple[int, int, int], ...]

_CONTEXT_LIFE_S = 600.0
"""A context remembers sessions of TLS 1.2, whose certificates nobody looks at when they come again;
Python cannot forbid it that, so it is forgotten as a whole."""


class ListeningContext:
    """The context for the next connection, made anew now and then and when a file was replaced.

    New files that cannot be used are said once, and those of before stay in force.
    """

    def __init__(
        self,
        settings: TlsSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._context = listening_context(settings)
        self._made_at = clock()

    def get(self) -> ssl.SSLContext:
        """Return the context that is in force now."""
        with self._lock:
            stamp, now = self._look(), self._clock()
            is_old = now - self._made_at > _CONTEXT_LIFE_S
            if is_old or stamp != self._stamp:
                is_new, self._stamp, self._made_at = stamp != self._stamp, stamp, now
                self._renew(is_new=is_new)
            return self._context

    def _renew(self, *, is_new: bool) -> None:
        try:
            self._context = listening_context(self._settings)
        except TlsFileError as error:
            log.error(  # noqa: TRY400 - no bug of ours
                "the files of dicom_node.tls cannot be used now; those of before stay in force: %s",
                error,
            )
            return
        if is_new:
            log.info("the files of dicom_node.tls were replaced and are in force")

    def _look(self) -> Stamp:
        settings = self._settings
        files = (settings.certificate_file, settings.key_file, settings.ca_file, settings.crl_file)
        return tuple(_stamp(file) for file in files if file is not None)


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        seen = file.stat()
    except OSError:
        return (0, 0, 0)
    return (seen.st_mtime_ns, seen.st_ino, seen.st_size)
