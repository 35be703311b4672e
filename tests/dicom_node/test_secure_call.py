"""Calling peers over TLS: what goes wrong is said, and nothing is ever said plainly."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dicom_node.association import Destination, echo
from dicom_node.errors import TlsError
from dicom_node.settings import TlsCallSettings
from dicom_node.store_scu import SendState, send
from tests.dicom_node.fakes import outgoing
from tests.dicom_node.secure import Hospital, secure_node


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(tmp_path)


def error(destination: Destination) -> TlsError:
    with pytest.raises(TlsError) as raised:
        echo(destination)
    assert raised.value.remedy
    return raised.value


@pytest.mark.parametrize("profile", ["bcp195", "tls13_only"])
def test_a_server_of_another_authority_is_not_believed(hospital: Hospital, profile: str) -> None:
    with secure_node(hospital, tls={"profile": profile}) as running:
        said = error(hospital.call(running, ca_file=hospital.other.file))
        assert "authority that is not in `ca_file`" in said.message


def test_a_server_must_have_a_certificate_for_the_host_that_is_called(hospital: Hospital) -> None:
    other = hospital.authority.issue("OTHER", names=["other.example"])
    with secure_node(hospital, tls=hospital.tls(other)) as running:
        said = error(hospital.call(running))
        assert "certificate of somebody else (IP address mismatch" in said.message


def test_a_common_name_is_not_the_name_of_a_host(hospital: Hospital) -> None:
    """RFC 9525 2: only the subject alternative name counts."""
    other = hospital.authority.issue("localhost")
    with secure_node(hospital, tls=hospital.tls(other)) as running:
        destination = replace(hospital.call(running), host="localhost")
        assert "somebody else" in error(destination).message


def test_a_certificate_may_be_named_instead_of_the_host(hospital: Hospital) -> None:
    other = hospital.authority.issue("OTHER")
    with secure_node(hospital, tls=hospital.tls(other)) as running:
        echo(hospital.call(running, certificates=["CN:OTHER"]))
        said = error(hospital.call(running, certificates=["CN:READER"]))
        assert f"the certificate is SHA256:{other.fingerprint}" in said.message
        assert "`certificates`" in said.remedy


def test_a_certificate_that_has_expired_or_was_revoked_does_not_count(hospital: Hospital) -> None:
    old = hospital.authority.issue("READER", names=["127.0.0.1"], days=-1)
    with secure_node(hospital, tls=hospital.tls(old)) as running:
        assert "not valid now" in error(hospital.call(running)).message
    hospital.authority.revoke(hospital.reader)
    with secure_node(hospital) as running:
        lists = hospital.authority.revocation_list()
        assert "was revoked" in error(hospital.call(running, crl_file=lists)).message


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_it_is_said_that_our_certificate_is_not_accepted(
    hospital: Hospital, version: ssl.TLSVersion
) -> None:
    """With TLS 1.3 the server says so only after our side of the handshake is done."""

    def refuse(plain: socket.socket) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=hospital.other.file)
        context.verify_mode = ssl.CERT_REQUIRED
        context.maximum_version = version
        context.load_cert_chain(hospital.reader.certificate_file, hospital.reader.key_file)
        with suppress(OSError):
            context.wrap_socket(plain, server_side=True)
        with suppress(OSError):
            plain.shutdown(socket.SHUT_WR)
            while plain.recv(4096):
                pass

    with server(refuse) as port:
        said = error(call(hospital, port))
        assert "does not accept our certificate" in said.message


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve one connection on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    serve(connection)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            assert not thread.is_alive()


def call(hospital: Hospital, port: int, **values: Any) -> Destination:
    tls = TlsCallSettings.model_validate(hospital.tls(**values))
    return Destination(
        "pacs", "127.0.0.1", port, "PACS", "US", timeout_s=5.0, connect_timeout_s=1.0, tls=tls
    )


ABORT = b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda s: s.sendall(ABORT), "does not speak TLS there"),
        (lambda s: s.shutdown(socket.SHUT_RDWR), "hung up in the TLS handshake"),
        (lambda s: s.recv(1), "said nothing in the TLS handshake"),
    ],
)
def test_a_server_without_tls_is_told_nothing(
    hospital: Hospital, answer: Callable[[socket.socket], object], words: str
) -> None:
    heard = []

    def serve(plain: socket.socket) -> None:
        heard.append(plain.recv(65536))
        answer(plain)

    with server(serve) as port:
        said = error(call(hospital, port))
        assert words in said.message
        assert "port" in said.remedy
    assert [data[:2] for data in heard] == [b"\x16\x03"]


def test_a_server_with_an_old_tls_is_refused(hospital: Hospital) -> None:
    def serve(plain: socket.socket) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.load_cert_chain(hospital.reader.certificate_file, hospital.reader.key_file)
        with suppress(OSError):
            context.wrap_socket(plain, server_side=True)

    with pytest.warns(DeprecationWarning, match="TLSv1_1"), server(serve) as port:
        assert "no TLS version of ours" in error(call(hospital, port)).message


def test_files_that_cannot_be_used_are_an_error_that_is_worth_a_retry(
    hospital: Hospital, tmp_path: Path
) -> None:
    with secure_node(hospital) as running:
        broken = hospital.call(running, key_file=tmp_path / "none.key")
        (outcome,) = send([outgoing()], broken)
        assert outcome.state is SendState.FAILED
        assert outcome.is_worth_retrying
        assert f"{tmp_path / 'none.key'} cannot be read" in outcome.text
        assert running.observer.events == []


def test_nobody_is_called_plainly_who_should_be_called_over_tls(hospital: Hospital) -> None:
    with secure_node(hospital) as running:
        port = running.node.port
        said = error(replace(hospital.call(running), port=port))
        assert "TLS" in said.message
        assert running.sink.begun == 0
