"""The `dicom_node:` section of config.yaml: our listener, and the peers it knows."""

import re
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from itertools import combinations
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from dicom_node.certificates import binding

_AE_TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _checked_ae_title(value: str) -> str:
    stripped = value.strip(" ")
    if not stripped or not _AE_TITLE.fullmatch(stripped):
        raise ValueError("an AE title has 1 to 16 printable ASCII characters and no backslash")
    return stripped


def _checked_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("a name has 1 to 64 letters, digits, points, hyphens or underscores")
    return value


AETitle = Annotated[str, AfterValidator(_checked_ae_title)]
"""An AE title without its leading and trailing spaces. Source: PS3.5 6.2."""

Name = Annotated[str, AfterValidator(_checked_name)]
"""A name that is safe in logs, metrics and audit records."""


class Right(StrEnum):
    """What a peer may ask of us."""

    ECHO = "echo"
    """C-ECHO: verify that we are here."""
    STORE = "store"
    """C-STORE: hand us instances."""


class Priority(StrEnum):
    """How urgent the studies of a peer are; the DIMSE priority field never counts."""

    ROUTINE = "routine"
    STAT = "stat"


Binding = Annotated[str, AfterValidator(binding)]
"""What names a certificate: `SHA256:...`, `DNS:...`, `IP:...`, `URI:...`, `CN:...`, or `ANY`."""


class TlsProfile(StrEnum):
    """Which versions and cipher suites are spoken."""

    BCP195 = "bcp195"
    """TLS 1.3, and 1.2 with the suites of RFC 9325. Source: PS3.15 B.12."""
    TLS13_ONLY = "tls13_only"
    """Nothing older than TLS 1.3."""


class TlsSettings(BaseModel, frozen=True, extra="forbid"):
    """Who we are and whom we believe, on connections over TLS; both sides show a certificate."""

    certificate_file: Path
    """Our certificate (PEM), and after it those between it and its authority's."""
    key_file: Path
    """Private key of the certificate (PEM, no passphrase), readable by the service alone."""
    ca_file: Path
    """Certificates of the authorities whose certificates we believe (PEM)."""
    crl_file: Path | None = None
    """Revocation lists of these authorities (PEM); without a list that is valid nobody gets in."""
    profile: TlsProfile = TlsProfile.BCP195
    """`bcp195`: TLS 1.2 and 1.3; `tls13_only`: 1.3."""

    def resolved(self, folder: Path) -> Self:
        """Return the same with the files found from `folder`, where config.yaml is."""
        files = {
            name: (folder / path).absolute()
            for name in ("certificate_file", "key_file", "ca_file", "crl_file")
            if (path := getattr(self, name)) is not None
        }
        return self.model_copy(update=files)


class TlsListenerSettings(TlsSettings, frozen=True):
    """The `tls` section of our listener: a port of its own, beside the plain one."""

    port: Annotated[int, Field(ge=0, le=65535)] = 2762
    """The registered port of DICOM over TLS; 0 lets the system choose."""


class TlsCallSettings(TlsSettings, frozen=True):
    """The `tls` section of somebody we call. A call that should be secure is never made plainly."""

    certificates: tuple[Binding, ...] = ()
    """The certificates that may answer, named as for peers; empty means those that are made out to
    the host that is called (subject alternative name)."""


class PeerSettings(BaseModel, frozen=True, extra="forbid"):
    """One peer that may connect. A peer is known by its AE titles and its address together."""

    name: Name
    """What logs, audit records and remedies call this peer."""
    ae_title: AETitle
    """The calling AE title it uses."""
    called_ae_title: AETitle | None = None
    """The AE title it must call us by; empty means `dicom_node.ae_title`."""
    addresses: Annotated[tuple[IPv4Network | IPv6Network, ...], Field(min_length=1)]
    """Addresses or CIDR ranges it connects from. AE titles alone prove nothing."""
    certificates: tuple[Binding, ...] = ()
    """With any, the peer must come over TLS and show one of these: `SHA256:` and a fingerprint,
    `DNS:`, `IP:`, `URI:` or `EMAIL:` and a subject alternative name, `CN:` and a common name, or
    `ANY` for each that the authority signed. With none, it may only come without TLS."""
    issuer_of_patient_id: str = ""
    """Who issued the patient IDs in objects that do not say so themselves."""
    allow: frozenset[Right] = frozenset({Right.ECHO, Right.STORE})
    """What it may ask: `echo`, `store`."""
    max_associations: PositiveInt | None = None
    """More of its associations at once are rejected as transient; empty: as many as the node's."""
    priority: Priority = Priority.ROUTINE
    """`stat` puts its studies before routine ones."""


