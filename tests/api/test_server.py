"""The application behind uvicorn, over real sockets on loopback."""

import datetime
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.server import ApiServer, bound_socket
from core.errors import ConfigurationError
from tests.api.fakes import KEY, Gate, House, jpeg

AUTHORIZED = {"Authorization": f"Bearer {KEY}"}


@contextmanager
def serving(house: House) -> Iterator[ApiServer]:
    server = ApiServer(house.app, house.settings)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


def house(**settings: Any) -> House:
    return House(port=0, **settings)


def say(port: int, *pieces: bytes) -> bytes:
    """Send raw bytes and return everything that comes back until the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        for piece in pieces:
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


def test_a_detection_over_the_wire() -> None:
    with serving(house()) as server:
        answer = httpx.post(
            f"http://127.0.0.1:{server.port}/v1/detect",
            files={"file": jpeg()},
            headers=AUTHORIZED,
        )
    assert answer.status_code == 200
    assert answer.json()["detections"][0]["class"] == "polyp"
    assert "server" not in answer.headers


def test_a_large_upload_without_a_key_still_gets_its_401() -> None:
    with serving(house()) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request(
            "POST", "/v1/detect", bytes(20_000_000), {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        assert answer.status == 401
        assert json.loads(answer.read())["title"] == "Unauthorized"
        connection.close()


def test_small_answers_do_not_wait_for_acknowledgements() -> None:
    with (
        bound_socket(house().settings) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


@pytest.mark.parametrize(
    "head",
    [
        b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 9000 + b"\r\n",
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"GET /li\rvez HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
        b"POST /v1/detect HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /v1/detect HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/detect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x01\x00\x00\x00\x00\xcd\x00\x01\x00\x00SECOND_READER   ",
    ],
)
def test_a_bad_request_head_is_400_and_the_server_lives(head: bytes) -> None:
    with serving(house()) as server:
        status = say(server.port, head)[9:12]
        assert status in {b"400", b"431", b"501"}
        assert b"200 OK" in say(server.port, b"GET /livez HTTP/1.0\r\n\r\n")


def test_a_path_is_never_taken_apart() -> None:
    for target in (b"/livez/../v1/studies", b"/v1/studies/../../etc/passwd", b"/%2e%2e/etc"):
        with serving(house()) as server:
            answer = say(server.port, b"GET " + target + b" HTTP/1.0\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 404")


def test_smuggled_headers_do_not_come_back() -> None:
    with serving(house()) as server:
        target = b"/v1/studies/1%0d%0aSet-Cookie:%20x=y"
        answer = say(
            server.port, b"GET " + target + b" HTTP/1.0\r\nX-Request-Id: a%0d%0aB: c\r\n\r\n"
        )
    assert b"set-cookie" not in answer.lower()
    assert b"\nB:" not in answer


def test_a_client_that_says_nothing_or_trickles_is_hung_up_on() -> None:
    with serving(house(header_timeout_s=0.3)) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as silent:
            assert _closed_within(silent, 2)
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as slow:
            assert _can_trickle(slow) < 40


def test_a_kept_connection_serves_again_after_the_head_timeout() -> None:
    with serving(house(header_timeout_s=0.3)) as server, httpx.Client() as client:
        for _ in range(3):
            assert client.get(f"http://127.0.0.1:{server.port}/livez").status_code == 200
            time.sleep(0.2)


def test_connections_beyond_the_limit_are_hung_up_on() -> None:
    with serving(house(max_connections=2)) as server:
        address = ("127.0.0.1", server.port)
        with socket.create_connection(address), socket.create_connection(address):
            time.sleep(0.1)
            with socket.create_connection(address, timeout=5) as third:
                assert _closed_within(third, 2)
        time.sleep(0.1)
        assert b"200 OK" in say(server.port, b"GET /livez HTTP/1.0\r\n\r\n")


def test_a_stop_finishes_what_is_in_work() -> None:
    bent = house()
    gate = Gate()
    bent.detector.detector = gate
    answers = []
    with serving(bent) as server:
        url = f"http://127.0.0.1:{server.port}/v1/detect"
        client = threading.Thread(
            target=lambda: answers.append(
                httpx.post(url, files={"file": jpeg(8)}, headers=AUTHORIZED)
            )
        )
        client.start()
        gate.entered.acquire()
        server.stop()
        time.sleep(0.3)
        gate.is_open.set()
        client.join(10)
    assert answers[0].status_code == 200


def test_a_taken_port_is_named_before_anything_runs() -> None:
    taken = house()
    server = ApiServer(taken.app, taken.settings)
    with pytest.raises(ConfigurationError, match=r"port \d+.*Address already in use.*api\.port"):
        ApiServer(House().app, House(port=server.port).settings)
    with serving(House(port=0)):
        pass
    server.close()


def test_tls_is_1_3_only_and_says_so_to_browsers(tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path)
    secure = house(tls_certificate_file=certificate, tls_key_file=key)
    with serving(secure) as server:
        trust = ssl.create_default_context(cafile=certificate)
        url = f"https://127.0.0.1:{server.port}/livez"
        answer = httpx.get(url, verify=trust)
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        trust.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, verify=trust)


def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    broken = house(tls_certificate_file=bad, tls_key_file=bad)
    with pytest.raises(ConfigurationError, match=r"api\.tls_certificate_file"):
        ApiServer(broken.app, broken.settings)


def _closed_within(connection: socket.socket, seconds: float) -> bool:
    connection.settimeout(seconds)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def _can_trickle(connection: socket.socket) -> int:
    """Return how many bytes, one each 50 ms, the other end bore with; 40 is all."""
    for sent in range(40):
        try:
            connection.sendall(b"G")
        except OSError:
            return sent
        time.sleep(0.05)
    return 40


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "certificate.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file = folder / "key.pem"
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem, key_file


@pytest.mark.parametrize(
    "lengths",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
    ],
)
def test_a_request_with_two_lengths_is_refused_and_nothing_after_it_is_read(
    lengths: bytes,
) -> None:
    """What one of two servers in a row takes for a body is a second request to the other."""
    hidden = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"POST /v1/detect HTTP/1.1\r\nHost: x\r\n" + lengths + b"\r\n"
    with serving(house()) as server:
        answer = say(server.port, head + b"0\r\n\r\n" + hidden)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in answer.lower()
