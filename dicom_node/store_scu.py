"""C-STORE as user: send objects as they are, and say of each what became of it.

Source: PS3.4 Annex B
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from core.errors import ServiceError, UnavailableError
from dicom_node.association import Destination, OpenAssociation, open_association
from dicom_node.errors import NothingAcceptedError, ObjectRefusedError, PeerError
from dicom_node.part10 import OutgoingObject, reencoded
from dicom_node.presentation import MAX_CONTEXTS, UNCOMPRESSED, contexts_to_propose
from dicom_node.status import Severity, meaning

log = logging.getLogger(__name__)


class SendState(StrEnum):
    """What became of an object."""

    STORED = "stored"
    STORED_WITH_WARNING = "stored with warning"
    """The peer keeps it, but changed, discarded or doubts something (Bxxx)."""
    FAILED = "failed"


@dataclass(frozen=True)
class SendOutcome:
    """What became of one object."""

    outgoing: OutgoingObject
    state: SendState
    status: int | None
    """The status of the peer's answer; None if there was no answer."""
    text: str
    """What happened, in our words; safe to log."""
    error: ServiceError | None = None
    """Set for a failure: an `UnavailableError` is worth another attempt, others are not."""
    peer_comment: str = ""
    """The peer's own words. They may name a patient: seal them, never log them."""

    @property
    def is_worth_retrying(self) -> bool:
        """Whether the same bytes may be taken later."""
        return isinstance(self.error, UnavailableError)


Progress = Callable[[SendOutcome], None]


def send(
    objects: Iterable[OutgoingObject],
    destination: Destination,
    *,
    on_progress: Progress | None = None,
) -> list[SendOutcome]:
    """Send objects to a peer, over as many associations as their encodings need.

    What the peer does or fails to do never raises; it is in the outcomes, one for each object and
    in their order. After a broken association the rest is tried on a new one, unless the broken
    one came to nothing at all.
    """
    pending = deque(objects)
    outcomes: list[SendOutcome] = []

    def report(outcome: SendOutcome) -> None:
        pending.popleft()
        outcomes.append(outcome)
        if on_progress is not None:
            on_progress(outcome)

    while pending:
        before = len(outcomes)
        error = _send_batch(_next_batch(pending), destination, report)
        if error is not None and len(outcomes) == before:
            log.warning("%d objects not sent: %s", len(pending), error.message)
            for outgoing in list(pending):
                report(_failed(outgoing, error))
        elif error is not None:
            report(_failed(pending[0], error))
    return outcomes


def _next_batch(pending: Iterable[OutgoingObject]) -> list[OutgoingObject]:
    """Return the longest run of objects whose contexts fit into one association."""
    contexts: set[tuple[str, str]] = set()
    batch: list[OutgoingObject] = []
    for outgoing in pending:
        contexts.update(contexts_to_propose(outgoing.sop_class_uid, outgoing.transfer_syntax_uid))
        if len(contexts) > MAX_CONTEXTS:
            break
        batch.append(outgoing)
    return batch


def _send_batch(
    batch: list[OutgoingObject], destination: Destination, report: Progress
) -> PeerError | None:
    """Send over one association; return what broke it, if something did."""
    contexts = dict.fromkeys(
        context
        for outgoing in batch
        for context in contexts_to_propose(outgoing.sop_class_uid, outgoing.transfer_syntax_uid)
    )
    try:
        with open_association(destination, list(contexts)) as association:
            for outgoing in batch:
                if not association.is_open:
                    break  # an object of ours could not be read to its end; go on afresh
                report(_send_one(outgoing, association))
    except NothingAcceptedError:
        for outgoing in batch:
            report(_not_taken(outgoing))
    except PeerError as error:
        return error
    return None


def _send_one(outgoing: OutgoingObject, association: OpenAssociation) -> SendOutcome:
    found = _context(outgoing, association)
    if found is None:
        return _not_taken(outgoing)
    context_id, syntax = found
    try:
        if syntax == outgoing.transfer_syntax_uid:
            data_set = outgoing.read()
        else:
            data_set = [reencoded(outgoing, syntax)]
        status, comment = association.store(
            context_id, outgoing.sop_class_uid, outgoing.sop_instance_uid, data_set
        )
    except PeerError:
        raise
    except ServiceError as error:
        return _failed(outgoing, error)
    return _judged(outgoing, status, comment)


def _context(outgoing: OutgoingObject, association: OpenAssociation) -> tuple[int, str] | None:
    own = outgoing.transfer_syntax_uid
    alternatives = UNCOMPRESSED if own in UNCOMPRESSED else ()
    for syntax in (own, *alternatives):
        context_id = association.context_id(outgoing.sop_class_uid, syntax)
        if context_id is not None:
            return context_id, syntax
    return None


def _judged(outgoing: OutgoingObject, status: int, comment: str) -> SendOutcome:
    severity, text = meaning(status)
    if severity is Severity.SUCCESS:
        return SendOutcome(outgoing, SendState.STORED, status, text)
    if severity is Severity.WARNING:
        return SendOutcome(
            outgoing, SendState.STORED_WITH_WARNING, status, text, peer_comment=comment
        )
    error = PeerError(text) if severity is Severity.TRANSIENT else ObjectRefusedError(text)
    return SendOutcome(outgoing, SendState.FAILED, status, text, error, comment)


def _not_taken(outgoing: OutgoingObject) -> SendOutcome:
    return _failed(
        outgoing,
        ObjectRefusedError(
            "the peer does not take this SOP class in an encoding that we can offer "
            f"({outgoing.sop_class_uid}, {outgoing.transfer_syntax_uid})"
        ),
    )


def _failed(outgoing: OutgoingObject, error: ServiceError) -> SendOutcome:
    return SendOutcome(outgoing, SendState.FAILED, None, str(error), error)
