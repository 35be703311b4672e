"""Is every part alive: for `/readyz`, and the numbers for Prometheus."""

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.views import PartHealth
from archive.accounting import Accounting, Balance
from archive.scrub import Damage
from core.errors import ServiceError, UnavailableError
from core.states import DeliveryState, RevisionState
from inference.client import ReaderClient
from inference.requests import ReaderStatus
from inference.settings import ModelRule
from service.foundation import Foundation
from service.presence import LISTENER
from service.sequencer import LEASE

log = logging.getLogger(__name__)

LEAST_FREE_BYTES = 1024**3
_READER_LIMIT_S = 1.0
_BALANCE_S = 10.0


@dataclass(frozen=True)
class Health:
    """Looks at every part; the api's `HealthReporter`."""

    foundation: Foundation
    reader: ReaderClient
    least_free_bytes: int = LEAST_FREE_BYTES

    def report(self) -> tuple[PartHealth, ...]:
        """Return how every part is."""
        looks: Mapping[str, Callable[[], str]] = {
            "database": self._database,
            "disk": self._disk,
            "dicom": self._dicom,
            "reader": self._reader,
            "worker": self._worker,
            "audit": self._audit,
        }
        return tuple(_looked(name, look) for name, look in looks.items())

    def _database(self) -> str:
        with self.foundation.archive.snapshot() as tx:
            self.foundation.archive.leases.get(tx, LEASE)
        return "answers"

    def _disk(self) -> str:
        for name, folder in self._folders():
            free = _free_bytes(name, folder)
            if free < self.least_free_bytes:
                raise UnavailableError(
                    f"only {free // 2**20} MiB are free for `{name}`",
                    remedy="Free space on its disk",
                )
        return f"{self.least_free_bytes // 2**30} GiB or more are free"

    def _folders(self) -> Iterator[tuple[str, Path]]:
        installation = self.foundation.installation
        settings = installation.settings
        yield "archive.folder", installation.path(settings.archive.folder)
        yield "archive.keystore_folder", installation.path(settings.archive.keystore_folder)
        yield "audit.folder", installation.path(settings.audit.folder)

    def _dicom(self) -> str:
        archive = self.foundation.archive
        with archive.snapshot() as tx:
            listeners = archive.leases.alive(tx, LISTENER, now=self.foundation.clock())
            faulty = {one.place for one in archive.configurations.all(tx) if one.fault}
        if not listeners:
            raise UnavailableError(
                "no DICOM listener is up",
                remedy="Look at the log of role dicom; `second-reader doctor` says more",
            )
        told = f"{len(listeners)} listening"
        if faulty.isdisjoint(lease.owner for lease in listeners):
            return told
        return f"{told}; config.yaml is wrong, so the peers of before it was count"

    def _reader(self) -> str:
        status = self.reader.status(timeout_s=_READER_LIMIT_S)
        settings = self.foundation.installation.settings.inference
        for rule in settings.models:
            if rule.enabled:
                _check_model(rule, status)
        loaded = sum(one.is_loaded for one in status.models)
        return f"{loaded} of {len(status.models)} models loaded"

    def _worker(self) -> str:
        archive = self.foundation.archive
        with archive.snapshot() as tx:
            lease = archive.leases.get(tx, LEASE)
        if lease is None or lease.expires_at <= self.foundation.clock():
            raise UnavailableError("no worker is at work", remedy="Look at the log of role worker")
        return "at work"

    def _audit(self) -> str:
        archive = self.foundation.archive
        with archive.snapshot() as tx:
            age = archive.outbox.oldest_pending_age(tx, now=self.foundation.clock())
        if age is not None and age > self.foundation.audit_settings.max_outbox_age_s:
            raise UnavailableError(
                f"records have been waiting for the log for {age:.0f} s",
                remedy="Look at the log of role worker and the disk of `audit.folder`",
            )
        return "nothing waits" if age is None else f"the oldest record waits for {age:.1f} s"


