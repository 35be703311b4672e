"""Inflate deflated data sets in bounded pieces, so that a bomb costs no more than any other object.

Source: PS3.5 A.5 (deflated transfer syntaxes), RFC 1951.
"""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

from core.errors import MalformedInstanceError
from core.limits import DataSetLimits

DEFLATED_TRANSFER_SYNTAXES = frozenset(
    {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}
)
"""Explicit VR Little Endian under a deflate stream. Source: PS3.5 A.5, A.7, A.9."""

PIECE_BYTES = 256 * 1024
"""So much is inflated at once."""

_TRAILER = struct.Struct("<LL")
"""CRC-32 and length of what was deflated. Source: RFC 1952 2.3.1."""
_FED_AT_ONCE = 64 * 1024
_REMEDY = (
    "If such objects are to be read, raise archive.max_inflated_bytes or "
    "archive.max_inflation_ratio"
)


class InflationError(MalformedInstanceError):
    """A deflated data set becomes so much larger that it must be taken for a bomb."""


class Inflater:
    """Push the bytes of one deflate stream through `pieces`, then call `finish`."""

    def __init__(self, limits: DataSetLimits | None = None) -> None:
        self._limits = limits or DataSetLimits()
        self._stream = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        self._taken = 0
        self._made = 0
        self._checksum = 0
        self._behind = b""

    def pieces(self, deflated: bytes | memoryview) -> Iterator[bytes]:
        """Yield what these next bytes inflate to, never more than `PIECE_BYTES` at once.

        Raises
        ------
        InflationError
            As soon as more has come out than the limits allow.
        MalformedInstanceError
            If the bytes are no deflate stream, or too many follow its end.
        """
        view = memoryview(deflated)
        for start in range(0, len(view), _FED_AT_ONCE):
            yield from self._inflated(bytes(view[start : start + _FED_AT_ONCE]))

    def finish(self) -> None:
        """Prove that the stream has ended, and that nothing hides behind it.

        Raises
        ------
        MalformedInstanceError
            If it is cut off, or other bytes follow than padding and its own check sum.
        """
        if not self._stream.eof:
            raise MalformedInstanceError(
                f"the deflated data set is cut off after {self._taken} bytes",
                remedy="Send the object again; if it stays so, the sender holds a damaged copy",
            )
        trailer = _TRAILER.pack(self._checksum, self._made & 0xFFFFFFFF)
        if self._behind not in {b"", b"\0", trailer, trailer + b"\0"}:
            raise _too_long()

    def _inflated(self, fed: bytes) -> Iterator[bytes]:
        if self._stream.eof:
            self._take_behind(fed)
            return
        while True:
            made, rest = self._step(fed)
            self._taken += len(fed) - len(rest)
            self._made += len(made)
            self._checksum = zlib.crc32(made, self._checksum)
            self._check()
            if made:
                yield made
            if self._stream.eof:
                self._take_behind(self._stream.unused_data)
                return
            if not rest and len(made) < PIECE_BYTES:
                return
            fed = rest

    def _step(self, fed: bytes) -> tuple[bytes, bytes]:
        """Return the next inflated bytes, and what was not taken yet."""
        try:
            made = self._stream.decompress(fed, PIECE_BYTES)
        except zlib.error:
            raise MalformedInstanceError(
                f"the data set is no deflate stream near byte {self._taken}",
                remedy="The bytes are not of the transfer syntax that was agreed on",
            ) from None
        return made, self._stream.unconsumed_tail

    def _check(self) -> None:
        limits = self._limits
        if self._made > limits.max_inflated_bytes:
            raise InflationError(
                f"the data set inflates to more than {limits.max_inflated_bytes} bytes",
                remedy=_REMEDY,
            )
        is_judged = self._made > limits.freely_inflated_bytes
        if is_judged and self._made > limits.max_inflation_ratio * self._taken:
            raise InflationError(
                f"the data set inflates to more than {limits.max_inflation_ratio} times its length",
                remedy=_REMEDY,
            )

    def _take_behind(self, behind: bytes) -> None:
        """Keep what follows the stream: the zero that makes its length even, or a check sum.

        Source: PS3.5 A.5; RFC 1952 2.3.1, for writers that take gzip's trailer along.
        """
        self._behind += behind
        if len(self._behind) > _TRAILER.size + 1:
            raise _too_long()


def _too_long() -> MalformedInstanceError:
    return MalformedInstanceError(
        "bytes follow the end of the deflated data set",
        remedy="Send the object without what is behind its data set",
    )


def inflated(deflated: bytes | memoryview, limits: DataSetLimits | None = None) -> BytesIO:
    """Return a whole deflated data set as it was before, ready to be read.

    Raises
    ------
    InflationError, MalformedInstanceError
        As `Inflater`.
    """
    inflater, whole = Inflater(limits), BytesIO()
    for piece in inflater.pieces(deflated):
        whole.write(piece)
    inflater.finish()
    whole.seek(0)
    return whole
