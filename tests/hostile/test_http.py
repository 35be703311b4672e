"""HTTP requests that lie about themselves (NET-6), sent to the live service: refused and closed.

Bodies in all their variants are in `tests/api/test_hostile.py`.
"""

import contextlib
import socket

import psutil
import pytest

from tests.hostile.live import DEADLINE_S, GROWTH_MIB
from tests.support.installation import Service

BOUNDARY = b"Content-Type: multipart/form-data; boundary=B\r\n"
CHUNK = b"10000\r\n" + bytes(0x10000) + b"\r\n"
PART = b'--B\r\nContent-Disposition: form-data; name="file"\r\n'


def head(service: Service, *lines: bytes, path: bytes = b"/v1/detect") -> bytes:
    key = f"Authorization: Bearer {service.api_key}\r\n".encode()
    return b"POST " + path + b" HTTP/1.1\r\nHost: x\r\n" + key + b"".join(lines) + b"\r\n"


def say(service: Service, first: bytes, again: bytes = b"", times: int = 0) -> bytes:
    """Send, and go on sending while nobody objects; return what was answered.

    It returns only once the other side has closed the connection.
    """
    with socket.create_connection(("127.0.0.1", service.api_port), timeout=DEADLINE_S) as peer:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            peer.sendall(first)
            for _ in range(times):
                peer.sendall(again)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := peer.recv(65536):
                answer += piece
        return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def test_a_huge_content_length_is_refused_before_the_body(service: Service) -> None:
    """Orthanc CVE-2026-5440."""
    for length in (b"99999999999", b"9" * 30):
        answer = say(service, head(service, BOUNDARY, b"Content-Length: " + length + b"\r\n"))
        assert status(answer) in {400, 413}


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"),
        (b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n"),
        (b"Content-Length: 5\r\n", b"Content-Length: 6\r\n"),
        (b"Content-Length: -1\r\n",),
        (b"Content-Length: +5\r\n",),
        (b"Content-Length: 5, 6\r\n",),
        (b"Content-Length: 0x5\r\n",),
        (b"Transfer-Encoding: identity, chunked\r\n", b"Content-Length: 5\r\n"),
        (b"Transfer-Encoding: xchunked\r\n",),
        (b"Transfer-Encoding : chunked\r\n",),
    ],
)
def test_two_words_about_the_length_are_refused_and_the_connection_is_closed(
    service: Service, lines: tuple[bytes, ...]
) -> None:
    """Request smuggling: what stands behind is never taken for a request of its own."""
    smuggled = b"GET /v1/studies HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = say(service, head(service, BOUNDARY, *lines) + b"0\r\n\r\n" + smuggled)
    assert 400 <= status(answer) < 500
    assert answer.count(b"HTTP/1.1 ") == 1


def test_endless_chunks_are_refused_and_cost_little(service: Service) -> None:
    api = service.role("api")
    before = api.memory_info().rss
    answer = say(
        service,
        head(service, BOUNDARY, b"Transfer-Encoding: chunked\r\n"),
        CHUNK,
        times=16 * 1024,  # 1 GiB, if nobody objects
    )
    assert status(answer) in {0, 400, 413}
    assert psutil.Process(api.pid).memory_info().rss < before + 2 * GROWTH_MIB * 2**20


@pytest.mark.parametrize(
    "body",
    [
        PART + b"".join(b"X%d: y\r\n" % n for n in range(100_000)) + b"\r\nx\r\n--B--",
        PART + b"X: " + b"y" * 1_000_000 + b"\r\n\r\nx\r\n--B--",
        b"".join(PART + b"\r\nx\r\n" for _ in range(20_000)) + b"--B--",
    ],
    ids=["100,000 headers of a part", "a header of a megabyte", "20,000 parts"],
)
def test_endless_part_headers_are_refused(service: Service, body: bytes) -> None:
    """python-multipart CVE-2026-40347, CVE-2026-42561."""
    length = b"Content-Length: %d\r\nConnection: close\r\n" % len(body)
    answer = say(service, head(service, BOUNDARY, length) + body)
    assert status(answer) in {0, 400, 413, 422}
    assert service.get("/v1/models")


def test_endless_headers_of_a_request_are_refused(service: Service) -> None:
    answer = say(
        service, b"GET /livez HTTP/1.1\r\nHost: x\r\n", b"X: " + b"y" * 8000 + b"\r\n", 500
    )
    assert status(answer) in {0, 400, 431}
    assert service.get("/v1/models")


@pytest.mark.parametrize("words", [b"\x16\x03\x01\x02\x00" + bytes(500), b"\x01\0\0\0\0\xcd" * 50])
def test_another_protocol_on_the_port_is_refused(service: Service, words: bytes) -> None:
    assert status(say(service, words + b"\r\n\r\n")) in {0, 400}
    assert service.get("/v1/models")
