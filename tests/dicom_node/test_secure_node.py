"""The node on its TLS port: who comes in, and that nothing is lost between record and PDU."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicom_node.association import echo
from dicom_node.errors import AssociationRejectedError, TlsError
from dicom_node.ports import Ending, RefusalReason
from dicom_node.secure.tls import TlsFileError
from dicom_node.server import DicomNode
from dicom_node.settings import NodeSettings
from dicom_node.store_scu import send
from tests.dicom_node.fakes import (
    CT,
    EXPLICIT,
    MemorySink,
    RecordingObserver,
    RunningNode,
    outgoing,
    peer,
)
from tests.dicom_node.raw import RawPeer, associate_rq, pdu, pdv, store_rq
from tests.dicom_node.secure import (
    Hospital,
    plainly,
    refusal,
    refused_for,
    scanner,
    secure_node,
    secure_peer,
)

RELEASE_RQ = pdu(0x05, bytes(4))


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(tmp_path)


def test_a_peer_with_its_certificate_verifies_us(hospital: Hospital) -> None:
    with secure_node(hospital) as running:
        assert echo(hospital.call(running)) < 5
        assert running.observer.wait_for("closed") == [(Ending.RELEASED, 0, 0)]


@pytest.mark.parametrize("profile", ["bcp195", "tls13_only"])
def test_objects_arrive_byte_for_byte(hospital: Hospital, profile: str) -> None:
    sizes = (1, 100, 16_383, 16_384, 16_385, 131_072, 3_000_000)
    objects = [outgoing(n, data=bytes([n]) * size) for n, size in enumerate(sizes, 1)]
    with secure_node(hospital, tls={"profile": profile}) as running:
        outcomes = send(objects, hospital.call(running))
        assert {outcome.status for outcome in outcomes} == {0}
        sent = [b"".join(one.read()) for one in objects]
        assert [data for _, data in running.sink.committed] == sent


def test_many_small_objects_arrive(hospital: Hospital) -> None:
    with secure_node(hospital) as running:
        outcomes = send([outgoing(n, data=b"xy") for n in range(300)], hospital.call(running))
        assert {outcome.status for outcome in outcomes} == {0}
        assert len(running.sink.committed) == 300


def one_object(size: int = 5000) -> bytes:
    """A C-STORE in many small PDUs."""
    whole = pdu(4, pdv(1, 3, store_rq(CT, "1.2.3")))
    for start in range(0, size, 100):
        control = 2 if start + 100 >= size else 0
        whole += pdu(4, pdv(1, control, b"d" * 100))
    return whole


def test_pdus_that_come_in_one_record_are_all_read(hospital: Hospital) -> None:
    """The library has decrypted them all when the descriptor has nothing more to show."""
    with (
        secure_node(hospital) as running,
        secure_peer(running, hospital.context()) as caller,
    ):
        caller.send(associate_rq([(1, CT, EXPLICIT)]))
        assert caller.receive()[0] == 0x02
        caller.send(one_object() + RELEASE_RQ)
        assert caller.status() == 0
        assert caller.receive()[0] == 0x06
        assert running.sink.committed[0][1] == b"d" * 5000


def test_what_shares_a_record_with_the_end_of_an_object_is_heard(hospital: Hospital) -> None:
    """The rest of the record is in the library, and no descriptor will tell."""
    store = pdu(4, pdv(1, 3, store_rq(CT, "1.2.3"))) + pdu(4, pdv(1, 2, b"d" * 100_000))
    with (
        secure_node(hospital) as running,
        secure_peer(running, hospital.context()) as caller,
    ):
        caller.send(associate_rq([(1, CT, EXPLICIT)]))
        assert caller.receive()[0] == 0x02
        caller.send(store + RELEASE_RQ)
        assert caller.status() == 0
        assert caller.receive()[0] == 0x06


def test_a_peer_whose_records_hold_a_byte_each_is_served(hospital: Hospital) -> None:
    with (
        secure_node(hospital) as running,
        secure_peer(running, hospital.context()) as caller,
    ):
        for byte in associate_rq([(1, CT, EXPLICIT)]):
            caller.send(bytes([byte]))
        assert caller.receive()[0] == 0x02
        for byte in one_object(200):
            caller.send(bytes([byte]))
        assert caller.status() == 0
        assert running.sink.committed[0][1] == b"d" * 200


class TricklingPeer(RawPeer):
    """Sends the encrypted bytes one by one, so that records arrive in pieces."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        super().__init__(port)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._trickle()
                self._incoming.write(self.socket.recv(65536))
        self._trickle()

    def send(self, data: bytes) -> None:
        self._tls.write(data)
        self._trickle()

    def _trickle(self) -> None:
        for byte in self._outgoing.read():
            self.socket.sendall(bytes([byte]))

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                data += self._tls.read(size - len(data))
            except ssl.SSLWantReadError:
                self._incoming.write(self.socket.recv(65536))
        return data


