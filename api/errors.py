"""How our errors sound over HTTP: one table from families to statuses, and problem documents.

Source: RFC 9457
"""

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus

from core.errors import (
    AccessError,
    CapacityError,
    ConfigurationError,
    CorruptionError,
    InputError,
    NotFoundError,
    ServiceError,
    UnavailableError,
)
from core.states import IllegalMoveError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:problem-type:second-reader:"
_MAX_NAME, _MAX_FAULTS = 64, 8


class MissingKeyError(AccessError):
    """No API key came with the request, or none that we know."""


class MissingScopeError(AccessError):
    """The key is known and not made for this."""


class MalformedBodyError(InputError):
    """The body is not what its media type says."""


class HeadTooLargeError(InputError):
    """Address and headers together are larger than any request of ours needs."""


class AmbiguousLengthError(MalformedBodyError):
    """Two headers say differently where the body ends: what follows could be smuggled in."""


class UnsupportedMediaError(InputError):
    """The body is of a media type that we do not read."""


class BodyTooLargeError(InputError):
    """The body is larger than the setting allows."""


class BodyTimeoutError(InputError):
    """The body did not arrive in time."""


class InvalidFieldError(InputError):
    """A field, parameter or part is missing, unknown, given twice, or out of range."""


class UnknownStudyError(NotFoundError):
    """We have no study of that UID."""


class NoResultYetError(NotFoundError):
    """The study is here, and its results are not."""


class HeldStudyError(NotFoundError):
    """The study waits for a decision, and nothing of it leaves before."""


class UnreadableError(InputError):
    """The model did not evaluate what was sent, so that there is no answer."""


class AuditUnavailableError(UnavailableError):
    """The access cannot be recorded, so it does not happen."""


class TooSlowError(UnavailableError):
    """Something behind us did not answer in time."""


class RateLimitError(CapacityError):
    """A caller asks more often than it may."""

    def __init__(self, message: str, *, remedy: str, retry_after_s: int) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_s = retry_after_s
        """After so long there is room for one more."""


STATUS: dict[type[ServiceError], int] = {
    InputError: 422,
    NotFoundError: 404,
    AccessError: 403,
    UnavailableError: 503,
    CorruptionError: 500,
    ConfigurationError: 500,
    # Leaves with a finer status.
    MissingKeyError: 401,
    MalformedBodyError: 400,
    BodyTimeoutError: 408,
    HeldStudyError: 409,
    IllegalMoveError: 409,
    BodyTooLargeError: 413,
    UnsupportedMediaError: 415,
    RateLimitError: 429,
    HeadTooLargeError: 431,
}


def status_of(error: ServiceError) -> int:
    """Return the HTTP status of the leaf, or of its family."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem(error: ServiceError, *, request_id: str) -> dict[str, object]:
    """Return the problem document of `error`. Source: RFC 9457 3.1."""
    return problem_document(
        _slug(type(error)),
        status_of(error),
        detail=error.message,
        remedy=error.remedy,
        request_id=request_id,
    )


def problem_document(
    slug: str, status: int, *, detail: str, remedy: str = "", request_id: str
) -> dict[str, object]:
    """Return a problem document; `remedy` and `request_id` are our extensions."""
    document: dict[str, object] = {
        "type": TYPE_PREFIX + slug,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }
    if remedy:
        document["remedy"] = remedy
    return document


def invalid_fields(faults: Iterable[tuple[str, Sequence[int | str], str]]) -> InvalidFieldError:
    """Return one error for all faults, which names fields and never quotes a value.

    Parameters
    ----------
    faults
        Where it is (parameter, field), its name as a path, and what is wrong with it.
    """
    texts = [
        f"{place} {'.'.join(str(step) for step in name)[:_MAX_NAME]}: {text}"
        for place, name, text in faults
    ]
    return InvalidFieldError("; ".join(texts[:_MAX_FAULTS]))


def _slug(kind: type[ServiceError]) -> str:
    """Return `unknown-study` for `UnknownStudyError`: the leaf's name is part of the contract."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*", kind.__name__.removesuffix("Error"))
    return "-".join(word.lower() for word in words)