class NodeSettings(BaseModel, frozen=True, extra="forbid"):
    """The `dicom_node:` section of config.yaml."""

    ae_title: AETitle = "SECOND_READER"
    """Our AE title."""
    host: str = "0.0.0.0"  # noqa: S104 - a modality is another machine; peers are known by address
    """The address to listen on; 127.0.0.1 hides the node from other machines."""
    port: Annotated[int, Field(ge=0, le=65535)] | None = 11112
    """The registered DICOM port that needs no privilege; 0 lets the system choose, null listens
    on the TLS port alone."""
    tls: TlsListenerSettings | None = None
    """DICOM over TLS; absent means no TLS port."""
    max_pdu_bytes: Annotated[int, Field(ge=4096, le=1024 * 1024)] = 128 * 1024
    """The longest PDU a peer may send; longer ones mean fewer waits, but more memory each."""
    max_object_bytes: PositiveInt = 2 * 1024**3
    """An object longer than this is refused; a peer could fill the disk otherwise."""
    processes: Annotated[int, Field(ge=1, le=32)] = 1
    """Processes that receive; with more than one, another keeps the door for all of them. More of
    them use more cores for several peers at once; each costs about 75 MB, and the door as much."""
    max_associations: PositiveInt = 64
    """More at once are rejected as transient; each costs two threads."""
    max_connections_per_address: PositiveInt = 48
    """More connections at once from one known address are closed; one must not take all room."""
    max_waiting_connections: PositiveInt = 512
    """Connections at once that have not asked for an association yet; each costs a descriptor. Of
    one too many, the oldest of the address that has most of them is closed."""
    max_unknown_connections: PositiveInt = 8
    """Connections at once from addresses of no peer, which live only to be told so."""
    request_timeout_s: PositiveFloat = 5.0
    """How long a new connection may take to say who it is (A-ASSOCIATE-RQ)."""
    pdu_timeout_s: PositiveFloat = 30.0
    """How long one PDU may take from its first to its last byte, in or out."""
    min_bytes_per_s: NonNegativeInt = 10_000
    """How much must come in each 10 s while an object arrives; what we take ourselves does not
    count. 0 waits for anybody."""
    idle_timeout_s: PositiveFloat = 60.0
    """How long a peer may stay silent before we abort the association."""
    association_timeout_s: PositiveFloat = 3600.0
    """How long an association may last; an older one is aborted after the object that is arriving.
    Senders open another and go on."""
    stop_timeout_s: PositiveFloat = 20.0
    """How long a stop waits for objects that are just arriving."""
    heartbeat_s: PositiveFloat = 5.0
    """How often an open association is reported as alive; completeness waits for it."""
    peers: tuple[PeerSettings, ...] = ()
    """Who may connect; nobody else may."""

    @model_validator(mode="after")
    def _have_the_ports(self) -> Self:
        if self.tls is None:
            if self.port is None:
                raise ValueError("port is null and there is no tls: nobody could connect")
            for peer in self.peers:
                if peer.certificates:
                    raise ValueError(f"peer {peer.name} has certificates, but there is no tls")
        elif self.tls.port == self.port != 0:
            raise ValueError("port and tls.port are the same")
        return self

    def resolved(self, folder: Path) -> Self:
        """Return the same with the files of `tls` found from `folder`, where config.yaml is."""
        if self.tls is None:
            return self
        return self.model_copy(update={"tls": self.tls.resolved(folder)})

    @model_validator(mode="after")
    def _tell_peers_apart(self) -> Self:
        for one, other in combinations(self.peers, 2):
            if one.name == other.name:
                raise ValueError(f"two peers are called {one.name}")
            if self._could_be_same(one, other):
                raise ValueError(
                    f"peers {one.name} and {other.name} cannot be told apart: "
                    "same AE titles, and their addresses overlap"
                )
        return self

    def called_ae_title_of(self, peer: PeerSettings) -> str:
        """Return the AE title by which `peer` must call us."""
        return peer.called_ae_title or self.ae_title

    def _could_be_same(self, one: PeerSettings, other: PeerSettings) -> bool:
        return (
            one.ae_title == other.ae_title
            and self.called_ae_title_of(one) == self.called_ae_title_of(other)
            and any(
                mine.version == theirs.version and mine.overlaps(theirs)
                for mine in one.addresses
                for theirs in other.addresses
            )
        )
