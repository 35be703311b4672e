"""`/v1/peers`: who may connect, and who was refused."""

from tests.api.fakes import House


def test_peers_are_listed_with_what_they_may() -> None:
    (peer,) = House().call("GET", "/v1/peers").json()["peers"]
    assert (peer["name"], peer["allow"]) == ("ct1", ["echo", "store"])


def test_a_refused_caller_is_listed_with_what_lets_it_in() -> None:
    (caller,) = House().call("GET", "/v1/peers/unknown").json()["callers"]
    assert caller["count"] == 3
    assert caller["what_allows"].startswith("second-reader peer allow")
