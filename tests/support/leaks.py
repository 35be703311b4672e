"""Search places for identity values, in every form in which one could have got there.

A `Needle` is one value in one encoding and form. All are at least eight bytes long and unique to
the run, so that whatever is found was not there by chance.
"""

import base64
import json
import math
import re
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_from_bytes

import numpy as np
from pydicom.charset import convert_encodings, encode_string
from pydicom.dataset import Dataset
from pydicom.valuerep import VR, PersonName

SHORTEST = 8
"""Bytes; what is shorter may be found by chance."""

_STANDARD_ROOT = "1.2.840.10008."
_WORDS = re.compile(r"[^\^=\\\s,;:/@.&?_-]+")
_TEXT = {VR.PN, VR.LO, VR.SH, VR.LT, VR.ST, VR.UT, VR.UC, VR.UR, VR.AE, VR.DS, VR.IS, VR.CS}
_TIMES = {VR.DA, VR.DT, VR.TM}
_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})")


@dataclass(frozen=True, order=True)
class Hit:
    """An identity value where none may be."""

    place: str
    value: str
    form: str


@dataclass(frozen=True)
class Secret:
    """One identity value, and the bytes that it is written as."""

    text: str
    encodings: tuple[tuple[str, bytes], ...]
    """Name of the encoding, and the value in it."""

    @classmethod
    def of(cls, text: str, character_sets: Sequence[str] = ()) -> "Secret":
        """Return a value in UTF-8 and in the character set of its object."""
        written = {"UTF-8": text.encode()}
        if character_sets:
            own = _encoded(text, convert_encodings(list(character_sets)))
            written[f"its character set {'/'.join(character_sets)}"] = own
        return cls(text, tuple((name, value) for name, value in written.items()))


Marked = Callable[[str], bool]
"""Whether a text holds a word that was made for this run."""


def _encoded(text: str, encodings: list[str]) -> bytes:
    """Return a text as an element holds it; escapes begin anew in each part of a person's name."""
    if "^" in text or "=" in text:
        return bytes(PersonName(text, encodings).encode(encodings))
    return bytes(encode_string(text, encodings))


def secrets_of(dataset: Dataset, *, is_marked: Marked) -> list[Secret]:
    """Return every identity value of a data set: whole, and by its words and components.

    Identity are all marked texts, all dates, and all UIDs that the standard does not define, at
    every depth. Source: PS3.15 Table E.1-1.
    """
    value = dataset.get("SpecificCharacterSet") or ()
    character_sets = [value] if isinstance(value, str) else [str(name) for name in value]
    found: dict[str, Secret] = {}
    for element in dataset.iterall():
        values = element.value if element.VM > 1 else [element.value]
        for text in (str(one) for one in values if element.VR is not VR.SQ):
            for part in _identifying(element.VR, text, is_marked):
                found.setdefault(part, Secret.of(part, character_sets))
    return list(found.values())


def _identifying(vr: str, text: str, is_marked: Marked) -> Iterator[str]:
    if vr == VR.UI:
        if text and not text.startswith(_STANDARD_ROOT):
            yield text
    elif vr in _TIMES:
        date = _DATE.match(text) if vr != VR.TM else None
        if date:
            yield from (date[0], "-".join(date.groups()), ".".join(date.groups()))
        if len(text) > SHORTEST:
            yield text
    elif vr in _TEXT and is_marked(text):
        yield text
        yield from (word for word in _WORDS.findall(text) if is_marked(word))
        yield from (part for part in re.split(r"[\^=]", text) if is_marked(part))