def test_a_peer_whose_records_trickle_in_is_served(hospital: Hospital) -> None:
    with secure_node(hospital) as running:
        assert running.node.tls_port is not None
        caller = TricklingPeer(running.node.tls_port, hospital.context())
        try:
            caller.send(associate_rq([(1, CT, EXPLICIT)]))
            assert caller.receive()[0] == 0x02
            caller.send(one_object(1000))
            assert caller.status() == 0
            assert running.sink.committed[0][1] == b"d" * 1000
        finally:
            caller.socket.close()


def test_the_end_of_a_connection_is_said(hospital: Hospital) -> None:
    """RFC 8446 6.1: without close_notify the other side cannot tell an end from a cut."""
    context = hospital.context()
    with secure_node(hospital) as running:
        plain = plainly(running.node.tls_port)
        with context.wrap_socket(
            plain, server_hostname="localhost", suppress_ragged_eofs=False
        ) as caller:
            caller.sendall(associate_rq([(1, CT, EXPLICIT)]))
            assert caller.recv(4096)[0] == 0x02
            caller.sendall(RELEASE_RQ)
            assert caller.recv(4096)[0] == 0x06
            assert caller.recv(4096) == b""


def test_a_pdu_that_dribbles_is_given_up_in_time(hospital: Hospital) -> None:
    with (
        secure_node(hospital, pdu_timeout_s=0.5) as running,
        secure_peer(running, hospital.context()) as slow,
    ):
        slow.send(associate_rq([(1, CT, EXPLICIT)]))
        assert slow.receive()[0] == 0x02
        slow.send(b"\x04\x00\x00\x00\x10\x00abc")
        assert running.observer.wait_for("closed", seconds=5) == [(Ending.LOST, 0, 0)]


def test_a_peer_that_falls_silent_is_aborted(hospital: Hospital) -> None:
    with (
        secure_node(hospital, idle_timeout_s=0.5) as running,
        secure_peer(running, hospital.context()) as silent,
    ):
        silent.send(associate_rq([(1, CT, EXPLICIT)]))
        assert silent.receive()[0] == 0x02
        assert silent.receive()[0] == 0x07
        assert running.observer.wait_for("closed") == [(Ending.ABORTED, 0, 0)]


@contextmanager
def stuck_handshake(port: int | None, context: ssl.SSLContext) -> Iterator[socket.socket]:
    """Say hello, and nothing more."""
    incoming, outgoing_bytes = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing_bytes, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    with plainly(port) as connection:
        connection.sendall(outgoing_bytes.read())
        yield connection


def test_a_handshake_that_is_stuck_holds_nobody_up_and_ends_in_time(hospital: Hospital) -> None:
    with (
        secure_node(hospital, request_timeout_s=1.0) as running,
        stuck_handshake(running.node.tls_port, hospital.context()) as stuck,
    ):
        echo(hospital.call(running))
        found = refusal(running)
        assert found.reason is RefusalReason.TLS_FAILED
        assert "took too long" in found.remedy
        while stuck.recv(4096):
            pass


def test_a_connection_that_says_nothing_is_closed_and_not_recorded(hospital: Hospital) -> None:
    with (
        secure_node(hospital, request_timeout_s=0.3) as running,
        plainly(running.node.tls_port) as silent,
    ):
        assert silent.recv(1) == b""
        assert running.observer.events == []


def test_stopping_waits_for_no_handshake(hospital: Hospital) -> None:
    with secure_node(hospital, request_timeout_s=30.0, stop_timeout_s=20.0) as running:
        with stuck_handshake(running.node.tls_port, hospital.context()) as stuck:
            assert stuck.recv(1)  # it has begun
            stopping = threading.Thread(target=running.node.stop)
            stopping.start()
            stopping.join(10)
            assert not stopping.is_alive()
        assert running.observer.events == []


@pytest.mark.parametrize("words", [associate_rq([(1, CT, EXPLICIT)]), b"GET / HTTP/1.1\r\n\r\n"])
def test_who_speaks_no_tls_is_refused_on_the_tls_port(hospital: Hospital, words: bytes) -> None:
    with secure_node(hospital) as running:
        with plainly(running.node.tls_port) as caller:
            caller.sendall(words)
            assert caller.recv(1) == b""
        found = refusal(running)
        assert found.reason is RefusalReason.NOT_TLS
        assert "dicom_node.tls.port" in found.remedy


def test_a_peer_with_certificates_may_not_come_plainly(hospital: Hospital) -> None:
    with secure_node(hospital) as running:
        with pytest.raises(AssociationRejectedError):
            echo(running.destination())
        found = refusal(running)
        assert (found.reason, found.calling_ae_title) == (RefusalReason.WITHOUT_TLS, "SCANNER")
        assert "`certificates` of the peer scanner" in found.remedy


