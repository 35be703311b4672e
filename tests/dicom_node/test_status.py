import pytest

from core.errors import (
    CapacityError,
    CorruptionError,
    MalformedInstanceError,
    MismatchedInstanceError,
    SealError,
    ServiceError,
    UnavailableError,
)
from dicom_node.errors import NodeFaultError
from dicom_node.status import Severity, c_store_status, error_comment, meaning


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CapacityError("the disk is full"), 0xA700),
        (UnavailableError("the database is away"), 0xA700),
        (MismatchedInstanceError("another class"), 0xA900),
        (MalformedInstanceError("cut off"), 0xC000),
        (SealError("changed"), 0x0110),
        (CorruptionError("changed"), 0x0110),
        (NodeFaultError("internal error"), 0x0110),
        (ServiceError("of no family"), 0x0110),
    ],
)
def test_the_family_or_the_leaf_decides_the_status(error: ServiceError, status: int) -> None:
    """PS3.4 Table B.2-1."""
    assert c_store_status(error) == status


def test_a_comment_fits_a_long_string_and_holds_no_control_characters() -> None:
    """PS3.7 C.1: Error Comment is LO, 64 characters."""
    comment = error_comment(WordyError("line\nbreak \\ and \x1b " + "long " * 30))
    assert len(comment) == 64
    assert comment.startswith("line?break ? and ? long")


class WordyError(ServiceError):
    """Any message."""


@pytest.mark.parametrize(
    ("status", "severity"),
    [
        (0x0000, Severity.SUCCESS),
        (0xA700, Severity.TRANSIENT),
        (0xA7AB, Severity.TRANSIENT),
        (0xA900, Severity.FAILURE),
        (0xB000, Severity.WARNING),
        (0xB007, Severity.WARNING),
        (0xC123, Severity.FAILURE),
        (0x0122, Severity.FAILURE),
        (0x0999, Severity.FAILURE),
    ],
)
def test_a_status_of_a_peer_has_its_meaning(status: int, severity: Severity) -> None:
    """PS3.4 Table B.2-1; PS3.7 Annex C."""
    found, text = meaning(status)
    assert found is severity
    assert f"{status:04X}" in text
