"""Authorities and certificates, made on the spot: who is trusted, who is not, and why not."""

import datetime
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Owned:
    """A certificate with its key, in files."""

    certificate_file: Path
    key_file: Path
    certificate: x509.Certificate

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()


@dataclass
class Authority:
    """Signs certificates into a folder, and takes them back."""

    name: str
    folder: Path
    days: float = 30
    key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    revoked: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        subject = _name(self.name)
        self.certificate = (
            _builder(subject, subject, self.key, DAY * self.days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.file = self.folder / f"{_file_name(self.name)}.pem"
        self.file.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    def issue(
        self,
        name: str,
        *,
        names: Sequence[str] = (),
        days: float = 30,
        rsa_bits: int | None = None,
        passphrase: bytes | None = None,
    ) -> Owned:
        """Sign a certificate for a name; one of negative days has expired."""
        key = _rsa_key(rsa_bits) if rsa_bits else ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = _builder(_name(name), self.certificate.subject, key, DAY * days).add_extension(
            x509.ExtendedKeyUsage(usages), critical=False
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_alternative(one) for one in names])
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        base = self.folder / f"{_file_name(name)}-{certificate.serial_number:x}"
        owned = Owned(base.with_suffix(".pem"), base.with_suffix(".key"), certificate)
        owned.certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
        owned.key_file.touch(mode=0o600)
        owned.key_file.write_bytes(
            key.private_bytes(
                Encoding.PEM,
                PrivateFormat.PKCS8,
                BestAvailableEncryption(passphrase) if passphrase else NoEncryption(),
            )
        )
        return owned

    def revoke(self, owned: Owned) -> None:
        """Take a certificate back; the next list says so."""
        self.revoked.append(owned.certificate.serial_number)

    def revocation_list(self, *, days: float = 7) -> Path:
        """Write the list as of now; one of negative days has expired."""
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateRevocationListBuilder(
            issuer_name=self.certificate.subject,
            last_update=now - DAY * 20,
            next_update=now + DAY * days,
        )
        for serial in self.revoked:
            entry = x509.RevokedCertificateBuilder(serial_number=serial, revocation_date=now - DAY)
            builder = builder.add_revoked_certificate(entry.build())
        path = self.folder / f"{_file_name(self.name)}.crl"
        path.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM))
        return path


@cache
def _rsa_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, lifetime: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=issuer,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - DAY * 20,
        not_valid_after=now + lifetime,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _file_name(name: str) -> str:
    return re.sub(r"\W+", "-", name)
