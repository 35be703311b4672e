"""How our errors sound over HTTP."""

import pytest

from api.errors import STATUS, HeldStudyError, UnknownStudyError, problem, status_of
from core import errors
from core.states import IllegalMoveError


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InputError("x"), 422),
        (errors.MalformedInstanceError("x"), 422),
        (errors.UnsupportedPixelsError("x"), 422),
        (errors.NotFoundError("x"), 404),
        (errors.ForgottenError("x"), 404),
        (errors.AccessError("x"), 403),
        (errors.UnavailableError("x"), 503),
        (errors.CapacityError("x"), 503),
        (errors.CorruptionError("x"), 500),
        (errors.SealError("x"), 500),
        (errors.ConfigurationError("x"), 500),
        (HeldStudyError("x"), 409),
        (IllegalMoveError("x"), 409),
    ],
)
def test_the_family_decides_unless_the_leaf_is_finer(
    error: errors.ServiceError, status: int
) -> None:
    assert status_of(error) == status


def test_every_family_has_a_status() -> None:
    families = {
        leaf for leaf in errors.ServiceError.__subclasses__() if leaf.__module__ == "core.errors"
    }
    assert len(families) == 6
    assert families <= set(STATUS)


def test_a_problem_names_the_leaf_the_remedy_and_the_request() -> None:
    """RFC 9457 3.1."""
    error = UnknownStudyError("we have no study of that UID", remedy="Look at GET /v1/studies")
    assert problem(error, request_id="r1") == {
        "type": "urn:problem-type:second-reader:unknown-study",
        "title": "Not Found",
        "status": 404,
        "detail": "we have no study of that UID",
        "remedy": "Look at GET /v1/studies",
        "request_id": "r1",
    }


def test_corruption_is_an_alarm(caplog: pytest.LogCaptureFixture) -> None:
    from api.handlers import ProblemResponder

    ProblemResponder(retry_after_s=1).answer(errors.SealError("a record was changed"), "r1")
    assert "request r1 met corruption: a record was changed" in caplog.text
