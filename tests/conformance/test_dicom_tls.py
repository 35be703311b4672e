"""DICOM over TLS against others: which version and which certificate come in, and who is refused.

The clients are DCMTK's where its build speaks what is asked for, else a bare TLS client that sends
an A-ASSOCIATE-RQ: OpenSSL of today speaks TLS 1.0, 1.1 and CBC only at a lowered security level.

Source: PS3.15 B.12, B.13; RFC 9325
"""

import re
import socket
import ssl
import struct
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from dicom_node.association import Destination, echo
from dicom_node.errors import TlsError
from dicom_node.part10 import from_file
from dicom_node.ports import Refusal, RefusalReason
from dicom_node.settings import TlsCallSettings
from dicom_node.store_scu import SendState, send
from tests.dicom_node.fakes import RunningNode, peer, running_node
from tests.dicom_node.raw import associate_rq
from tests.support.builders import ct_image
from tests.support.certificates import Authority, Owned
from tests.support.peers import free_port, wait_for_port

VERIFICATION, IMPLICIT = "1.2.840.10008.1.1", "1.2.840.10008.1.2"

V = ssl.TLSVersion


@dataclass(frozen=True)
class Protocol:
    """One row of the matrix: what a client speaks."""

    name: str
    version: ssl.TLSVersion | None
    suites: str = "ALL:@SECLEVEL=0"
    dcmtk: tuple[str, ...] = ()


PROTOCOLS = (
    Protocol("plain", None),
    Protocol("1.0", V.TLSv1),
    Protocol("1.1", V.TLSv1_1),
    Protocol("1.2 AEAD", V.TLSv1_2, "ECDHE+AESGCM"),
    Protocol("1.2 CBC", V.TLSv1_2, "ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA:AES128-SHA256"),
    Protocol("1.3", V.TLSv1_3),
)

CERTIFICATES = ("none", "trusted", "untrusted", "expired", "wrong AE", "revoked")

R = RefusalReason
_ALL_WEAK = (R.WEAK_TLS,) * 6
EXPECTED: dict[str, tuple[RefusalReason | None, ...]] = {
    # in the order of CERTIFICATES; None is let in
    "plain": (R.NOT_TLS,) * 6,
    "1.0": _ALL_WEAK,
    "1.1": _ALL_WEAK,
    "1.2 AEAD": (
        R.NO_CERTIFICATE,
        None,
        R.UNTRUSTED_CERTIFICATE,
        R.EXPIRED_CERTIFICATE,
        R.WRONG_CERTIFICATE,
        R.REVOKED_CERTIFICATE,
    ),
    "1.2 CBC": _ALL_WEAK,
    "1.3": (
        R.NO_CERTIFICATE,
        None,
        R.UNTRUSTED_CERTIFICATE,
        R.EXPIRED_CERTIFICATE,
        R.WRONG_CERTIFICATE,
        R.REVOKED_CERTIFICATE,
    ),
}


@dataclass
class Site:
    """All the certificates of the matrix; RSA, which every client speaks."""

    folder: Path
    authority: Authority = field(init=False)
    reader: Owned = field(init=False)
    clients: dict[str, Owned] = field(init=False)
    revocation_list: Path = field(init=False)

    def __post_init__(self) -> None:
        self.authority = Authority("Hospital", self.folder)
        elsewhere = Authority("Elsewhere", self.folder)
        names = ["localhost", "127.0.0.1"]
        self.reader = self.authority.issue("READER", names=names, rsa_bits=2048)
        issue = self.authority.issue
        self.clients = {
            "trusted": issue("SCANNER", rsa_bits=2048),
            "untrusted": elsewhere.issue("SCANNER", rsa_bits=2048),
            "expired": issue("SCANNER", days=-1, rsa_bits=2048),
            "wrong AE": issue("MAMMO", rsa_bits=2048),
            "revoked": issue("SCANNER", rsa_bits=2048),
        }
        self.authority.revoke(self.clients["revoked"])
        self.revocation_list = self.authority.revocation_list()

    def section(self, **values: object) -> dict[str, object]:
        return {
            "certificate_file": self.reader.certificate_file,
            "key_file": self.reader.key_file,
            "ca_file": self.authority.file,
            "crl_file": self.revocation_list,
        } | values


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("certificates"))


