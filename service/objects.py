"""Whole objects out of bytes: checked from end to end before a parser that trusts them is let near.

An object is checked while it is read: what cannot be one costs no more than its first bytes.
"""

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import TypeVar

from pydicom.dataset import FileDataset

from core.dataset_stream import DataSetScanner
from core.errors import InputError, MalformedInstanceError, ServiceError
from core.limits import DataSetLimits
from core.part10 import meta_of, parse_file

MAX_OBJECT_BYTES = 2 * 1024**3

_PREFIX = b"DICM"
_META_START = 132
_GROUP_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"
"""How the meta information begins. Source: PS3.10 7.1."""
_GROUP_LENGTH_END = 12
_MAX_META_BYTES = 64 * 1024
_SCANNED_AT_ONCE = 256 * 1024
_UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
"""What a data set without a head can be encoded in."""

_Read = TypeVar("_Read")


def read_part10(content: bytes, limits: DataSetLimits | None = None) -> FileDataset:
    """Read a whole Part 10 file.

    Raises
    ------
    MalformedInstanceError
        If it is none, is cut, breaks a limit, or cannot be parsed.
    """
    if content[128:132] != _PREFIX:
        raise MalformedInstanceError("this is no DICOM file: it lacks the prefix DICM")
    start = _meta_end(content, _META_START)
    scanner = DataSetScanner(_transfer_syntax(content[:start]), limits)
    with memoryview(content) as view:
        for position in range(start, len(content), _SCANNED_AT_ONCE):
            scanner.feed(view[position : position + _SCANNED_AT_ONCE])
    scanner.finish()
    return _translated(lambda: parse_file(BytesIO(content), limits))


def read_pieces(pieces: Iterable[bytes], limits: DataSetLimits | None = None) -> FileDataset:
    """Read an object, as a Part 10 file or as a bare data set, whose bytes come in pieces.

    Raises
    ------
    InputError
        If it is longer than 2 GiB.
    MalformedInstanceError
        As soon as it cannot be an object, or breaks a limit; if it is cut, or cannot be parsed.
    """
    content, check = BytesIO(), _Check(limits)
    for piece in pieces:
        content.write(piece)
        if content.tell() > MAX_OBJECT_BYTES:
            raise InputError("the object is longer than 2 GiB")
        with content.getbuffer() as view:
            check.take(view)
    with content.getbuffer() as view:
        check.finish(view)
    content.seek(0)
    return _translated(lambda: parse_file(content, limits))


class _Check:
    """Scan the bytes so far; a bare data set in each encoding that it can still be in."""

    def __init__(self, limits: DataSetLimits | None) -> None:
        self._limits = limits
        self._scanners: list[DataSetScanner] = []
        self._is_file = False
        self._position = 0

    def take(self, view: memoryview, *, is_whole: bool = False) -> None:
        """Scan what is new in `view`."""
        if not self._scanners and not self._begin(view, is_whole=is_whole):
            return
        fresh = bytes(view[self._position :])  # a slice would hold on to the buffer
        self._position = len(view)
        self._each(lambda scanner: scanner.feed(fresh))

    def finish(self, view: memoryview) -> None:
        """Prove that the object is whole."""
        self.take(view, is_whole=True)
        self._each(lambda scanner: scanner.finish())

    def _begin(self, view: memoryview, *, is_whole: bool) -> bool:
        """Choose what to scan with, once enough is there to tell."""
        if len(view) < _META_START + _GROUP_LENGTH_END and not is_whole:
            return False
        has_preamble = view[_META_START - 4 : _META_START] == _PREFIX
        self._is_file = has_preamble or view[: len(_GROUP_LENGTH)] == _GROUP_LENGTH
        if not self._is_file:
            self._scanners = [DataSetScanner(syntax, self._limits) for syntax in _UNCOMPRESSED]
            return True
        start = _meta_end(view, _META_START if has_preamble else 0)
        if len(view) < start and not is_whole:
            return False
        self._scanners = [DataSetScanner(_transfer_syntax(bytes(view[:start])), self._limits)]
        self._position = min(start, len(view))
        return True

    def _each(self, step: Callable[[DataSetScanner], object]) -> None:
        left, refusal = [], _no_object()
        for scanner in self._scanners:
            try:
                step(scanner)
                left.append(scanner)
            except MalformedInstanceError as error:
                refusal = error
        if not left:
            raise refusal if self._is_file else _no_object()
        self._scanners = left


def _no_object() -> MalformedInstanceError:
    return MalformedInstanceError("the file is no DICOM object")


def _meta_end(content: bytes | memoryview, start: int) -> int:
    """Return where the meta information that begins at `start` ends and the data set begins."""
    end = start + _GROUP_LENGTH_END
    length = int.from_bytes(content[end - 4 : end], "little")
    if content[start : end - 4] != _GROUP_LENGTH or length > _MAX_META_BYTES:
        raise MalformedInstanceError("the file does not begin with its meta information")
    return end + length


def _transfer_syntax(head: bytes) -> str:
    value = _translated(lambda: meta_of(BytesIO(head)).get("TransferSyntaxUID"))
    if not isinstance(value, str):
        raise MalformedInstanceError("the file names no transfer syntax, or two")
    return value


def _translated(read: Callable[[], _Read]) -> _Read:
    try:
        return read()
    except ServiceError:
        raise
    except Exception as error:  # noqa: BLE001 - pydicom lets a dozen types escape (NET-7)
        # The chain is cut: the text of a parser's error may hold a value.
        raise MalformedInstanceError(
            f"the DICOM file cannot be read ({type(error).__name__})"
        ) from None
