"""States of studies, revisions, result objects and deliveries, and their legal moves."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from core.errors import InputError


class RevisionState(StrEnum):
    """Where one revision of a study is on its way."""

    OPEN = "OPEN"
    """Instances may still arrive."""
    SCHEDULED = "SCHEDULED"
    """Complete; waits for the pipeline, or for an earlier revision to end."""
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    """Every result object is encoded, checked and enqueued for delivery."""
    FAILED = "FAILED"
    HELD = "HELD"
    """A person or a rule must decide before anything leaves; the hold reason says what."""
    CANCELED = "CANCELED"


class HoldReason(StrEnum):
    """Why a study waits for a decision. Source: the project's own rules."""

    CONFLICT = "conflict"
    """The same SOP Instance UID arrived with other content."""
    CORRECTION = "correction"
    """The same SOP Instance UID arrived with other patient or order attributes."""
    MIXED_IDENTITY = "mixed identity"
    """Instances disagree in patient ID, issuer, name, birth date, sex or accession number."""
    MISSING_PATIENT_ID = "missing patient id"
    CHECK_FAILED = "last check failed"
    """A result object did not pass the last check; the reason is in the journey."""
    NOT_ENCODABLE = "source cannot be encoded"
    """The source lacks what a result object of its kind must carry."""
    DAMAGED = "damaged object"
    """A stored object of the study is not what was written; the journey names it."""


class DeliveryState(StrEnum):
    """Where one result object is on its way to one destination. Source: after PS3.4 CC.1.1."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    """The destination answered that it keeps the object."""
    FAILED = "FAILED"
    """Given up; a dead letter that a person can retry."""
    CANCELED = "CANCELED"
    """Withdrawn before it left, because the identity changed."""


REVISION_MOVES: Mapping[RevisionState, frozenset[RevisionState]] = {
    RevisionState.OPEN: frozenset(
        {RevisionState.SCHEDULED, RevisionState.HELD, RevisionState.CANCELED}
    ),
    RevisionState.SCHEDULED: frozenset(
        {RevisionState.IN_PROGRESS, RevisionState.HELD, RevisionState.CANCELED}
    ),
    RevisionState.IN_PROGRESS: frozenset(
        {
            RevisionState.IN_PROGRESS,  # a step may run twice
            RevisionState.COMPLETED,
            RevisionState.FAILED,
            RevisionState.HELD,
            RevisionState.CANCELED,
        }
    ),
    RevisionState.HELD: frozenset({RevisionState.SCHEDULED, RevisionState.CANCELED}),
    RevisionState.FAILED: frozenset({RevisionState.SCHEDULED, RevisionState.CANCELED}),
    RevisionState.COMPLETED: frozenset({RevisionState.SCHEDULED}),  # a person may ask again
    RevisionState.CANCELED: frozenset({RevisionState.SCHEDULED}),
}

DELIVERY_MOVES: Mapping[DeliveryState, frozenset[DeliveryState]] = {
    DeliveryState.SCHEDULED: frozenset({DeliveryState.IN_PROGRESS, DeliveryState.CANCELED}),
    DeliveryState.IN_PROGRESS: frozenset(
        {
            DeliveryState.IN_PROGRESS,
            DeliveryState.SCHEDULED,
            DeliveryState.COMPLETED,
            DeliveryState.FAILED,
            DeliveryState.CANCELED,
        }
    ),
    DeliveryState.FAILED: frozenset({DeliveryState.SCHEDULED, DeliveryState.CANCELED}),
    DeliveryState.COMPLETED: frozenset(),
    DeliveryState.CANCELED: frozenset(
        {
            DeliveryState.SCHEDULED,
            DeliveryState.COMPLETED,  # it was on the wire when it was withdrawn
        }
    ),
}

S = TypeVar("S", RevisionState, DeliveryState)


class IllegalMoveError(InputError):
    """A state was asked to change in a way that its table does not know."""


def check_move(moves: Mapping[S, frozenset[S]], old: S, new: S) -> S:
    """Return `new` if the table allows the move from `old`, else refuse."""
    if new not in moves[old]:
        raise IllegalMoveError(f"a move from {old} to {new} is not allowed")
    return new