@contextmanager
def node(site: Site, **tls: object) -> Iterator[RunningNode]:
    """Run a node for a scanner and a mammography unit, each with its certificate."""
    peers = (
        peer(certificates=["CN:SCANNER"]),
        peer("mammo", "MAMMO", certificates=["CN:MAMMO"]),
    )
    with running_node(*peers, tls=site.section(port=0, **tls)) as running:
        yield running


def tls_port(running: RunningNode) -> int:
    assert running.node.tls_port is not None
    return running.node.tls_port


def client_context(site: Site, protocol: Protocol, certificate: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(site.authority.file)
    context.set_ciphers(protocol.suites)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are the point here
        assert protocol.version is not None
        context.minimum_version = context.maximum_version = protocol.version
    owned = site.clients.get(certificate)
    if owned is not None:
        context.load_cert_chain(owned.certificate_file, owned.key_file)
    return context


def answer(connection: socket.socket) -> int:
    """Ask for an association; return the type of the answer, 0 if there is none."""
    connection.sendall(associate_rq([(1, VERIFICATION, IMPLICIT)]))
    head = connection.recv(6)
    return int(struct.unpack(">BBL", head)[0]) if len(head) == 6 else 0


def ask(running: RunningNode, site: Site, protocol: Protocol, certificate: str) -> int:
    """Return the type of the PDU that SCANNER gets, 0 if the connection ended before."""
    address = ("127.0.0.1", tls_port(running))
    with socket.create_connection(address, timeout=10) as plain:
        try:
            if protocol.version is None:
                return answer(plain)
            context = client_context(site, protocol, certificate)
            with context.wrap_socket(plain, server_hostname="localhost") as secured:
                return answer(secured)
        except (ssl.SSLError, ConnectionError):
            return 0


@pytest.mark.parametrize("certificate", CERTIFICATES)
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda one: one.name)
def test_who_comes_in(site: Site, protocol: Protocol, certificate: str) -> None:
    """36 cells; each refusal is recorded with its reason and what to change."""
    reason = EXPECTED[protocol.name][CERTIFICATES.index(certificate)]
    with node(site) as running:
        kind = ask(running, site, protocol, certificate)
        if reason is None:
            assert kind == 0x02
            assert len(running.observer.wait_for("opened")) == 1
            return
        assert kind == (0x03 if reason is R.WRONG_CERTIFICATE else 0)
        (refusal,) = running.observer.wait_for("refused")
        assert isinstance(refusal, Refusal)
        assert (refusal.reason, refusal.address) == (reason, "127.0.0.1")
        assert "dicom_node." in refusal.remedy
        if reason is R.WRONG_CERTIFICATE:
            assert refusal.calling_ae_title == "SCANNER"
            assert refusal.certificate_fingerprint == site.clients["wrong AE"].fingerprint
        assert not [name for name, _ in running.observer.events if name == "opened"]


def test_only_tls_1_3_comes_in_where_the_profile_says_so(site: Site) -> None:
    with node(site, profile="tls13_only") as running:
        kinds = {protocol.name: ask(running, site, protocol, "trusted") for protocol in PROTOCOLS}
        assert kinds == dict.fromkeys(kinds, 0) | {"1.3": 0x02}


def dcmtk(*arguments: object) -> tuple[int, str]:
    done = subprocess.run(
        [str(argument) for argument in arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        errors="replace",
    )
    return done.returncode, done.stdout + done.stderr


def secure(owned: Owned, authority: Authority) -> tuple[object, ...]:
    return "+tls", owned.key_file, owned.certificate_file, "+cf", authority.file


def to_node(running: RunningNode) -> tuple[object, ...]:
    return "-aet", "SCANNER", "-aec", "READER", "127.0.0.1", tls_port(running)


@pytest.mark.external("DCMTK")
@pytest.mark.parametrize("profile", ["+py", "+px", "+pz"])
def test_echoscu_verifies_us_with_each_profile_of_bcp_195(site: Site, profile: str) -> None:
    with node(site) as running:
        options = secure(site.clients["trusted"], site.authority)
        code, output = dcmtk("echoscu", *options, profile, *to_node(running))
        assert code == 0, output
        assert len(running.observer.wait_for("echoed")) == 1


@pytest.mark.external("DCMTK")
@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        ("untrusted", R.UNTRUSTED_CERTIFICATE),
        ("expired", R.EXPIRED_CERTIFICATE),
        ("wrong AE", R.WRONG_CERTIFICATE),
        ("revoked", R.REVOKED_CERTIFICATE),
    ],
)
def test_echoscu_with_another_certificate_is_refused(
    site: Site, certificate: str, reason: RefusalReason
) -> None:
    with node(site) as running:
        options = secure(site.clients[certificate], site.authority)
        assert dcmtk("echoscu", *options, *to_node(running))[0] != 0
        (refusal,) = running.observer.wait_for("refused")
        assert isinstance(refusal, Refusal)
        assert refusal.reason is reason