def test_a_peer_without_certificates_may_not_come_over_tls(hospital: Hospital) -> None:
    with secure_node(hospital, peer()) as running:
        echo(running.destination())
        with pytest.raises(AssociationRejectedError):
            echo(hospital.call(running))
        found = refusal(running)
        assert found.reason is RefusalReason.WRONG_CERTIFICATE
        assert found.certificate_fingerprint == hospital.scanner.fingerprint
        assert f"Add SHA256:{hospital.scanner.fingerprint} to `certificates`" in found.remedy


@pytest.mark.parametrize("binding", ["CN:SCANNER", "DNS:scanner.example", "ANY", "fingerprint"])
def test_each_way_to_bind_a_certificate_lets_its_peer_in(hospital: Hospital, binding: str) -> None:
    bound = binding.replace("fingerprint", f"SHA256:{hospital.scanner.fingerprint}")
    with secure_node(hospital, scanner(bound)) as running:
        echo(hospital.call(running))


def test_a_certificate_does_not_stand_for_address_and_titles(hospital: Hospital) -> None:
    far = scanner("ANY", addresses=["192.0.2.0/24"])
    with secure_node(hospital, far) as running:
        with pytest.raises(AssociationRejectedError):
            echo(hospital.call(running))
        assert refused_for(running) is RefusalReason.WRONG_ADDRESS


def test_the_plain_port_can_be_switched_off(hospital: Hospital) -> None:
    with secure_node(hospital, port=None) as running:
        assert running.node.port == running.node.tls_port
        echo(hospital.call(running))


def test_a_new_certificate_is_shown_without_a_restart(hospital: Hospital) -> None:
    with secure_node(hospital) as running:
        first = f"SHA256:{hospital.reader.fingerprint}"
        echo(hospital.call(running, certificates=[first]))
        renewed = hospital.authority.issue("READER", names=["127.0.0.1"])
        for old, new in (
            (hospital.reader.key_file, renewed.key_file),
            (hospital.reader.certificate_file, renewed.certificate_file),
        ):
            new.replace(old)
        with pytest.raises(TlsError, match="certificate of somebody else"):
            echo(hospital.call(running, certificates=[first]))
        echo(hospital.call(running, certificates=[f"SHA256:{renewed.fingerprint}"]))


def test_a_certificate_that_is_taken_back_counts_no_more(hospital: Hospital) -> None:
    tls = {"crl_file": hospital.authority.revocation_list()}
    with secure_node(hospital, tls=tls) as running:
        echo(hospital.call(running))
        hospital.authority.revoke(hospital.scanner)
        hospital.authority.revocation_list()
        with pytest.raises(TlsError, match="does not accept our certificate"):
            echo(hospital.call(running))
        assert refused_for(running) is RefusalReason.REVOKED_CERTIFICATE


def session_of(running: RunningNode, context: ssl.SSLContext) -> ssl.SSLSession:
    """Have an association over TLS 1.2 and return what could be resumed."""
    with secure_peer(running, context) as caller:
        caller.send(associate_rq([(1, CT, EXPLICIT)]))
        assert caller.receive()[0] == 0x02
        caller.send(RELEASE_RQ)
        assert caller.receive()[0] == 0x06
        session = caller.secured.session
        assert session is not None
        return session


def test_a_session_is_not_resumed_past_the_revocation_of_its_certificate(
    hospital: Hospital,
) -> None:
    context = hospital.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    tls = {"crl_file": hospital.authority.revocation_list()}
    with secure_node(hospital, tls=tls) as running:
        session = session_of(running, context)
        hospital.authority.revoke(hospital.scanner)
        hospital.authority.revocation_list()
        with plainly(running.node.tls_port) as plain, pytest.raises(ssl.SSLError, match="revoked"):
            context.wrap_socket(plain, server_hostname="localhost", session=session)
        assert refused_for(running) is RefusalReason.REVOKED_CERTIFICATE


def test_without_a_list_that_is_valid_nobody_comes_in(hospital: Hospital) -> None:
    tls = {"crl_file": hospital.authority.revocation_list(days=-1)}
    with secure_node(hospital, tls=tls) as running:
        with pytest.raises(TlsError):
            echo(hospital.call(running))
        assert "dicom_node.tls.crl_file has no valid list" in refusal(running).remedy


def test_files_that_cannot_be_used_keep_the_node_from_starting(hospital: Hospital) -> None:
    hospital.reader.key_file.chmod(0o644)
    settings = NodeSettings.model_validate(
        {"host": "127.0.0.1", "port": 0, "tls": hospital.tls(port=0)}
    )
    with pytest.raises(TlsFileError, match="can be read by others"):
        DicomNode(settings, MemorySink(), RecordingObserver()).start()


def test_handshakes_leave_no_thread(hospital: Hospital) -> None:
    before = set(threading.enumerate())
    with secure_node(hospital) as running:
        echo(hospital.call(running))
        with plainly(running.node.tls_port) as caller:
            caller.sendall(b"\x16\x03\x01\x00\x05hello")
            caller.recv(100)
        refusal(running)
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(threading.enumerate()) <= before
