"""Hostile input: each row gets the right status and a reason, and leaves the house up."""

import json
from typing import Any

import pytest

from tests.api.fakes import KEY, House, jpeg

FORM = "multipart/form-data; boundary=B"
JSON = "application/json"
GOOD_PART = b'--B\r\nContent-Disposition: form-data; name="file"\r\n\r\npixels\r\n'


def part(name: str, content: bytes = b"x", headers: str = "") -> bytes:
    head = f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n{headers}\r\n'
    return head.encode() + content + b"\r\n"


BODIES: dict[str, tuple[int, str, bytes]] = {
    # forms
    "no boundary": (400, "multipart/form-data", GOOD_PART + b"--B--"),
    "empty boundary": (400, "multipart/form-data; boundary=", GOOD_PART + b"--B--"),
    "endless boundary": (400, "multipart/form-data; boundary=" + "b" * 4000, b"--b"),
    "other boundary": (400, "multipart/form-data; boundary=C", GOOD_PART + b"--B--"),
    "nothing": (400, FORM, b""),
    "no part": (422, FORM, b"--B--\r\n"),
    "cut in the head": (400, FORM, GOOD_PART[:20]),
    "cut in the content": (400, FORM, GOOD_PART),
    "no form at all": (400, FORM, b"<html>"),
    "no disposition": (400, FORM, b"--B\r\nX: y\r\n\r\nz\r\n--B--"),
    "no name": (400, FORM, b"--B\r\nContent-Disposition: form-data\r\n\r\nz\r\n--B--"),
    "attachment": (400, FORM, GOOD_PART.replace(b"form-data", b"attachment") + b"--B--"),
    "a header twice": (400, FORM, part("file", headers="X: 1\r\nx: 2\r\n") + b"--B--"),
    "many headers": (
        400,
        FORM,
        part("file", headers="".join(f"X{i}: y\r\n" for i in range(99))) + b"--B--",
    ),
    "huge part header": (400, FORM, part("file", headers=f"X: {'y' * 9000}\r\n") + b"--B--"),
    "NUL in a header": (400, FORM, b"--B\r\nContent\0-Disposition: x\r\n\r\nz\r\n--B--"),
    "base64 part": (
        400,
        FORM,
        part("file", headers="Content-Transfer-Encoding: base64\r\n") + b"--B--",
    ),
    "file twice": (422, FORM, GOOD_PART + GOOD_PART + b"--B--"),
    "unknown field": (422, FORM, GOOD_PART + part("callback", b"http://x/") + b"--B--"),
    "path as a field": (422, FORM, part("../../etc/passwd") + b"--B--"),
    "model twice": (422, FORM, GOOD_PART + part("model") * 2 + b"--B--"),
    "endless model": (422, FORM, GOOD_PART + part("model", b"m" * 300) + b"--B--"),
    "model as a path": (422, FORM, GOOD_PART + part("model", b"../../weights.pt") + b"--B--"),
    "model not in UTF-8": (422, FORM, GOOD_PART + part("model", b"\xff\xfe") + b"--B--"),
    "confidence out of range": (422, FORM, GOOD_PART + part("confidence", b"1.01") + b"--B--"),
    "confidence not a number": (422, FORM, GOOD_PART + part("confidence", b"nan") + b"--B--"),
    "confidence infinite": (422, FORM, GOOD_PART + part("confidence", b"-inf") + b"--B--"),
    "confidence a word": (422, FORM, GOOD_PART + part("confidence", b"high") + b"--B--"),
    "empty file": (422, FORM, part("file", b"") + b"--B--"),
    "no file": (422, FORM, part("model", b"polyp") + b"--B--"),
    # JSON
    "cut JSON": (400, JSON, b'{"image": "'),
    "empty JSON": (400, JSON, b""),
    "not UTF-8": (400, JSON, b'{"image": "\xff"}'),
    "UTF-16": (400, JSON, '{"image": ""}'.encode("utf-16")),
    "byte order mark": (400, JSON, b'\xef\xbb\xbf{"image": "eA=="}'),
    "a list": (400, JSON, b"[]"),
    "a text": (400, JSON, b'"x"'),
    "deep": (400, JSON, b'{"image":' + b"[" * 200_000),
    "deep and closed": (422, JSON, b'{"image":' + b"[" * 500 + b"]" * 500 + b"}"),
    "huge number": (400, JSON, b'{"confidence":' + b"9" * 5000 + b"}"),
    "NaN": (400, JSON, b'{"image": "eA==", "confidence": NaN}'),
    "a field twice": (422, JSON, b'{"image": "eA==", "image": "eA=="}'),
    "unknown JSON field": (422, JSON, b'{"image": "eA==", "url": "http://169.254.169.254/"}'),
    "both": (422, JSON, b'{"image": "eA==", "dicom": "eA=="}'),
    "neither": (422, JSON, b'{"model": "polyp"}'),
    "null": (422, JSON, b'{"image": null}'),
    "image is a number": (422, JSON, b'{"image": 1}'),
    "confidence is a text": (422, JSON, b'{"image": "eA==", "confidence": "0.5"}'),
    "confidence is a boolean": (422, JSON, b'{"image": "eA==", "confidence": true}'),
    "data URL": (422, JSON, b'{"image": "data:image/png;base64,eA=="}'),
    "no padding": (422, JSON, b'{"image": "eA"}'),
    "URL alphabet": (422, JSON, b'{"image": "_-__"}'),
    "line breaks": (422, JSON, b'{"image": "eA==\\r\\n"}'),
    "not ASCII": (422, JSON, '{"image": "é"}'.encode()),
    "padding alone": (422, JSON, b'{"image": "===="}'),
    "empty image": (422, JSON, b'{"image": ""}'),
    # other media
    "no content type": (415, "", b"x"),
    "picture alone": (415, "image/jpeg", b"x"),
    "XML": (415, "application/xml", b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>"),
    "form encoded": (415, "application/x-www-form-urlencoded", b"image=eA=="),
    "nonsense type": (415, ";;;=,\x01", b"x"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_refused_and_nothing_is_read_from_it(name: str) -> None:
    status, media_type, body = BODIES[name]
    house = House()
    answer = house.detect(content=body, headers={"Content-Type": media_type.encode()})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert house.detector.requests == []
    assert house.detect(files={"file": jpeg(8)}).status_code == 200


def test_a_problem_never_quotes_the_body() -> None:
    secret = "Doe^Jane"
    bodies = [
        (JSON, json.dumps({"image": secret}).encode()),
        (JSON, json.dumps({"image": 1, "model": secret}).encode()),
        (JSON, b'{"image": ' + secret.encode()),
        (FORM, GOOD_PART + part("model", secret.encode()) + b"--B--"),
        (FORM, GOOD_PART + part("confidence", secret.encode()) + b"--B--"),
        (FORM, b"--B\r\n" + secret.encode()),
    ]
    for media_type, body in bodies:
        answer = House().detect(content=body, headers={"Content-Type": media_type})
        assert answer.is_client_error
        assert secret not in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/studies/..%2f..%2fetc%2fpasswd", 404),
        ("/v1/studies/../../etc/passwd", 404),
        ("/v1/studies/..", 404),
        ("/v1/studies/%2e%2e", 422),
        ("/v1/studies/1.2'; DROP TABLE study;--", 422),
        ("/v1/studies/1.2%0d%0aSet-Cookie:%20x=y", 422),
        ("/v1/studies/1.2%0a", 422),
        ("/v1/studies/1.2%00", 422),
        ("/v1/studies/" + "1" * 65, 422),
        ("/v1/studies/\u0661.2", 422),
        ("/v1/studies/%ff%fe", 422),
        ("/v1/studies/{uid}", 422),
        ("/v1/studies/*", 422),
        ("/v1/studies/", 404),
        ("//v1/studies", 404),
        ("/v1/studies?limit=50;state=OPEN", 422),
        ("/v1/studies?callback=http://169.254.169.254/", 422),
        ("/v1/studies?cursor=%00", 422),
        ("/v1/audit?from=0&to=99999999999999999999", 422),
        ("/V1/STUDIES", 404),
        ("/.git/config", 404),
    ],
)
def test_a_bad_address_is_refused_and_not_repeated(path: str, status: int) -> None:
    house = House()
    answer = house.call("GET", path)
    assert answer.status_code == status, answer.text
    assert "set-cookie" not in answer.headers
    assert "location" not in answer.headers
    for piece in ("passwd", "DROP", "169.254", "Set-Cookie"):
        assert piece not in answer.text


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "HEAD", "BREW"])
def test_other_methods_are_405_with_what_is_allowed(method: str) -> None:
    answer = House().call(method, "/v1/studies")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity"])
def test_a_compressed_body_is_not_unpacked(encoding: str) -> None:
    answer = House().detect(
        content=b"x", headers={"Content-Type": JSON, "Content-Encoding": encoding}
    )
    assert answer.status_code == 415


def test_forged_forwarding_headers_change_nothing() -> None:
    """ASVS 4.1.3."""
    house = House()
    forged: dict[str, Any] = {
        "X-Forwarded-For": "10.9.9.9",
        "Forwarded": "for=10.9.9.9",
        "X-Real-IP": "10.9.9.9",
        "X-HTTP-Method-Override": "DELETE",
        "X-Original-URL": "/v1/audit",
    }
    assert house.call("GET", "/v1/studies", headers=forged).status_code == 200
    assert house.sink.events[0].origin.address == "127.0.0.1"


def test_a_key_is_not_repeated_in_any_answer() -> None:
    for path in ("/v1/studies", "/v1/nowhere", "/v1/studies/x", "/v1/openapi.json"):
        assert KEY not in House().call("GET", path).text
