"""How the reader and its clients talk: records in messages, errors by their name.

One connection is one request. A study goes over one instance at a time: the client sends the next
one when the last one was read, so that no side holds more than one.

    client                                     reader
    {"ask": "study"}, orders              ->
                                          <-   {"ok": true}
    {"instance": key, "is_sent": true}, part 10 ->
                                          <-   {"ok": true}        (for each instance)
    {"end": true}                         ->
                                          <-   {"ok": true}, readings

    {"ask": "picture", "order": ...}, picture ->
                                          <-   {"ok": true}, reading
    {"ask": "status"}                     ->
                                          <-   {"ok": true}, status
"""

from dataclasses import dataclass

from core import errors as core_errors
from core.errors import ServiceError, UnavailableError
from core.findings import Reading
from imaging import errors as imaging_errors
from imaging.wire import Header
from inference import errors as inference_errors
from inference.requests import ModelOrder

MIB = 1024 * 1024
MAX_RECORD_BYTES = 256 * MIB
LONGEST_PATH = 107
"""A Unix socket's address holds 108 bytes, the last of them 0. Source: unix(7)."""


@dataclass(frozen=True)
class Orders:
    """What a study is read by."""

    orders: tuple[ModelOrder, ...]


@dataclass(frozen=True)
class Readings:
    """What the models said."""

    readings: tuple[Reading, ...]


def refusal(error: ServiceError) -> Header:
    """Return the message that carries an error."""
    families = [kind.__name__ for kind in type(error).__mro__]
    return {"error": families, "message": error.message, "remedy": error.remedy}


def raise_refusal(header: Header) -> None:
    """Raise the error that a message carries, as the nearest class that we know; else return."""
    if "error" not in header:
        return
    message, remedy = str(header.get("message")), str(header.get("remedy"))
    for name in header["error"]:
        for module in (inference_errors, imaging_errors, core_errors):
            kind = getattr(module, str(name), None)
            if isinstance(kind, type) and issubclass(kind, ServiceError):
                raise kind(message, remedy=remedy)
    raise UnavailableError(message, remedy=remedy)
