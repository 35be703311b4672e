"""Limits of bodies: size, all of them together, time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest

from api.body import BodyBudget
from core.errors import CapacityError
from tests.api.fakes import KEY, Gate, House, jpeg

JSON = {"Content-Type": "application/json"}


def form_bytes(size: int) -> bytes:
    head = b'--B\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
    tail = b"\r\n--B--\r\n"
    return head + jpeg(8).ljust(size - len(head) - len(tail), b"\0") + tail


@pytest.mark.parametrize(("size", "status"), [(5000, 200), (5001, 413)])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_the_size_limit_holds_to_the_byte(size: int, status: int, *, is_chunked: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        body = form_bytes(size)
        for start in range(0, size, 1000):
            yield body[start : start + 1000]

    answer = House(max_body_bytes=5000).detect(
        content=chunks() if is_chunked else form_bytes(size),
        headers={"Content-Type": "multipart/form-data; boundary=B"},
    )
    assert answer.status_code == status, answer.text


def test_a_body_declared_too_large_is_refused_before_its_first_byte() -> None:
    pulled = []

    async def body() -> AsyncIterator[bytes]:
        pulled.append(1)
        yield b"{"

    answer = House(max_body_bytes=100).detect(
        content=body(), headers=JSON | {"Content-Length": "101"}
    )
    assert answer.status_code == 413
    assert "api.max_body_bytes" in answer.json()["remedy"]
    assert pulled == []


@pytest.mark.parametrize("declared", ["-1", "1e3", "0x10", "\u0661".encode()])
def test_a_length_that_is_no_number_is_refused(declared: str | bytes) -> None:
    answer = House().detect(content=b"{}", headers=JSON | {"Content-Length": declared})
    assert answer.status_code == 400


def test_an_endless_body_ends_at_the_limit() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1000)

    answer = House(max_body_bytes=10_000).detect(content=endless(), headers=JSON)
    assert answer.status_code == 413


def test_all_bodies_together_have_a_limit_and_are_given_back() -> None:
    house = House(max_body_bytes=6000, max_buffered_bytes=9000)
    gate = Gate()
    house.detector.detector = gate

    async def two() -> tuple[int, int]:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(house.app),
            base_url="http://api",
            headers={
                "Authorization": f"Bearer {KEY}",
                "Content-Type": "multipart/form-data; boundary=B",
            },
        ) as client:
            first = asyncio.create_task(client.post("/v1/detect", content=form_bytes(5000)))
            await asyncio.to_thread(gate.entered.acquire)
            second = await client.post("/v1/detect", content=form_bytes(5000))
            gate.is_open.set()
            return (await first).status_code, second.status_code

    assert asyncio.run(two()) == (200, 503)
    assert house.detect(files={"file": jpeg(8)}).status_code == 200


def test_a_budget_takes_back_what_a_failed_request_took() -> None:
    budget = BodyBudget(100)
    with contextlib.suppress(CapacityError), budget.lease() as lease:
        lease.take(60)
        lease.take(60)
    assert budget.used == 0


def test_a_body_is_not_spooled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starlette would write it to a temporary file beyond 1 MB."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file was opened")

    for name in ("SpooledTemporaryFile", "TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(f"tempfile.{name}", refuse)
    answer = House().detect(files={"file": jpeg(8) + bytes(3_000_000)})
    assert answer.status_code == 200
