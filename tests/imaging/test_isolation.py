"""A child that crashes, hangs or wants too much ends its job, and the next one is served."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core.errors import CapacityError, UnsupportedPixelsError
from imaging.decode import Decoder
from imaging.errors import DecoderCrashError, DecoderTimeoutError, PixelBudgetError
from imaging.facts import DecoderLimits
from tests.imaging.objects import colour_object, hungry_object, multiframe_object

_OTHERS: set[int] = set()
"""Processes that earlier tests left to end by themselves."""


@pytest.fixture(autouse=True)
def _others() -> None:
    _OTHERS.clear()
    _OTHERS.update(process.pid for process in psutil.Process().children())


@pytest.fixture
def decoder(_others: None) -> Iterator[Decoder]:
    with Decoder(DecoderLimits(deadline_s=2, children=1), wait_s=0.2) as own:
        own.warm()
        yield own


def children() -> list[psutil.Process]:
    return [process for process in psutil.Process().children() if process.pid not in _OTHERS]


def nursery() -> psutil.Process:
    (process,) = children()
    return process


def child() -> psutil.Process:
    (process,) = nursery().children()
    return process


def assert_serves(decoder: Decoder) -> None:
    assert len(decoder.display_frames(colour_object())) == 1


def show_with_a_blow(decoder: Decoder, blow: signal.Signals) -> None:
    encoded = colour_object()
    with decoder.open_object((encoded,), len(encoded)) as opened:
        child().send_signal(blow)
        list(opened.frames())


@pytest.mark.parametrize(
    ("blow", "leaf", "text"),
    [
        (signal.SIGSEGV, DecoderCrashError, "SIGSEGV"),
        (signal.SIGKILL, DecoderCrashError, "SIGKILL"),
        (signal.SIGXCPU, DecoderTimeoutError, "processor time"),
        (signal.SIGSTOP, DecoderTimeoutError, "longer than 2 s"),
    ],
)
def test_a_child_that_dies_or_hangs_ends_one_job(
    decoder: Decoder, blow: signal.Signals, leaf: type[Exception], text: str
) -> None:
    with pytest.raises(leaf, match=text):
        show_with_a_blow(decoder, blow)
    assert_serves(decoder)


def test_pixels_beyond_the_budget_are_refused_before_they_are_decoded(decoder: Decoder) -> None:
    started = time.monotonic()
    with pytest.raises(PixelBudgetError, match=r"65535 x 65535 .* more than 256 MiB"):
        decoder.display_frames(hungry_object())
    assert time.monotonic() - started < 1
    assert_serves(decoder)


def test_a_child_that_wants_more_memory_than_it_may_have_ends_one_job() -> None:
    """8 GiB of pixels, 512 MiB allowed; a decoder in Rust aborts where Python can still speak."""
    limits = DecoderLimits(memory_mib=512, frame_mib=64 * 1024, deadline_s=20)
    with Decoder(limits) as decoder:
        with pytest.raises(UnsupportedPixelsError, match=r"more memory|SIGABRT"):
            decoder.display_frames(hungry_object())
        assert_serves(decoder)


def test_an_object_too_large_to_be_handed_over_is_refused() -> None:
    with (
        Decoder(DecoderLimits(encoded_mib=1)) as decoder,
        pytest.raises(PixelBudgetError, match="may be given"),
    ):
        decoder.display_frames(bytes(2 * 1024 * 1024))


def test_a_nursery_that_died_is_replaced(decoder: Decoder) -> None:
    nursery().kill()
    time.sleep(0.1)
    assert_serves(decoder)


def test_who_finds_no_free_child_is_told_to_come_back(decoder: Decoder) -> None:
    encoded = colour_object()
    with decoder.open_object((encoded,), len(encoded)), pytest.raises(CapacityError):
        assert_serves(decoder)
    assert_serves(decoder)


def test_a_child_is_replaced_after_its_jobs() -> None:
    with Decoder(DecoderLimits(jobs_per_child=2)) as decoder:
        decoder.warm()
        first = child().pid
        assert_serves(decoder)
        assert child().pid == first
        assert_serves(decoder)
        assert_serves(decoder)
        assert child().pid != first


def test_a_child_left_in_the_middle_is_not_used_again(decoder: Decoder) -> None:
    encoded = multiframe_object(50, side=256)
    before = child().pid
    with decoder.open_object((encoded,), len(encoded)) as opened:
        next(opened.frames())
    assert_serves(decoder)
    assert child().pid != before


def test_a_child_inherits_no_secret_and_can_write_no_file(decoder: Decoder) -> None:
    assert_serves(decoder)
    threads = {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MALLOC_ARENA_MAX"}
    assert set(child().environ()) <= threads | {"PYTHONPATH", "LANG", "LC_CTYPE"}
    files = Path(f"/proc/{child().pid}/fd")
    targets = sorted(str(link.readlink()).split(":")[0] for link in files.iterdir())
    assert targets == ["/dev/null", "/dev/null", "/dev/null", "socket"]
    limits = Path(f"/proc/{child().pid}/limits").read_text(encoding="ascii").splitlines()
    sizes = {line[:26].strip(): line[26:].split()[:2] for line in limits}
    assert sizes["Max file size"] == sizes["Max core file size"] == ["0", "0"]


def test_children_end_with_their_decoder(decoder: Decoder) -> None:
    processes = [nursery(), child()]
    decoder.close()
    gone, alive = psutil.wait_procs(processes, timeout=5)
    assert len(gone) == 2
    assert alive == []


def test_idle_children_give_their_memory_back() -> None:
    with Decoder(DecoderLimits(idle_s=0.3)) as decoder:
        assert_serves(decoder)
        assert children()
        deadline = time.monotonic() + 5
        while children() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert children() == []
        assert_serves(decoder)


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_no_descriptor_is_left_behind() -> None:
    before = descriptors()
    with Decoder(DecoderLimits(jobs_per_child=1)) as decoder:
        for _ in range(5):
            assert_serves(decoder)
    assert descriptors() == before
