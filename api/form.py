"""Read a multipart form into memory while it arrives. Source: RFC 7578."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from api.errors import InvalidFieldError, MalformedBodyError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_HEADERS = 8
MAX_HEADER_BYTES = 4096
"""Of one part; a file name is the longest thing in it, and it is not looked at."""


@dataclass(frozen=True)
class Part:
    """One field of a form."""

    content_type: str
    """As declared, lower case, without parameters; empty if it was not."""
    content: bytes

    def text(self, name: str) -> str:
        """Return the content as text, or refuse it in the name of its field."""
        try:
            return self.content.decode()
        except UnicodeDecodeError:
            raise InvalidFieldError(f"the field {name} is not text in UTF-8") from None


async def read_form(
    pieces: AsyncIterator[bytes], *, boundary: str | None, max_bytes_by_name: Mapping[str, int]
) -> dict[str, Part]:
    """Return the parts of a form by name; only those in `max_bytes_by_name` are allowed.

    Raises
    ------
    MalformedBodyError
        If it is no multipart form, or is cut off.
    InvalidFieldError
        If a part is unknown, comes twice, or is longer than its limit.
    """
    form = _Form(max_bytes_by_name)
    try:
        parser = MultipartParser(
            boundary or "",
            form.callbacks(),
            max_header_count=MAX_HEADERS,
            max_header_size=MAX_HEADER_BYTES,
        )
        if not boundary:
            raise MalformedBodyError("multipart/form-data came without its boundary")
        async for piece in pieces:
            parser.write(piece)
    except FormParserError:
        # The chain is cut: the parser's text quotes bytes of the body.
        raise MalformedBodyError("the body is not a multipart form") from None
    if not form.is_whole:
        raise MalformedBodyError("the form is cut off before its last boundary")
    return form.parts


class _Form:
    """Collects what the push parser calls out."""

    def __init__(self, max_bytes_by_name: Mapping[str, int]) -> None:
        self.parts: dict[str, Part] = {}
        self.is_whole = False
        self._limits = max_bytes_by_name
        self._headers: dict[bytes, bytes] = {}
        self._field = bytearray()
        self._value = bytearray()
        self._content: list[bytes] = []
        self._size = 0
        self._name = ""

    def callbacks(self) -> "MultipartCallbacks":
        """Return our methods under the names that the parser knows."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_field,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add_content,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._headers.clear()
        self._content.clear()
        self._size = 0

    def _add_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        field = bytes(self._field).lower()
        if field in self._headers:
            raise MalformedBodyError("a part has the same header twice")
        self._headers[field] = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if kind != b"form-data" or b"name" not in options:
            raise MalformedBodyError("a part does not say which field of the form it is")
        if self._headers.get(b"content-transfer-encoding", b"binary").lower() not in _PLAIN:
            raise MalformedBodyError("a part has a Content-Transfer-Encoding (RFC 7578 4.7)")
        name = options[b"name"].decode("latin-1")
        if name not in self._limits:
            raise InvalidFieldError(
                "the form has a field that is not known here",
                remedy=f"Send only {', '.join(self._limits)}",
            )
        if name in self.parts:
            raise InvalidFieldError(f"the field {name} comes twice")
        self._name = name

    def _add_content(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._size > self._limits[self._name]:
            raise InvalidFieldError(f"the field {self._name} is too long")
        self._content.append(data[start:end])

    def _end(self) -> None:
        kind, _ = parse_options_header(self._headers.get(b"content-type", b""))
        self.parts[self._name] = Part(kind.decode("latin-1").lower(), b"".join(self._content))
        self._content.clear()

    def _finish(self) -> None:
        self.is_whole = True


_PLAIN = frozenset((b"binary", b"8bit", b"7bit"))
