"""What is recorded: who did what, when, to whose data, and how it ended. Source: PS3.15 A.5.

An event may name patients and users. It is only ever stored sealed (`records`).
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from audit.vocabulary import Action, EventKind, IdType, Media, ObjectRole, ObjectType, Outcome, Role
from core.clock import Clock
from core.codes import Code
from core.uids import keyed_digest


@dataclass(frozen=True)
class Stamp:
    """Which event it is and when it happened; handed to every constructor in `triggers`."""

    event_id: str
    """A UUID. A repeated id is ignored by the log, so an action that may run twice must come with
    the same id each time (`repeatable_id`)."""
    time: datetime


@dataclass(frozen=True)
class Stamper:
    """Stamps events that happen once."""

    clock: Clock
    new_id: Callable[[], uuid.UUID] = uuid.uuid4

    def __call__(self) -> Stamp:
        """Return the stamp of one more event."""
        return Stamp(str(self.new_id()), self.clock())


def repeatable_id(key: bytes, *parts: str) -> str:
    """Return the one event id of an action that may run twice.

    Keyed, because event ids are stored in the open and the parts may be identity.
    """
    return str(uuid.UUID(bytes=keyed_digest(key, "audit event", *parts)[:16], version=5))


@dataclass(frozen=True)
class Participant:
    """Who took part: a person, an application, or a medium. Source: PS3.15 A.5.1."""

    user_id: str
    is_requestor: bool
    role: Role | None = None
    user_name: str = ""
    alternative_user_id: str = ""
    """AE titles as AETITLES=a;b. Source: PS3.15 A.5.2.2."""
    address: str = ""
    """IP address or host name of the network access point."""
    media: Media | None = None


@dataclass(frozen=True)
class Detail:
    """One more fact."""

    name: str
    value: str


@dataclass(frozen=True)
class SopClass:
    """How many instances of one SOP class it was about, and which, where that is known."""

    uid: str
    number_of_instances: int
    instances: tuple[str, ...] = ()


@dataclass(frozen=True)
class ParticipantObject:
    """What it was about. Source: PS3.15 A.5.1."""

    id: str
    id_type: IdType
    object_type: ObjectType
    role: ObjectRole
    name: str = ""
    query: str = ""
    """What was asked for; an object has a name or a query."""
    details: tuple[Detail, ...] = ()
    accession_numbers: tuple[str, ...] = ()
    sop_classes: tuple[SopClass, ...] = ()


@dataclass(frozen=True)
class AuditEvent:
    """One thing that happened."""

    event_id: str
    kind: EventKind
    action: Action
    outcome: Outcome
    time: datetime
    """Aware, in UTC."""
    participants: tuple[Participant, ...]
    objects: tuple[ParticipantObject, ...] = ()
    type_code: Code | None = None
    outcome_description: str = ""
    details: tuple[Detail, ...] = ()
    """Facts that belong to none of the objects."""

    def ended(self, outcome: Outcome, why: str = "") -> Self:
        """Return the event with another outcome; constructors assume success."""
        return replace(self, outcome=outcome, outcome_description=why or self.outcome_description)

    def noting(self, **facts: object) -> Self:
        """Return the event with more facts, in the order given."""
        more = tuple(Detail(name, str(value)) for name, value in facts.items())
        return replace(self, details=self.details + more)

    def patient_ids(self) -> frozenset[str]:
        """Return the IDs of the patients it names."""
        return frozenset(o.id for o in self.objects if o.role is ObjectRole.PATIENT)

    def users(self) -> frozenset[str]:
        """Return every name of everybody who took part."""
        names = (
            (
                who.user_id,
                who.user_name,
                *who.alternative_user_id.removeprefix("AETITLES=").split(";"),
            )
            for who in self.participants
        )
        return frozenset(name for group in names for name in group if name)
