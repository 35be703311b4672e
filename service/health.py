"""Is every part alive: for `/readyz`, and the numbers for Prometheus."""

import shutil
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.views import PartHealth
from archive.entries import StudyFilter
from core.errors import ServiceError, UnavailableError
from core.states import RevisionState
from inference.client import ReaderClient
from service.foundation import Foundation

FRESH_S = 1.0
"""A report is not made anew within this time, so that asking often costs nothing."""
LEAST_FREE_BYTES = 1024**3
MAX_OUTBOX_AGE_S = 60.0
WORKER_LEASE = "audit sequencer"
"""Renewed by the worker every few seconds."""
_CONNECT_S = 0.2


@dataclass
class Health:
    """Looks at every part; the api's `HealthReporter`."""

    foundation: Foundation
    reader: ReaderClient
    _report: tuple[PartHealth, ...] = ()
    _made_at: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def report(self) -> tuple[PartHealth, ...]:
        """Return how every part is."""
        with self._lock:
            if time.monotonic() - self._made_at >= FRESH_S:
                self._report = tuple(self._look(name, look) for name, look in self._looks())
                self._made_at = time.monotonic()
            return self._report

    def _looks(self) -> Iterable[tuple[str, Callable[[], str]]]:
        return (
            ("database", self._database),
            ("disk", self._disk),
            ("dicom", self._dicom),
            ("reader", self._reader),
            ("worker", self._worker),
            ("audit", self._audit),
        )

    @staticmethod
    def _look(name: str, look: Callable[[], str]) -> PartHealth:
        try:
            return PartHealth(name, is_ready=True, reason=look())
        except ServiceError as error:
            return PartHealth(name, is_ready=False, reason=error.message, remedy=error.remedy)

    def _database(self) -> str:
        with self.foundation.archive.snapshot() as tx:
            self.foundation.archive.catalogue.find(tx, StudyFilter(), limit=1)
        return "answers"

    def _disk(self) -> str:
        installation = self.foundation.installation
        free = shutil.disk_usage(installation.path(installation.settings.archive.folder)).free
        if free < LEAST_FREE_BYTES:
            raise UnavailableError(
                f"only {free // 2**20} MiB are free", remedy="Free space in `archive.folder`"
            )
        return f"{free // 2**30} GiB free"

    def _dicom(self) -> str:
        settings = self.foundation.installation.settings.dicom_node
        host = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host  # noqa: S104
        try:
            with socket.create_connection((host, settings.port), timeout=_CONNECT_S):
                return f"listens on port {settings.port}"
        except OSError:
            raise UnavailableError(
                f"nothing listens on port {settings.port}",
                remedy="Look at the log of role dicom; `second-reader doctor` says more",
            ) from None

    def _reader(self) -> str:
        status = self.reader.status(timeout_s=_CONNECT_S * 5)
        refused = [one for one in status.models if one.reason]
        if refused:
            raise UnavailableError(f"model {refused[0].name}: {refused[0].reason}")
        loaded = sum(one.is_loaded for one in status.models)
        return f"{loaded} of {len(status.models)} models loaded"

    def _worker(self) -> str:
        archive = self.foundation.archive
        with archive.snapshot() as tx:
            lease = archive.leases.get(tx, WORKER_LEASE)
        if lease is None or lease.expires_at <= self.foundation.clock():
            raise UnavailableError("no worker is at work", remedy="Look at the log of role worker")
        return "at work"

    def _audit(self) -> str:
        archive = self.foundation.archive
        with archive.snapshot() as tx:
            age = archive.outbox.oldest_pending_age(tx, now=self.foundation.clock())
        if age is not None and age > MAX_OUTBOX_AGE_S:
            raise UnavailableError(
                f"records have been waiting for the log for {age:.0f} s",
                remedy="Look at the log of role worker and the disk of `audit.folder`",
            )
        return "nothing waits" if age is None else f"the oldest record waits for {age:.1f} s"


class ArchiveNumbers(Collector):
    """Counts in the archive when Prometheus asks; nothing in them tells of a patient."""

    def __init__(self, foundation: Foundation) -> None:
        self._foundation = foundation

    def collect(self) -> Iterable[Metric]:
        """Yield the numbers of this moment."""
        archive, now = self._foundation.archive, self._foundation.clock()
        with archive.snapshot() as tx:
            revisions = {
                state.value: len(archive.revisions.in_state(tx, state)) for state in RevisionState
            }
            deliveries = Counter(
                record.state.value
                for revision, destination in archive.deliveries.unfinished(tx)
                for record in archive.deliveries.due(tx, revision, destination)
            )
            waiting = archive.outbox.count_pending(tx)
            age = archive.outbox.oldest_pending_age(tx, now=now) or 0.0
        yield _gauge("study_revisions", "Revisions of studies by state", revisions)
        yield _gauge("deliveries_unfinished", "Deliveries on their way by state", deliveries)
        yield GaugeMetricFamily(
            "second_reader_audit_outbox_records", "Audit records that wait", waiting
        )
        yield GaugeMetricFamily(
            "second_reader_audit_outbox_age_seconds", "How long the oldest has waited", age
        )


def _gauge(name: str, text: str, values: "Counter[str] | dict[str, int]") -> Metric:
    family = GaugeMetricFamily(f"second_reader_{name}", text, labels=["state"])
    for state, value in values.items():
        family.add_metric([state], value)
    return family
