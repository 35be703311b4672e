"""The line that tells an operator that every part is up."""

import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from service.ready import is_ready, rest_address, wait_and_tell
from service.settings import Installation, parse_settings

FILE = Path("config.yaml")


def installation(text: str) -> Installation:
    return Installation(parse_settings(text, FILE), Path(), FILE)


def test_it_is_said_once_everything_is_up_with_port_and_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    looks = iter([False, False, True])
    ours = installation("dicom_node: {ae_title: READER, port: 11113}\napi: {port: 8081}\n")
    wait_and_tell(ours, threading.Event(), lambda _: next(looks))
    assert [record.getMessage() for record in caplog.records] == [
        "ready: DICOM as READER on port 11113, REST at http://127.0.0.1:8081"
    ]


def test_nothing_is_said_of_a_service_that_ends_before(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    stopping = threading.Event()
    stopping.set()
    wait_and_tell(installation(""), stopping, lambda _: False)
    assert not caplog.records


@pytest.mark.parametrize(
    ("api", "address"),
    [
        ("host: 0.0.0.0, allow_plain_http: true", "http://127.0.0.1:8080"),
        ('host: "::1"', "http://[::1]:8080"),
        ("tls_certificate_file: c.pem, tls_key_file: k.pem", "https://127.0.0.1:8080"),
    ],
)
def test_the_address_is_one_that_this_machine_can_use(api: str, address: str) -> None:
    assert rest_address(installation(f"api: {{{api}}}\n")) == address


@pytest.mark.parametrize(("status", "ready"), [(200, True), (503, False)])
def test_only_200_is_ready(status: int, ready: bool) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert is_ready(f"http://127.0.0.1:{server.server_port}/readyz") is ready
        thread.join(10)
    assert not is_ready(f"http://127.0.0.1:{server.server_port}/readyz")
