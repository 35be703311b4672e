"""Read what is stored again, all the time and slowly; hold back what is damaged, and say so.

A round goes through all objects in the order of their names. Where it stands is kept, so that a
worker that starts again goes on there.
"""

import hmac
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from archive.archive import Archive
from archive.database import Transaction
from archive.journey import JourneyEntry
from archive.scrub import (
    DIGESTED,
    Damage,
    DamagedObject,
    Digest,
    StoredObject,
    Unchecked,
    count_objects,
    digest_of,
    fault,
    is_named,
    keep_place,
    objects,
    place,
)
from audit.vocabulary import Alert, Decision
from core.clock import Clock
from core.errors import UnavailableError
from core.part10 import data_set_of
from core.states import HoldReason
from service.trail import Trail, identity_of

log = logging.getLogger(__name__)

LEASE, LEASE_S = "scrub", 300.0
AT_ONCE = 64
"""So many objects between two looks at whether to go on."""
_DAY_S = 86_400.0


@dataclass(frozen=True)
class ScrubReport:
    """What a round found."""

    objects: int
    size_bytes: int
    damaged: tuple[DamagedObject, ...]
    """All that are damaged now, those that were known before included."""
    unreadable: tuple[str, ...] = ()
    """Names of objects that the disk did not give us now, which says nothing of what is in them."""

    @property
    def is_ok(self) -> bool:
        """Whether every object could be read and is whole."""
        return not self.damaged and not self.unreadable


@dataclass
class Scrubber:
    """Checks stored objects. Not for several threads at once."""

    archive: Archive
    trail: Trail
    clock: Clock
    content_key: bytes = field(repr=False)
    """Of the digests that intake made."""
    _damage: Damage = field(default_factory=Damage)
    _total: tuple[float, int] | None = None
    _unreadable: list[str] = field(default_factory=list)

    def run(
        self,
        *,
        bytes_per_s: float,
        progress: Callable[[int], None] | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> ScrubReport:
        """Check every object now; `progress` is told the plaintext bytes that are done."""
        self._unreadable.clear()
        began, number, size, after = time.monotonic(), 0, 0, ""
        while batch := self._next(after, AT_ONCE):
            for stored in batch:
                self._check(stored)
                number, size = number + 1, size + stored.size_bytes
                if progress is not None:
                    progress(size)
                sleep(max(0.0, began + size / bytes_per_s - time.monotonic()))
            after = batch[-1].blob_name
        with self.archive.snapshot() as tx:
            damaged = self._damage.all(tx)
        return ScrubReport(number, size, damaged, tuple(self._unreadable))

    def step(self, *, days: float, interval_s: float, owner: str) -> int:
        """Check so many objects as are due each `interval_s`; return how many that were.

        One process of an installation does it, and all objects have their turn within `days`.
        """
        archive = self.archive
        with archive.transaction() as tx:
            if not archive.leases.acquire(
                tx, LEASE, owner=owner, now=self.clock(), lifetime_s=LEASE_S
            ):
                return 0
            after = place(tx)
        self._unreadable.clear()
        batch = self._next(after, self._due(days, interval_s))
        for stored in batch:
            self._check(stored)
        with archive.transaction() as tx:
            keep_place(tx, batch[-1].blob_name if batch else "")
        return len(batch)

    def _due(self, days: float, interval_s: float) -> int:
        if self._total is None or time.monotonic() - self._total[0] > LEASE_S:
            with self.archive.snapshot() as tx:
                self._total = (time.monotonic(), count_objects(tx)[0])
        return max(1, math.ceil(self._total[1] * interval_s / (days * _DAY_S)))

    def _next(self, after: str, limit: int) -> tuple[StoredObject, ...]:
        with self.archive.snapshot() as tx:
            return objects(tx, after=after, limit=limit)

    def _check(self, stored: StoredObject) -> None:
        try:
            reason = fault(self.archive, stored, self._digest_of(stored))
        except UnavailableError as error:
            log.error("object %s of %s: %s", stored.blob_name, stored.study_key, error)  # noqa: TRY400
            self._unreadable.append(stored.blob_name)
            return
        with self.archive.snapshot() as tx:
            is_known = self._damage.is_noted(tx, stored.blob_name)
        if reason and not is_known:
            self._hold_back(stored, reason)
        elif is_known and not reason:
            with self.archive.transaction() as tx:
                self._damage.clear(tx, stored.blob_name)
            log.warning("object %s of %s is whole again", stored.blob_name, stored.study_key)

    def _digest_of(self, stored: StoredObject) -> Digest:
        if stored.kind != DIGESTED:
            return Unchecked()
        with self.archive.snapshot() as tx:
            wanted = digest_of(tx, stored)
        if wanted is None:
            return Unchecked()  # its row is gone since it was listed
        return _ContentDigest(self.content_key, *wanted)

    def _hold_back(self, stored: StoredObject, reason: str) -> None:
        """Note the damage, let nothing of the study leave, and tell the security officer."""
        archive, at = self.archive, self.clock()
        what = f"{stored.kind} {stored.row_key} of study {stored.study_key} is damaged"
        found = DamagedObject(
            stored.kind, stored.row_key, stored.study_key, stored.blob_name, reason, at
        )
        alert = self.trail.alert(Alert.SECURITY_CONFIGURATION, f"{what}: {reason}")
        with archive.transaction() as tx:
            if not is_named(tx, stored) or not self._damage.note(tx, found):
                return
            self._hold(tx, found)
            archive.outbox.add(tx, alert.event_id, alert.sealed, at=at)
        log.error("%s: %s", what, reason)

    def _hold(self, tx: Transaction, found: DamagedObject) -> None:
        archive, at, study_key = self.archive, found.found_at, found.study_key
        revisions = archive.revisions.of(tx, study_key)
        held = [
            record.key
            for record in revisions
            if archive.revisions.hold(tx, record.key, HoldReason.DAMAGED, at=at)
        ]
        reason = "an object of the study is damaged"
        withdrawn = archive.deliveries.withdraw(tx, study_key, at=at, reason=reason)
        key = (held or [record.key for record in revisions])[-1]
        entry = JourneyEntry(at, key.number, "scrub", "damaged", f"{found.kind} {found.row_key}")
        archive.journey.note(tx, key, entry)
        if held or withdrawn:
            identity = identity_of(archive, tx, study_key)
            decided = self.trail.decided(
                Decision.HELD, key, identity, rule=HoldReason.DAMAGED.value
            )
            archive.outbox.add(tx, decided.event_id, decided.sealed, at=at)


class _ContentDigest:
    """What intake digested of an instance: its data set as it came, and how it is encoded."""

    def __init__(self, key: bytes, transfer_syntax_uid: str, wanted: bytes) -> None:
        self._digest = hmac.new(key, transfer_syntax_uid.encode().ljust(64, b"\0"), "sha256")
        self._wanted = wanted
        self._is_head = True

    def update(self, piece: bytes) -> None:
        """Take the next piece; the first has the head that we put before the data set."""
        self._digest.update(data_set_of(piece) if self._is_head else piece)
        self._is_head = False

    def is_right(self) -> bool:
        """Whether it is the data set that came."""
        return hmac.compare_digest(self._digest.digest(), self._wanted)