@pytest.mark.external("DCMTK")
def test_echoscu_without_a_certificate_is_refused(site: Site) -> None:
    with node(site) as running:
        code, _ = dcmtk("echoscu", "+tla", "+cf", site.authority.file, *to_node(running))
        assert code != 0
        (refusal,) = running.observer.wait_for("refused")
        assert isinstance(refusal, Refusal)
        assert refusal.reason is R.NO_CERTIFICATE


@pytest.mark.external("DCMTK")
def test_echoscu_with_the_suites_of_the_retired_profile_is_refused(site: Site) -> None:
    """PS3.15 B.3, retired: static RSA and CBC."""
    with node(site) as running:
        options = secure(site.clients["trusted"], site.authority)
        code, _ = dcmtk("echoscu", *options, "+pa", *to_node(running))
        assert code != 0
        (refusal,) = running.observer.wait_for("refused")
        assert isinstance(refusal, Refusal)
        assert refusal.reason is R.WEAK_TLS


@pytest.mark.external("DCMTK")
def test_echoscu_without_tls_is_refused_on_both_ports(site: Site) -> None:
    with node(site) as running:
        assert dcmtk("echoscu", *to_node(running))[0] != 0
        plain = (*to_node(running)[:-1], running.node.port)
        assert "Calling AE Title Not Recognized" in dcmtk("echoscu", *plain)[1]
        found = running.observer.wait_for("refused", count=2)
        assert {one.reason for one in found if isinstance(one, Refusal)} == {
            R.NOT_TLS,
            R.WITHOUT_TLS,
        }


