"""What is in the files of a tls section: how long they are good, and whether they fit together."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from dicom_node.secure.tls import TlsFileError, listening_context
from dicom_node.settings import TlsSettings


@dataclass(frozen=True)
class Expiry:
    """Until when one thing in one file is good."""

    what: str
    """Such as `the certificate`."""
    file: Path
    at: datetime


def expiries(settings: TlsSettings) -> Iterator[Expiry]:
    """Yield until when each certificate and each list is good.

    Raises
    ------
    TlsFileError
        If a file cannot be read.
    """
    files = {"the certificate": settings.certificate_file, "the authority's": settings.ca_file}
    for what, file in files.items():
        for certificate in _certificates(file):
            yield Expiry(what, file, certificate.not_valid_after_utc)
    if settings.crl_file is not None:
        for one in _lists(settings.crl_file):
            if one.next_update_utc is not None:
                yield Expiry("the revocation list", settings.crl_file, one.next_update_utc)


def fingerprint(settings: TlsSettings) -> str:
    """Return what our own certificate is known by.

    Raises
    ------
    TlsFileError
        If it cannot be read.
    """
    return _certificates(settings.certificate_file)[0].fingerprint(SHA256()).hex()


def chain_fault(settings: TlsSettings) -> str | None:
    """Say why somebody who believes the same authorities would not believe us; None if he would.

    Raises
    ------
    TlsFileError
        If a file cannot be used.
    """
    caller = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    caller.check_hostname = False
    caller.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    caller.load_verify_locations(settings.ca_file)
    context = listening_context(settings)
    context.verify_mode = ssl.CERT_NONE
    to_caller, to_us = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (caller.wrap_bio(to_caller, to_us), context.wrap_bio(to_us, to_caller, server_side=True))
    for end in ends * 3:  # more flights than a handshake has
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
    return None


def _certificates(file: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as error:
        raise TlsFileError(
            f"{file} holds no certificates that can be read ({type(error).__name__})",
            remedy="Name a PEM file with certificates",
        ) from None


def _lists(file: Path) -> list[x509.CertificateRevocationList]:
    """Return the lists; what else a PEM file holds is not for us."""
    end = b"-----END X509 CRL-----"
    try:
        pieces = file.read_bytes().split(end)[:-1]
        return [x509.load_pem_x509_crl(piece + end) for piece in pieces]
    except (OSError, ValueError) as error:
        raise TlsFileError(
            f"{file} holds no revocation lists that can be read ({type(error).__name__})",
            remedy="Name a PEM file with the lists of the authorities",
        ) from None
