"""The `api:` section of config.yaml."""

from typing import Any

import pytest
from pydantic import ValidationError

from api.settings import ApiSettings


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"host": "0.0.0.0"}, "tls_certificate_file"),
        ({"host": "::"}, "allow_plain_http"),
        ({"host": "api.hospital.example"}, "reached from other machines"),
        ({"tls_certificate_file": "c.pem"}, "belong together"),
        ({"max_body_bytes": 2, "max_buffered_bytes": 1}, "max_buffered_bytes"),
        ({"port": 65536}, "port"),
        ({"prot": 80}, "prot"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        ApiSettings(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"host": "localhost"},
        {"host": "::1"},
        {"host": "0.0.0.0", "allow_plain_http": True},
        {"host": "0.0.0.0", "tls_certificate_file": "c.pem", "tls_key_file": "k.pem"},
    ],
)
def test_a_listener_is_open_only_where_it_is_meant_to_be(fields: dict[str, Any]) -> None:
    assert ApiSettings(**fields).port == 8080
