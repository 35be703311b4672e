"""Worker threads with a limit and a deadline."""

import asyncio
import threading

import pytest

from api.crew import Crew
from api.errors import TooSlowError
from tests.api.fakes import Gate, House, jpeg


def test_work_that_waits_too_long_for_a_thread_is_not_begun() -> None:
    crew = Crew("test", threads=1, timeout_s=0.05)
    is_open, begun = threading.Event(), []

    async def crowd() -> None:
        first = asyncio.create_task(crew.run(lambda: is_open.wait(5)))
        await asyncio.sleep(0)
        with pytest.raises(TooSlowError):
            await crew.run(lambda: begun.append(1))
        with pytest.raises(TooSlowError):
            await first

    asyncio.run(crowd())
    is_open.set()
    crew.stop()
    assert begun == []


def test_a_detector_that_hangs_is_503_and_does_not_hold_up_the_rest() -> None:
    house = House(detection_timeout_s=0.1, max_concurrent_detections=1)
    gate = Gate()
    house.detector.detector = gate
    answer = house.detect(files={"file": jpeg(8)})
    assert answer.status_code == 503
    assert answer.json()["type"].endswith(":too-slow")
    assert house.call("GET", "/v1/studies").status_code == 200
    gate.is_open.set()
