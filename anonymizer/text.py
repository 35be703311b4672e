"""Element values as text, and text as element values. Source: PS3.5 6.1, 6.2; PS3.3 C.12.1.1.2.

Values are read from their bytes here, not through pydicom: an element that is kept should not be
parsed and written anew, and a value that cannot be decoded must not end up in a warning.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from pydicom.charset import CODES_TO_ENCODINGS, ESC, convert_encodings, python_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

Element = DataElement | RawDataElement

UTF_8_TERM = "ISO_IR 192"
UTF_8: Final = convert_encodings(UTF_8_TERM)
"""What every released text is written in, as pydicom names it."""

TEXT_VRS = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
"""VRs whose bytes depend on Specific Character Set."""
STRING_VRS = TEXT_VRS | frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"))
_ONE_VALUE_VRS = frozenset(("LT", "ST", "UT", "UR"))
"""A backslash is a character in these. Source: PS3.5 6.2."""

DEFAULT_CODECS = ("latin_1",)
"""Without a character set only ASCII is right; this reads whatever else is there byte by byte."""
_UNKNOWN_CODEC = "latin_1"
_KEEPS_ESCAPE = frozenset(("iso2022_jp", "iso2022_jp_2"))
_FRAGMENTS = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")
_DELIMITERS = re.compile(rb"([\\^=\r\n\f\t])")


def codecs_of(terms: Iterable[str]) -> tuple[str, ...]:
    """Return the Python codecs of Specific Character Set; unknown terms read byte by byte."""
    named = [python_encoding.get(term.strip(), _UNKNOWN_CODEC) for term in terms]
    return tuple(named) or DEFAULT_CODECS


def decode(value: bytes, codecs: Sequence[str]) -> str:
    """Read `value`; bytes that are not of the character set become replacement characters."""
    if ESC not in value:
        return value.decode(codecs[0], errors="replace")
    return "".join(_fragment(part, codecs) for part in _FRAGMENTS.findall(value))


def _fragment(part: bytes, codecs: Sequence[str]) -> str:
    code = next((code for code in CODES_TO_ENCODINGS if part.startswith(code)), None)
    if code is None:
        return part.lstrip(ESC).decode(codecs[0], errors="replace")
    codec = CODES_TO_ENCODINGS[code]
    if codec in _KEEPS_ESCAPE:
        return part.decode(codec, errors="replace")
    designated, *rest = _DELIMITERS.split(part[len(code) :], maxsplit=1)
    # A delimiter ends what the escape sequence designated. Source: PS3.5 6.1.2.5.3.
    return designated.decode(codec, errors="replace") + b"".join(rest).decode(codecs[0], "replace")


def is_plain(value: bytes) -> bool:
    """Whether the bytes mean the same in every character set that we know."""
    return value.isascii() and ESC not in value


def strings(element: Element, vr: str, codecs: Sequence[str]) -> list[str]:
    """Return the values of an element as text, padding taken off; empty if it has none."""
    value = element.value
    if isinstance(value, bytes):
        text = decode(value, codecs)
        values = [text] if vr in _ONE_VALUE_VRS else text.split("\\")
    elif isinstance(value, MultiValue | list | tuple):
        values = [str(part) for part in value]
    else:
        values = [] if value is None else str(value).split("\\")
    stripped = [part.strip(" \0") for part in values]
    return stripped if any(stripped) else []


def is_empty_bytes(element: Element) -> bool:
    """Whether an element has no bytes at all."""
    return isinstance(element.value, bytes) and not element.value


def is_empty(element: Element) -> bool:
    """Whether an element has no value, or nothing but padding."""
    value = element.value
    if isinstance(value, bytes):
        return not value.strip(b" \0")
    return value is None or (hasattr(value, "__len__") and len(value) == 0)


def encoded(tag: int, vr: str, values: Sequence[str]) -> RawDataElement:
    """Write text as an element in UTF-8, padded to even length. Source: PS3.5 6.2, 7.1."""
    return binary(
        tag, vr, "\\".join(values).encode(errors="replace"), padding=b"\0" if vr == "UI" else b" "
    )


def binary(tag: int, vr: str, value: bytes, *, padding: bytes = b"\0") -> RawDataElement:
    """Write bytes as an element."""
    value += padding * (len(value) % 2)
    return RawDataElement(BaseTag(tag), vr, len(value), value, 0, False, True)