def files(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{number}.dcm" for number in range(count)]
    for path in paths:
        ct_image().save_as(path, enforce_file_format=True)
    return paths


@pytest.mark.external("DCMTK")
def test_storescu_stores_over_tls(site: Site, tmp_path: Path) -> None:
    paths = files(tmp_path, 20)
    with node(site) as running:
        options = secure(site.clients["trusted"], site.authority)
        code, output = dcmtk("storescu", *options, *to_node(running), *paths)
        assert code == 0, output
        sent = [b"".join(from_file(path).read()) for path in paths]
        assert [data for _, data in running.sink.committed] == sent


@contextmanager
def storescp(site: Site, folder: Path, *options: object) -> Iterator[int]:
    """Run DCMTK's receiver."""
    port = free_port()
    arguments = ["storescp", *options, "-od", folder, "-aet", "PACS", port]
    with subprocess.Popen(
        [str(one) for one in arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_for_port(port)
            yield port
        finally:
            process.kill()


def to_storescp(site: Site, port: int, certificate: str = "trusted", **tls: object) -> Destination:
    owned = site.clients[certificate]
    own = {"certificate_file": owned.certificate_file, "key_file": owned.key_file}
    settings = TlsCallSettings.model_validate(site.section() | own | tls)
    return Destination(
        "pacs", "127.0.0.1", port, "PACS", "READER", timeout_s=5.0, connect_timeout_s=2.0,
        tls=settings,
    )  # fmt: skip


@pytest.mark.external("DCMTK")
@pytest.mark.parametrize("profile", ["bcp195", "tls13_only"])
def test_storescp_gets_what_we_send(site: Site, tmp_path: Path, profile: str) -> None:
    paths = files(tmp_path, 5)
    got = tmp_path / "got"
    got.mkdir()
    with storescp(site, got, *secure(site.reader, site.authority)) as port:
        destination = to_storescp(site, port, profile=profile)
        outcomes = send([from_file(path) for path in paths], destination)
        assert {one.state for one in outcomes} == {SendState.STORED}
    assert len(list(got.iterdir())) == 5


@pytest.mark.external("DCMTK")
def test_storescp_and_we_refuse_each_other_for_what_is_wrong(site: Site, tmp_path: Path) -> None:
    elsewhere = Authority("Elsewhere again", tmp_path)
    old = site.authority.issue("READER", names=["127.0.0.1"], days=-1, rsa_bits=2048)
    other = site.authority.issue("OTHER", names=["other.example"], rsa_bits=2048)
    stranger = elsewhere.issue("READER", names=["127.0.0.1"], rsa_bits=2048)
    cases: list[tuple[tuple[object, ...], str, str]] = [
        (secure(stranger, site.authority), "trusted", "authority that is not in `ca_file`"),
        (secure(old, site.authority), "trusted", "not valid now"),
        (secure(other, site.authority), "trusted", "somebody else"),
        (secure(site.reader, site.authority), "untrusted", "does not accept our certificate"),
        ((), "trusted", "in the TLS handshake"),
    ]
    for options, certificate, words in cases:
        with storescp(site, tmp_path, *options) as port, pytest.raises(TlsError, match=words):
            echo(to_storescp(site, port, certificate))


def scan(site: Site, running: RunningNode) -> ET.Element:
    """Let sslscan try everything that it knows, as a client that is trusted."""
    owned = site.clients["trusted"]
    done = subprocess.run(
        ["sslscan", "--xml=-", "--no-colour", f"--certs={owned.certificate_file}",
         f"--pk={owned.key_file}", f"127.0.0.1:{tls_port(running)}"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    found = ET.fromstring(re.sub(r"^[^<]*", "", done.stdout)).find("ssltest")
    assert found is not None, done.stdout + done.stderr
    return found


@pytest.mark.external("sslscan")
def test_sslscan_finds_nothing_that_rfc_9325_forbids(site: Site) -> None:
    with node(site) as running:
        found = scan(site, running)
    versions = {
        f"{one.get('type')} {one.get('version')}": one.get("enabled")
        for one in found.iter("protocol")
    }
    assert {name for name, is_on in versions.items() if is_on == "1"} == {"tls 1.2", "tls 1.3"}
    assert {"ssl 2", "ssl 3", "tls 1.0", "tls 1.1"} <= set(versions)
    suites = {str(one.get("cipher")) for one in found.iter("cipher")}
    assert suites
    assert all(re.match(r"TLS_|ECDHE-(RSA|ECDSA)-AES\d+-GCM-SHA\d+$", name) for name in suites)
    renegotiation = found.find("renegotiation")
    assert renegotiation is not None
    assert renegotiation.get("supported") == "0"
    preferred = [one for one in found.iter("cipher") if one.get("status") == "preferred"]
    assert preferred[0].get("sslversion") == "TLSv1.3"
    groups = {str(one.get("name")).split()[0] for one in found.iter("group")}
    assert groups
    assert groups <= GROUPS


GROUPS = {
    *("x25519", "x448", "secp256r1", "secp384r1", "secp521r1"),
    *("ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192"),
}
"""Curves of 256 bits and more (X25519 is of that strength), fields of 2048 and more."""


def client_hello(*compressions: int) -> bytes:
    """Return a TLS 1.2 ClientHello with these compression methods. Source: RFC 5246 7.4.1.2."""
    extensions = bytes.fromhex("000a00060004001d0017000b00020100000d0006000408040401")
    body = bytes.fromhex("0303") + bytes(32) + bytes.fromhex("000002c02f")
    body += bytes((len(compressions), *compressions))
    body += struct.pack(">H", len(extensions)) + extensions
    message = b"\x01" + struct.pack(">L", len(body))[1:] + body
    return b"\x16\x03\x01" + struct.pack(">H", len(message)) + message


def test_compression_is_not_taken_up(site: Site) -> None:
    """RFC 9325 3.3; the library of many clients cannot even offer it any more."""
    deflate, none = 1, 0
    with node(site) as running, socket.create_connection(("127.0.0.1", tls_port(running))) as peer:
        peer.settimeout(10)
        peer.sendall(client_hello(deflate, none))
        record = peer.recv(4096)
        assert (record[0], record[5]) == (0x16, 0x02)  # ServerHello
        suite = 5 + 4 + 2 + 32 + 1 + record[5 + 4 + 2 + 32]
        assert record[suite : suite + 2] == b"\xc0\x2f"
        assert record[suite + 2] == none
