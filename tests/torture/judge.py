"""What must hold of a service after it was hurt, compared with what its senders were told."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from archive.archive import Archive
from archive.entries import Standing
from archive.results import ResultObject
from audit.vocabulary import EventKind
from core.errors import ServiceError
from core.part10 import data_set_of
from core.states import DeliveryState, RevisionState
from service.cli.audit_desk import every_event
from service.foundation import Foundation
from tests.support.installation import Service
from tests.support.senders import SentObject, digest

STUCK_AFTER_S = 100.0
"""So long nothing may stand still; on a machine that does much else a study takes its time."""


@dataclass
class Judge:
    """Reads what a service keeps, beside it."""

    service: Service
    foundation: Foundation
    results: set[str] = field(default_factory=set)
    """The SOP Instance UIDs of all results that it made, as far as they were looked at."""

    @property
    def archive(self) -> Archive:
        """What the service keeps."""
        return self.foundation.archive

    def assert_kept(self, acknowledged: Iterable[SentObject]) -> None:
        """Every object that was answered with success is there, whole, and counts, once."""
        assert losses(self.archive, acknowledged) == []
        missing = self.archive.upkeep.sweep(now=0.0, grace_s=1e12).missing
        assert not missing, "rows without files"

    def assert_whole(
        self, acknowledged: Sequence[SentObject], unanswered: Sequence[SentObject] = ()
    ) -> dict[str, float]:
        """Every object is kept, recorded and read once, and the log verifies."""
        self.assert_kept(acknowledged)
        settled_s = self.wait_until_settled()
        self.assert_kept(acknowledged)
        self.assert_custody_recorded(acknowledged)
        revisions = self.assert_one_result_set_for_each_revision([*acknowledged, *unanswered])
        verified = self.service.json("audit", "verify")
        assert verified["ok"], verified
        return {
            "acknowledged": len(acknowledged),
            "unanswered": len(unanswered),
            "revisions": revisions,
            "results": len(self.results),
            "settled_s": round(settled_s, 1),
        }

    def wait_until_settled(self) -> float:
        """Return after how many seconds every study was completed and every result delivered."""
        started = moved = time.monotonic()
        before: dict[str, int] = {}
        while left := self._unsettled():
            now = time.monotonic()
            moved = moved if left == before else now
            before = left
            assert now - moved < STUCK_AFTER_S, f"stuck: {left}\n{self.service.tail()}"
            time.sleep(0.2)
        return time.monotonic() - started

    def _unsettled(self) -> dict[str, int]:
        """Return how many studies there are of each state but completed, and deliveries."""
        archive = self.archive
        with archive.snapshot() as tx:
            found = {
                state.value: len(list(archive.revisions.in_state(tx, state)))
                for state in RevisionState
                if state is not RevisionState.COMPLETED
            }
            found["deliveries"] = len(list(archive.deliveries.unfinished(tx)))
        return {what: number for what, number in found.items() if number}

    def assert_custody_recorded(self, acknowledged: Iterable[SentObject]) -> None:
        """Each object has a record of its custody, in the log or on the way to it."""
        expected = {one.sop_instance_uid for one in acknowledged}
        recorded = {
            uid
            for logged in every_event(self.foundation)
            if logged.event.kind is EventKind.CUSTODY_TAKEN
            for about in logged.event.objects
            for sop_class in about.sop_classes
            for uid in sop_class.instances
        }
        missing = expected - recorded
        assert not missing, f"{len(missing)} of {len(expected)} without a record"

    def assert_one_result_set_for_each_revision(self, sent: Iterable[SentObject]) -> int:
        """Return how many revisions there are of what was sent; each has its results once."""
        archive = self.archive
        revisions = 0
        for uid in {one.study_instance_uid for one in sent}:
            key = archive.index.study_key(uid)
            with archive.snapshot() as tx:
                closed = archive.revisions.of(tx, key)
                made = archive.results.objects_of_study(tx, key)
                deliveries = archive.deliveries.of_study(tx, key)
            assert {record.state for record in closed} <= {RevisionState.COMPLETED}
            assert {record.state for record in deliveries} <= {DeliveryState.COMPLETED}
            assert not deliveries or len(deliveries) == len(made)
            assert all(one.withdrawn_at is None for one in made)
            for record in closed:
                _assert_one_set([one for one in made if one.revision == record.key])
            self.results |= {one.sop_instance_uid for one in made}
            revisions += len(closed)
        return revisions


def losses(archive: Archive, acknowledged: Iterable[SentObject]) -> list[str]:
    """Return what is wrong with each object that was answered with success; nothing if all is."""
    return [fault for one in acknowledged if (fault := _fault(archive, one))]


def halves(archive: Archive, unanswered: Iterable[SentObject]) -> list[str]:
    """Return what is wrong with objects that nobody acknowledged: each is there whole or not."""
    faults: list[str] = []
    for one in unanswered:
        with archive.snapshot() as tx:
            is_known = bool(archive.studies.known(tx, one.sop_instance_uid))
        if is_known and (fault := _fault(archive, one)):
            faults.append(fault)
    return faults


def _fault(archive: Archive, one: SentObject) -> str:
    with archive.snapshot() as tx:
        found = archive.studies.known(tx, one.sop_instance_uid)
    if [entry.standing for entry in found] != [Standing.CURRENT]:
        return f"{one.sop_instance_uid}: {len(found)} rows"
    try:
        kept = archive.read_object(found[0].study_key, found[0].blob_name)
    except ServiceError as error:
        return f"{one.sop_instance_uid}: {error}"
    if digest(bytes(data_set_of(kept))) != one.digest:
        return f"{one.sop_instance_uid}: other content"
    return ""


def _assert_one_set(made: list[ResultObject]) -> None:
    """One report, and captures with numbers of their own."""
    numbers = Counter((one.kind, one.ordinal) for one in made)
    assert numbers["SR", 1] == 1
    assert set(numbers.values()) == {1}
    assert sum(kind == "SR" for kind, _ in numbers) == 1
    assert len({one.sop_instance_uid for one in made}) == len(made)
