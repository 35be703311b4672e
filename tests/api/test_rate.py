"""How often one caller may ask."""

import pytest

from api.errors import RateLimitError
from api.rate import MOST_CALLERS, RateLimit
from tests.api.fakes import KEY, House

NO_KEY: list[tuple[bytes, bytes]] = []


class Seconds:
    """A clock that stands still unless it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def with_key(key: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {key}".encode())]


def refused(limit: RateLimit, address: str, headers: list[tuple[bytes, bytes]]) -> int:
    """Return for how many seconds it is refused; 0 if it passes."""
    try:
        limit.take(address, headers)
    except RateLimitError as error:
        return error.retry_after_s
    return 0


def test_a_minutes_worth_may_come_at_once_and_then_as_many_as_flow_in() -> None:
    clock = Seconds()
    limit = RateLimit(60, clock=clock)
    assert [refused(limit, "192.0.2.1", NO_KEY) for _ in range(61)] == [0] * 60 + [1]
    clock.now += 1
    assert [refused(limit, "192.0.2.1", NO_KEY) for _ in range(2)] == [0, 1]
    clock.now += 3600
    assert [refused(limit, "192.0.2.1", NO_KEY) for _ in range(61)] == [0] * 60 + [1]


def test_a_slow_limit_says_when_to_come_back() -> None:
    limit = RateLimit(2, clock=Seconds())
    assert [refused(limit, "192.0.2.1", NO_KEY) for _ in range(3)] == [0, 0, 30]


def test_a_key_is_counted_wherever_it_is_used_and_an_address_whatever_its_key() -> None:
    limit = RateLimit(2, clock=Seconds())
    passed = [refused(limit, f"192.0.2.{n}", with_key("one")) for n in range(3)]
    assert passed == [0, 0, 30]
    guessed = [refused(limit, "198.51.100.1", with_key(f"guess {n}")) for n in range(3)]
    assert guessed == [0, 0, 30]
    assert refused(limit, "203.0.113.1", with_key("another")) == 0


def test_a_site_cannot_change_its_address_within_its_network() -> None:
    limit = RateLimit(2, clock=Seconds())
    assert [refused(limit, f"2001:db8::{n}", NO_KEY) for n in range(1, 4)] == [0, 0, 30]
    assert refused(limit, "2001:db8:0:1::1", NO_KEY) == 0
    mapped = [refused(limit, a, NO_KEY) for a in ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1")]
    assert mapped == [0, 0, 30]


def test_a_refusal_costs_nothing_more_and_memory_is_bounded() -> None:
    clock = Seconds()
    limit = RateLimit(60, clock=clock)
    for number in range(MOST_CALLERS + 500):
        limit.take(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}", NO_KEY)
    assert len(limit._buckets) == MOST_CALLERS
    for _ in range(200):
        refused(limit, "192.0.2.1", NO_KEY)
    clock.now += 1
    assert refused(limit, "192.0.2.1", NO_KEY) == 0


def test_over_http_it_is_429_with_a_time_and_health_still_answers() -> None:
    house = House(requests_per_minute=3)
    statuses = [house.call("GET", "/v1/studies", key=KEY).status_code for _ in range(3)]
    assert statuses == [200, 200, 200]
    answer = house.call("GET", "/v1/studies", key=KEY)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "20"
    assert answer.json()["type"].endswith(":rate-limit")
    assert answer.json()["remedy"]
    assert house.call("GET", "/livez", key=None).status_code == 200


def test_a_thousand_requests_in_a_minute_pass_by_default() -> None:
    limit = RateLimit(House().settings.requests_per_minute, clock=Seconds())
    assert not any(refused(limit, "192.0.2.1", with_key("emr")) for _ in range(1000))


@pytest.mark.parametrize("order", [0, 1])
def test_a_request_with_two_lengths_is_refused(order: int) -> None:
    """Whoever stands before us may believe the other one, and let a second request through."""
    lengths = [("Content-Length", "5"), ("Transfer-Encoding", "chunked")]
    headers = dict(lengths[::-1] if order else lengths)
    answer = House().call("POST", "/v1/detect", key=KEY, content=b"x", headers=headers)
    assert answer.status_code == 400
    assert answer.headers["connection"] == "close"
    assert answer.json()["type"].endswith(":ambiguous-length")