def forms(value: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield every form in which a value may lie within other bytes."""
    yield "plain", value
    yield "hex", value.hex().encode()
    yield "HEX", value.hex().upper().encode()
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + value)
        first, last = math.ceil(offset * 8 / 6), (offset + len(value)) * 8 // 6
        yield f"base64 at {offset}", encoded[first:last]
        yield f"base64url at {offset}", encoded[first:last].translate(_URL_SAFE)
    yield "percent", quote_from_bytes(value, safe="").encode()
    for case in (bytes.lower, bytes.upper):
        yield f"{case.__name__} case", case(value)


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def needles(secrets: Iterable[Secret]) -> dict[bytes, tuple[str, str]]:
    """Return what to search for: bytes, and value and form that they stand for."""
    wanted: dict[bytes, tuple[str, str]] = {}
    for secret in secrets:
        for name, value in secret.encodings:
            for form, needle in forms(value):
                wanted.setdefault(needle, (secret.text, f"{name}, {form}"))
        for escaped in (json.dumps(secret.text)[1:-1], ascii(secret.text)[1:-1]):
            wanted.setdefault(escaped.encode(), (secret.text, "escaped"))
    short = [value for needle, value in wanted.items() if len(needle) < SHORTEST]
    if short:
        raise ValueError(f"too short to search for: {short}")
    return wanted


class Scanner:
    """Finds needles in bytes, files, databases and descriptors of processes."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._by_prefix: dict[int, list[bytes]] = {}
        self._meaning = needles(secrets)
        for needle in self._meaning:
            self._by_prefix.setdefault(_prefix(needle), []).append(needle)
        self._prefixes = np.array(sorted(self._by_prefix), np.uint64)

    def scan(self, place: str, data: bytes) -> set[Hit]:
        """Return what is found in `data`."""
        hits: set[Hit] = set()
        if not len(self._prefixes):
            return hits
        for shift in range(SHORTEST):
            count = (len(data) - shift) // SHORTEST
            if count <= 0:
                break
            windows = np.frombuffer(data, "<u8", count, shift)
            nearest = np.searchsorted(self._prefixes, windows).clip(max=len(self._prefixes) - 1)
            for index in np.flatnonzero(self._prefixes[nearest] == windows):
                position = shift + SHORTEST * int(index)
                for needle in self._by_prefix[int(windows[index])]:
                    if data.startswith(needle, position):
                        hits.add(Hit(place, *self._meaning[needle]))
        return hits

    def scan_tree(self, place: str, folder: Path) -> set[Hit]:
        """Return what is found in the files below a folder, and in their names."""
        hits: set[Hit] = set()
        for path in sorted(folder.rglob("*")):
            hits |= self.scan(f"{place}: a name", str(path.relative_to(folder)).encode())
            try:
                if not stat.S_ISREG(path.lstat().st_mode):
                    continue
                content = path.read_bytes()
            except FileNotFoundError:
                continue  # removed since it was listed
            hits |= self.scan(f"{place}: {path.relative_to(folder)}", content)
        return hits

    def scan_database(self, place: str, path: Path) -> set[Hit]:
        """Return what is found in the cells of a SQLite database, those in its log included."""
        hits: set[Hit] = set()
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (table,) in names.fetchall():
                rows = connection.execute(f'SELECT * FROM "{table}"')
                cells = [_bytes(cell) for row in rows for cell in row]
                hits |= self.scan(f"{place}: table {table}", b"\n".join(cells))
        return hits

    def scan_unlinked(self, place: str, processes: Iterable[int]) -> set[Hit]:
        """Return what is found in files without a name that processes hold open or have mapped."""
        hits: set[Hit] = set()
        for process in processes:
            for link in _links(process):
                hits |= self.scan(place, _unlinked(link))
        return hits

    def scan_streams(self, place: str, streams: Mapping[str, bytes]) -> set[Hit]:
        """Return what is found in streams of bytes, by their names."""
        return {
            hit for name, data in streams.items() for hit in self.scan(f"{place}: {name}", data)
        }


def _prefix(needle: bytes) -> int:
    return int.from_bytes(needle[:SHORTEST], "little")


def _bytes(cell: object) -> bytes:
    return cell if isinstance(cell, bytes) else str(cell).encode("utf-8", "surrogateescape")


def _links(process: int) -> list[Path]:
    found: list[Path] = []
    for folder in ("fd", "map_files"):
        try:
            found += Path("/proc", str(process), folder).iterdir()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended
    return found


def _unlinked(link: Path) -> bytes:
    try:
        target = str(link.readlink())
        if not target.endswith(" (deleted)") or not stat.S_ISREG(link.stat().st_mode):
            return b""
        return link.read_bytes()
    except OSError:
        return b""  # it ended, or closed the file
