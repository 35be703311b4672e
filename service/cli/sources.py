"""The files that a command is to read: those named, those below a folder, the members of a ZIP.

What came on a medium or was packed by somebody is not to be trusted: a link may lead out of its
folder, a member may be a bomb, a directory of members may be endless. Nothing is ever written under
a name that comes from there.
"""

import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import InputError, MalformedInstanceError

MAX_MEMBER_BYTES = 2 * 1024**3
"""A member of a ZIP longer than this is not unpacked."""
MAX_DIRECTORY_BYTES = 4 * 1024**2
"""The directory of a ZIP with some 50,000 members; one of it takes ten times that in memory."""
MAX_RATIO = 100
"""Unpacked over packed length, once more than `FREE_BYTES` have come out."""
FREE_BYTES = 16 * 1024**2

_READ_BYTES = 256 * 1024
_DIRECTORY_SIZE = zipfile._ECD_SIZE  # type: ignore[attr-defined] # the module has no public way
_HEAD_BYTES = 132


@dataclass(frozen=True)
class Source:
    """One file to read, or one member of a ZIP."""

    name: str
    read: Callable[[], Iterable[bytes]]


def sources(paths: Iterable[Path]) -> Iterator[Source]:
    """Yield every file below `paths`, and every member of a ZIP, in the order of their names.

    Raises
    ------
    InputError
        If one of `paths` is not there, or a ZIP cannot be read or has too many members.
    """
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} is not there")
        if path.is_dir():
            for file in sorted(one for one in path.rglob("*") if one.is_file()):
                yield from _of_file(file, path)
        elif path.is_file():
            yield from _of_file(path, None)
        else:
            raise InputError(f"{path} is neither a file nor a folder")


def _of_file(file: Path, folder: Path | None) -> Iterator[Source]:
    if folder is not None and not file.resolve().is_relative_to(folder.resolve()):
        yield Source(str(file), _refused("it is a link that leads out of the folder"))
    elif _is_archive(file):
        yield from _members(file)
    else:
        yield Source(str(file), _reader(file))


def _is_archive(file: Path) -> bool:
    """Whether it is a ZIP; an object to whose end one was added is an object."""
    try:
        with file.open("rb") as opened:
            is_object = opened.read(_HEAD_BYTES)[128:] == b"DICM"
        return not is_object and zipfile.is_zipfile(file)
    except OSError:
        return False  # that it cannot be read is said when it is


def _members(archive: Path) -> Iterator[Source]:
    for info in _directory(archive):
        name = f"{archive}:{info.filename}"
        if info.file_size > MAX_MEMBER_BYTES:
            yield Source(name, _refused("it unpacks to more than 2 GiB"))
        else:
            yield Source(name, _member_reader(archive, info))


def _directory(archive: Path) -> list[zipfile.ZipInfo]:
    try:
        with archive.open("rb") as file:
            end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
            if end is None or end[_DIRECTORY_SIZE] > MAX_DIRECTORY_BYTES:
                raise InputError(
                    f"{archive} has more than some 50,000 members",
                    remedy="Unpack it and name the folder",
                )
            with zipfile.ZipFile(file) as opened:
                infos = [info for info in opened.infolist() if not info.is_dir()]
    except _ZIP_FAULTS as error:
        raise InputError(f"{archive} cannot be unpacked ({type(error).__name__})") from None
    return sorted(infos, key=lambda info: info.filename)


def _refused(reason: str) -> Callable[[], Iterable[bytes]]:
    def read() -> Iterator[bytes]:
        raise MalformedInstanceError(reason)
        yield b""

    return read


def _reader(file: Path) -> Callable[[], Iterable[bytes]]:
    def read() -> Iterator[bytes]:
        with file.open("rb") as opened:
            while piece := opened.read(_READ_BYTES):
                yield piece

    return read


def _member_reader(archive: Path, info: zipfile.ZipInfo) -> Callable[[], Iterable[bytes]]:
    def read() -> Iterator[bytes]:
        made, packed = 0, min(info.compress_size, archive.stat().st_size)
        try:
            with zipfile.ZipFile(archive) as opened, opened.open(info) as member:
                while piece := member.read(_READ_BYTES):
                    made += len(piece)
                    _check(made, packed)
                    yield piece
        except _ZIP_FAULTS as error:
            raise MalformedInstanceError(
                f"the member of the ZIP cannot be unpacked ({type(error).__name__})"
            ) from None

    return read


def _check(made: int, packed: int) -> None:
    """Go by what comes out: a header may lie about the size."""
    if made > MAX_MEMBER_BYTES:
        raise MalformedInstanceError("it unpacks to more than 2 GiB")
    if made > FREE_BYTES and made > MAX_RATIO * packed:
        raise MalformedInstanceError(
            f"it unpacks to more than {MAX_RATIO} times its length",
            remedy="If it is no bomb, unpack it and name the file",
        )


_ZIP_FAULTS = (
    zipfile.BadZipFile,
    RuntimeError,
    NotImplementedError,
    ValueError,
    EOFError,
    zlib.error,
)
"""What `zipfile` raises for archives that are damaged, locked, or packed in another way."""