def _looked(name: str, look: Callable[[], str]) -> PartHealth:
    try:
        return PartHealth(name, is_ready=True, reason=look())
    except ServiceError as error:
        return PartHealth(name, is_ready=False, reason=error.message, remedy=error.remedy)


def _free_bytes(name: str, folder: Path) -> int:
    try:
        return shutil.disk_usage(folder if folder.exists() else folder.parent).free
    except OSError as error:
        raise UnavailableError(
            f"the disk of `{name}` cannot be looked at ({error.strerror})",
            remedy="See whether it is mounted",
        ) from None


def _check_model(rule: ModelRule, status: ReaderStatus) -> None:
    """Raise if a model that studies are read with cannot read; others may be refused."""
    named = [one for one in status.models if one.name == rule.name]
    if not any(not one.reason and rule.version in {None, one.version} for one in named):
        reason = next((one.reason for one in named if one.reason), "the reader does not have it")
        raise UnavailableError(
            f"model {rule.name}: {reason}", remedy="`second-reader model verify` says more"
        )


class ArchiveNumbers(Collector):
    """Counts in the archive when Prometheus asks; nothing in them tells of a patient."""

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation
        self._counted: tuple[datetime, Mapping[str, Balance]] | None = None

    def collect(self) -> Iterable[Metric]:
        """Yield the numbers of this moment; only that there are none if the archive is away."""
        try:
            numbers = list(self._numbers())
        except UnavailableError as error:
            log.warning("the archive could not be counted: %s", error)
            numbers = []
        up = "Whether the archive's numbers could be had."
        yield GaugeMetricFamily("second_reader_archive_up", up, float(bool(numbers)))
        yield from numbers

    def _numbers(self) -> Iterator[Metric]:
        archive, now = self._foundation.archive, self._foundation.clock()
        with archive.snapshot() as tx:
            revisions = archive.revisions.count_by_state(tx)
            deliveries = archive.deliveries.count_by_state(tx)
            waiting = archive.outbox.count_pending(tx)
            age = archive.outbox.oldest_pending_age(tx, now=now) or 0.0
            damaged = Damage().count(tx)
        yield from self._balances(now)
        yield _gauge(
            "study_revisions",
            "Revisions of studies by state.",
            {state.value: revisions.get(state, 0) for state in RevisionState},
        )
        yield _gauge(
            "deliveries",
            "Result objects and destinations by the state of their delivery.",
            {state.value: deliveries.get(state, 0) for state in DeliveryState},
        )
        yield GaugeMetricFamily(
            "second_reader_damaged_objects",
            "Stored objects that are not what was written.",
            damaged,
        )
        yield GaugeMetricFamily(
            "second_reader_audit_outbox_records", "Audit records that wait for the log.", waiting
        )
        yield GaugeMetricFamily(
            "second_reader_audit_outbox_age_seconds", "How long the oldest has waited.", age
        )

    def _balances(self, now: datetime) -> Iterator[Metric]:
        """Yield what arrived and what became of it; counted anew at times, for it takes a while."""
        counted = self._counted
        if counted is None or abs((now - counted[0]).total_seconds()) >= _BALANCE_S:
            with self._foundation.archive.snapshot() as tx:
                balances = {
                    "objects": Accounting().objects(tx),
                    "studies": Accounting().studies(tx),
                }
            counted = self._counted = (now, balances)
        for what, balance in counted[1].items():
            name, text = f"second_reader_{what}_received", f"All {what} that arrived."
            yield GaugeMetricFamily(name, text, balance.received)
            became = GaugeMetricFamily(
                f"second_reader_{what}", f"What became of the {what}.", labels=["outcome"]
            )
            for outcome, number in balance.outcomes.items():
                became.add_metric([outcome], number)
            yield became
            name, text = (
                f"second_reader_{what}_unaccounted",
                "Received, and nothing is known of it.",
            )
            yield GaugeMetricFamily(name, text, balance.unaccounted)


def _gauge(name: str, text: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(f"second_reader_{name}", text, labels=["state"])
    for state, value in values.items():
        family.add_metric([state], value)
    return family
