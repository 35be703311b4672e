"""How our errors sound on the wire, and what the peers' statuses mean to us."""

from enum import StrEnum

from core.errors import (
    AccessError,
    CapacityError,
    ConfigurationError,
    CorruptionError,
    InputError,
    MismatchedInstanceError,
    NotFoundError,
    ServiceError,
    UnavailableError,
)
from dicom_node.errors import NodeFaultError

SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
SOP_CLASS_NOT_SUPPORTED = 0x0122
NOT_AUTHORIZED = 0x0124
OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH_SOP_CLASS = 0xA900
CANNOT_UNDERSTAND = 0xC000

MAX_COMMENT = 64
"""Error Comment (0000,0902) is a Long String. Source: PS3.7 C.1, PS3.5 6.2."""

C_STORE_STATUS: dict[type[ServiceError], int] = {
    NodeFaultError: PROCESSING_FAILURE,
    MismatchedInstanceError: DOES_NOT_MATCH_SOP_CLASS,
    CapacityError: OUT_OF_RESOURCES,
    UnavailableError: OUT_OF_RESOURCES,
    InputError: CANNOT_UNDERSTAND,
    NotFoundError: CANNOT_UNDERSTAND,
    AccessError: NOT_AUTHORIZED,
    CorruptionError: PROCESSING_FAILURE,
    ConfigurationError: PROCESSING_FAILURE,
}
"""Leaf or family to status; the nearest ancestor counts. Source: PS3.4 Table B.2-1, PS3.7 C."""


def c_store_status(error: ServiceError) -> int:
    """Return the status that answers a C-STORE which ended in `error`."""
    for family in type(error).__mro__:
        if family in C_STORE_STATUS:
            return C_STORE_STATUS[family]
    return PROCESSING_FAILURE


def error_comment(error: ServiceError) -> str:
    """Return what the answer tells the sender: our message (never patient data), cut to fit."""
    printable = "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in error.message)
    return printable[:MAX_COMMENT]


class Severity(StrEnum):
    """What a status says about the object. Source: PS3.7 Annex C."""

    SUCCESS = "success"
    WARNING = "warning"
    """The peer keeps it, but not as we sent it, or with doubts."""
    TRANSIENT = "transient failure"
    """Worth another attempt later."""
    FAILURE = "failure"


_MEANING: tuple[tuple[int, int, Severity, str], ...] = (
    (0x0000, 0x0000, Severity.SUCCESS, "stored"),
    (0xA700, 0xA7FF, Severity.TRANSIENT, "the peer is out of resources"),
    (0xA900, 0xA9FF, Severity.FAILURE, "the peer finds that the object does not match its class"),
    (0xB000, 0xB000, Severity.WARNING, "the peer changed elements of the object"),
    (0xB006, 0xB006, Severity.WARNING, "the peer discarded elements of the object"),
    (0xB007, 0xB007, Severity.WARNING, "the peer doubts that the object matches its class"),
    (0xB001, 0xBFFF, Severity.WARNING, "the peer stored the object with a warning"),
    (0x0001, 0x0001, Severity.WARNING, "the peer stored the object with a warning"),
    (0x0107, 0x0107, Severity.WARNING, "the peer stored the object with a warning"),
    (0x0116, 0x0116, Severity.WARNING, "the peer stored the object with a warning"),
    (0xC000, 0xCFFF, Severity.FAILURE, "the peer cannot understand the object"),
    (0x0110, 0x0110, Severity.TRANSIENT, "the peer failed while it processed the object"),
    (0x0111, 0x0111, Severity.FAILURE, "the peer has an instance of the same UID already"),
    (0x0122, 0x0122, Severity.FAILURE, "the peer does not take this SOP class"),
    (0x0124, 0x0124, Severity.FAILURE, "the peer does not let us store"),
    (0x0211, 0x0211, Severity.FAILURE, "the peer does not know the operation"),
)
"""First match counts. Source: PS3.4 Table B.2-1; PS3.7 C.1 to C.5."""


def meaning(status: int) -> tuple[Severity, str]:
    """Return what a C-STORE status from a peer says, with its number in the text."""
    for first, last, severity, text in _MEANING:
        if first <= status <= last:
            return severity, f"{text} (status {status:04X})"
    return Severity.FAILURE, f"the peer refused the object (status {status:04X})"
