"""Read what a client wants detected, from a form or from JSON."""

import base64
import binascii
import json
import time
from collections.abc import AsyncIterator
from typing import NoReturn, TypeVar, cast

from pydantic import BaseModel, ValidationError
from python_multipart.multipart import parse_options_header

from api.errors import InvalidFieldError, MalformedBodyError, UnsupportedMediaError, invalid_fields
from api.form import Part, read_form
from api.schemas import DetectBody, DetectOptions
from api.views import DetectionRequest, Medium

M = TypeVar("M", bound=BaseModel)

JSON, FORM = b"application/json", b"multipart/form-data"
_MAX_TEXT_BYTES = 256
_PREAMBLE_BYTES = 128


async def read_detection(
    content_type: str, pieces: AsyncIterator[bytes], *, max_bytes: int, timeout_s: float
) -> "Sent":
    """Read the whole body, and leave the costly part of parsing to `Sent.request`."""
    kind, options = parse_options_header(content_type.encode("latin-1"))
    if kind == FORM:
        limits = {"file": max_bytes, "model": _MAX_TEXT_BYTES, "confidence": _MAX_TEXT_BYTES}
        boundary = options.get(b"boundary", b"").decode("latin-1")
        parts = await read_form(pieces, boundary=boundary, max_bytes_by_name=limits)
        return Sent(timeout_s, parts=parts)
    if kind == JSON:
        return Sent(timeout_s, text=b"".join([piece async for piece in pieces]))
    raise UnsupportedMediaError(
        "the body is neither multipart/form-data nor application/json",
        remedy='Send a form with the part `file`, or JSON {"image": base64} or {"dicom": base64}',
    )


class Sent:
    """A body that has arrived whole."""

    def __init__(
        self, timeout_s: float, *, parts: dict[str, Part] | None = None, text: bytes = b""
    ) -> None:
        self._deadline = time.monotonic() + timeout_s
        self._parts = parts
        self._text = text

    def request(self) -> DetectionRequest:
        """Return what is asked for. Blocks for as long as a large body takes to decode.

        Raises
        ------
        MalformedBodyError
            If it is not JSON.
        InvalidFieldError
            If a field is missing, unknown, given twice or out of range.
        """
        if self._parts is not None:
            return self._from_form(self._parts)
        return self._from_json(self._text)

    def _from_form(self, parts: dict[str, Part]) -> DetectionRequest:
        if "file" not in parts:
            raise InvalidFieldError("the form lacks the field file")
        texts = {name: part.text(name) for name, part in parts.items() if name != "file"}
        options = _validated(DetectOptions, texts, strict=False)
        file = parts["file"]
        return self._request(_medium(file), file.content, options)

    def _from_json(self, text: bytes) -> DetectionRequest:
        body = _validated(DetectBody, _json_object(text), strict=True)
        if (body.image is None) == (body.dicom is None):
            raise InvalidFieldError("exactly one of the fields image and dicom is needed")
        if body.dicom is not None:
            return self._request(Medium.DICOM, _decoded("dicom", body.dicom), body)
        return self._request(Medium.PICTURE, _decoded("image", body.image or ""), body)

    def _request(self, medium: Medium, content: bytes, options: DetectOptions) -> DetectionRequest:
        if not content:
            raise InvalidFieldError("there is nothing in the file")
        left_s = max(0.0, self._deadline - time.monotonic())  # waiting for a turn counts, too
        return DetectionRequest(medium, content, options.model, options.confidence, left_s)


def _medium(file: Part) -> Medium:
    """Tell DICOM by its prefix, whatever the client calls it. Source: PS3.10 7.1."""
    is_part_10 = file.content[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] == b"DICM"
    return (
        Medium.DICOM if is_part_10 or file.content_type == "application/dicom" else Medium.PICTURE
    )


def _decoded(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidFieldError(
            f"the field {name} is not base64",
            remedy="Use the standard alphabet with padding, without line breaks or data: prefix",
        ) from None


def _json_object(text: bytes) -> dict[str, object]:
    try:
        value = json.loads(
            text.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError):
        # The chain is cut: the parser's error carries the whole document.
        raise MalformedBodyError("the body is not JSON") from None
    if not isinstance(value, dict):
        raise MalformedBodyError("the body is not a JSON object")
    return cast("dict[str, object]", value)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidFieldError("a field comes twice")
    return fields


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError


def _validated(kind: type[M], fields: dict[str, object] | dict[str, str], *, strict: bool) -> M:
    try:
        return kind.model_validate(fields, strict=strict)
    except ValidationError as error:
        raise invalid_fields(
            ("field", fault["loc"], fault["msg"]) for fault in error.errors()
        ) from None
