"""The decoder's side of the wall: a small clean process that forks one child for each decoder.

`python -m imaging.child DESCRIPTOR LIMITS` is the *nursery*. It imports the decoders once, has an
empty environment, no descriptors but the one it is given, and one thread, so that forking from it
is quick and safe. Its *children* put limits on themselves and then serve jobs over a socket of
their own. Nothing here may write a file, not even a core dump.
"""

import ctypes
import gc
import importlib
import io
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict

from core.errors import MalformedInstanceError, ServiceError
from core.records import dump_record, load_record
from imaging.errors import PixelBudgetError
from imaging.facts import MIB, DecoderLimits, PixelFacts, Window
from imaging.wire import Channel, ChannelClosedError, Header

SPAWN, END = b"S", b"E"
PID_BYTES, STATUS_BYTES = 8, 4
_PR_SET_PDEATHSIG = 1
_CHILD_DESCRIPTOR = 3


def main() -> None:
    """Run the nursery until its parent is gone."""
    control = socket.socket(fileno=int(sys.argv[1]))
    limits = DecoderLimits(**json.loads(sys.argv[2]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _import_decoders()
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # imports may cache what they compiled
    gc.freeze()
    children: set[int] = set()
    try:
        _serve_nursery(control, limits, children)
    finally:
        for pid in children:
            _end(pid)


def _import_decoders() -> None:
    """Import now, once, what every child needs."""
    for name in (
        "PIL.JpegImagePlugin",
        "PIL.PngImagePlugin",
        "pydicom.pixels.decoders",
        "imaging.pictures",
        "imaging.stored",
        "imaging.values",
    ):
        importlib.import_module(name)


def _serve_nursery(control: socket.socket, limits: DecoderLimits, children: set[int]) -> None:
    control.sendall(b"R")
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, 1 + PID_BYTES, 1)
        if not order:
            return
        if order[:1] == SPAWN:
            pid = _fork(descriptors[0], limits)
            children.add(pid)
            os.close(descriptors[0])
            control.sendall(pid.to_bytes(PID_BYTES, "big"))
        else:
            pid = int.from_bytes(order[1:], "big")
            children.remove(
                pid
            )  # a number that is not one of ours ends the nursery, not a stranger
            control.sendall(_end(pid).to_bytes(STATUS_BYTES, "big", signed=True))


def _end(pid: int) -> int:
    """End a child and return how it ended: its exit code, or the signal as a negative number."""
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _fork(descriptor: int, limits: DecoderLimits) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.dup2(descriptor, _CHILD_DESCRIPTOR)
        os.closerange(_CHILD_DESCRIPTOR + 1, 1024)
        _limit(limits)
        _serve_jobs(Channel(socket.socket(fileno=_CHILD_DESCRIPTOR)), limits)
    except ChannelClosedError:
        status = 0
    finally:
        os._exit(status)


def _limit(limits: DecoderLimits) -> None:
    size = limits.memory_mib * MIB
    seconds = int(limits.deadline_s * (limits.jobs_per_child + 1)) + 1
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def _allow_processor_time(deadline_s: float) -> None:
    """Give this job its processor time: the kernel ends the child when it is used up."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = int(usage.ru_utime + usage.ru_stime + deadline_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (min(soft, hard), hard))


def _serve_jobs(channel: Channel, limits: DecoderLimits) -> None:
    """Serve one job after the other until the other side is gone."""
    while True:
        header, _ = channel.receive()
        _allow_processor_time(limits.deadline_s)
        job = _serve_object if header["job"] == "object" else _serve_picture
        try:
            job(channel, limits)
        except ServiceError as error:
            channel.send(_refusal(error))
        except MemoryError:
            channel.send(_refusal(_too_large(limits)))
        except RecursionError:
            channel.send(_refusal(MalformedInstanceError("sequences are nested too deeply")))
        gc.collect()


def _serve_picture(channel: Channel, limits: DecoderLimits) -> None:
    from imaging.pictures import decode_picture

    pixels = decode_picture(_received(channel), budget_mib=limits.frame_mib)
    channel.send({"shape": pixels.shape}, pixels.data.cast("B"))


def _serve_object(channel: Channel, limits: DecoderLimits) -> None:
    """Parse an object, tell its facts, and show frames as often as asked."""
    from imaging.stored import pixel_facts, read_object

    dataset = read_object(_received(channel), limits)
    facts = pixel_facts(dataset)
    channel.send({"facts": dump_record(facts).decode()})
    while True:
        request, _ = channel.receive()
        if request["want"] == "nothing":
            return
        _allow_processor_time(limits.deadline_s)
        for header, pixels in _shown(dataset, facts, limits, request):
            channel.send(header, pixels)
        channel.send({"end": True})


def _shown(
    dataset: object, facts: PixelFacts, limits: DecoderLimits, request: Header
) -> Iterator[tuple[Header, memoryview]]:
    import numpy as np
    from pydicom import Dataset

    from imaging.stored import check_budget, stored_frames
    from imaging.values import display_frame

    assert isinstance(dataset, Dataset)
    window = load_record(Window, request["window"].encode())
    check_budget(facts, limits)
    for frame in stored_frames(dataset, facts, request["frames"]):
        try:
            pixels = np.ascontiguousarray(display_frame(frame, dataset, window))
        except (ServiceError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - pydicom lets a dozen types escape (NET-7)
            raise MalformedInstanceError(
                f"the values cannot be shown ({type(error).__name__})"
            ) from None
        yield {"frame": frame.number, "shape": pixels.shape}, pixels.data.cast("B")
        _allow_processor_time(limits.deadline_s)


def _received(channel: Channel) -> io.BytesIO:
    """Return the payload; a growing buffer, because a second copy would count against us."""
    buffer = io.BytesIO()
    for piece in channel.payload_pieces():
        buffer.write(piece)
    buffer.seek(0)
    return buffer


def _refusal(error: ServiceError) -> Header:
    return {"error": type(error).__name__, "message": error.message, "remedy": error.remedy}


def _too_large(limits: DecoderLimits) -> PixelBudgetError:
    return PixelBudgetError(
        f"the pixels need more memory than a decoder may have ({limits.memory_mib} MiB)",
        remedy="If such objects are meant to be read, raise inference.decoder.memory_mib",
    )


def arguments(descriptor: int, limits: DecoderLimits) -> list[str]:
    """Return the command line of a nursery."""
    return [sys.executable, "-m", "imaging.child", str(descriptor), json.dumps(asdict(limits))]


if __name__ == "__main__":
    main()
