"""Pictures out of objects and files, decoded in disposable children.

Source: PS3.3 C.11 (display values), PS3.5 8 and A.4 (encodings)
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self

import numpy as np
from numpy.typing import NDArray

from core.records import dump_record, load_record
from imaging.facts import DecoderLimits, DisplayFrame, PixelFacts, Window
from imaging.isolation import Child, ChildPool, check_encoded
from imaging.wire import Buffer, ChannelClosedError, Header

_AS_THE_OBJECT_SAYS = Window()


class OpenedObject:
    """An object in a child's hands: its facts are known, nothing is decoded yet."""

    def __init__(self, child: Child, facts: PixelFacts) -> None:
        self.facts = facts
        self._child = child
        self._is_streaming = False

    def frames(
        self, numbers: Sequence[int] | None = None, *, window: Window = _AS_THE_OBJECT_SAYS
    ) -> Iterator[DisplayFrame]:
        """Yield the frames of these numbers (1 for the first; None for all), one at a time.

        The child waits while nobody asks for the next one, so that any number of frames takes the
        memory of few. May be called again after the last frame, as for another window.

        Raises
        ------
        InputError
            If the pixels cannot be shown; its leaf says why.
        """
        wanted = None if numbers is None else list(numbers)
        request = {"want": "frames", "frames": wanted, "window": dump_record(window).decode()}
        self._is_streaming = True
        self._child.send(request)
        while "end" not in (header := self._child.receive()):
            yield DisplayFrame(int(header["frame"]), _pixels(self._child, header))
        self._is_streaming = False

    def finish(self) -> None:
        """Let the child go on to its next job, unless frames were left with it."""
        if not self._child.is_settled and not self._is_streaming:
            self._child.send({"want": "nothing"})
            self._child.is_settled = True


class Decoder:
    """Turns objects and pictures into display values; safe to use from many threads.

    Close it, or use it in a `with` statement, to end its children.
    """

    def __init__(self, limits: DecoderLimits | None = None, *, wait_s: float = 120.0) -> None:
        self.limits = limits or DecoderLimits()
        self._pool = ChildPool(self.limits)
        self._wait_s = wait_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm(self) -> None:
        """Start a child now, so that the first job does not wait for it."""
        self._pool.warm()

    def close(self) -> None:
        """End all children."""
        self._pool.close()

    @contextmanager
    def open_object(self, pieces: Iterable[Buffer], size: int) -> Iterator[OpenedObject]:
        """Hand a Part 10 file of `size` bytes to a child, piece by piece, and parse it there.

        Raises
        ------
        InputError
            If it cannot be parsed, or breaks a limit.
        CapacityError
            If no child is free.
        """
        check_encoded(size, self.limits)
        with self._pool.lend(wait_s=self._wait_s) as child:
            child.send({"job": "object"}, pieces, size)
            facts = load_record(PixelFacts, child.receive()["facts"].encode())
            opened = OpenedObject(child, facts)
            yield opened
            opened.finish()

    def iter_display_frames(
        self,
        part10: Buffer,
        *,
        frames: Sequence[int] | None = None,
        window: Window = _AS_THE_OBJECT_SAYS,
    ) -> Iterator[DisplayFrame]:
        """Yield the frames of these numbers (1 for the first; None for all), one at a time."""
        with self.open_object((part10,), memoryview(part10).nbytes) as opened:
            yield from opened.frames(frames, window=window)

    def display_frames(
        self,
        part10: Buffer,
        *,
        frames: Sequence[int] | None = None,
        window: Window = _AS_THE_OBJECT_SAYS,
    ) -> list[NDArray[np.uint8]]:
        """Return the frames of these numbers (1 for the first; None for all).

        Returns
        -------
        (rows, columns) for grey values, (rows, columns, 3) RGB for colours, each
        """
        return [
            frame.pixels for frame in self.iter_display_frames(part10, frames=frames, window=window)
        ]

    def facts(self, part10: Buffer) -> PixelFacts:
        """Return what the header of an object says about its pixels."""
        with self.open_object((part10,), memoryview(part10).nbytes) as opened:
            return opened.facts

    def picture(self, data: Buffer) -> NDArray[np.uint8]:
        """Return the pixels of a JPEG or PNG picture.

        Returns
        -------
        (rows, columns) for grey pictures, (rows, columns, 3) RGB for all others

        Raises
        ------
        InputError
            If it is no picture, a damaged one, or breaks a limit.
        """
        size = memoryview(data).nbytes
        check_encoded(size, self.limits)
        with self._pool.lend(wait_s=self._wait_s) as child:
            child.send({"job": "picture"}, (data,), size)
            pixels = _pixels(child, child.receive())
            child.is_settled = True
            return pixels


def _pixels(child: Child, header: Header) -> NDArray[np.uint8]:
    """Return the pixels that came with `header`; what does not fit is a child gone wrong."""
    try:
        return np.frombuffer(child.payload(), dtype=np.uint8).reshape(header["shape"])
    except (ValueError, KeyError, TypeError):
        raise ChannelClosedError from None
