"""The only module that imports dbos: durable workflows, queues, retries.

A workflow holds keys and nothing else; what its steps make lies sealed in the archive. The rows
of the archive say what has to be done, the engine only sees to it that it is done: a study that
is scheduled without a workflow is submitted again by the sweep.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from dbos import DBOS, DBOSConfig, SetEnqueueOptions, SetWorkflowID, StepOptions
from dbos import _sys_db as dbos_database
from dbos import error as dbos_error
from dbos._serialization import DefaultSerializer

from core.clock import Clock, utc_now
from core.errors import CorruptionError, ServiceError, UnavailableError
from core.model import RevisionKey
from service.pipeline import Steps, process
from service.settings import PipelineSettings
from service.workflow_values import read_plain

log = logging.getLogger(__name__)

STUDIES, DELIVERIES = "studies", "deliveries"
STAT, ROUTINE = 1, 10
"""Priorities of the queues; a lower number runs first (0 would run before STAT)."""

_UNFINISHED = frozenset({"PENDING", "ENQUEUED", "DELAYED"})
_STEP_POLL_S = 0.2
_PASSING_FAULTS = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_CANTOPEN")
_APPLICATION_VERSION = "1"
"""Raised when the order of the steps changes, so that an old workflow is never replayed wrongly."""


class Progress(StrEnum):
    """Where a workflow is."""

    UNKNOWN = "unknown"
    """It was never submitted, or the workflows were lost."""
    RUNNING = "running"
    """Or waiting for its turn."""
    ENDED = "ended"
    """In whatever way."""


class StepTimeoutError(UnavailableError):
    """A step took longer than it may."""


class StepCrashError(CorruptionError):
    """A step raised what is not one of our errors: a defect, told without its text."""


class Failures(Protocol):
    """What becomes of a study whose step failed for good."""

    def give_up(self, revision: RevisionKey, error: ServiceError) -> None:
        """Record why the revision failed or is held; may run twice."""


class Deliverer(Protocol):
    """Makes one attempt to bring the results of a revision to one destination."""

    def attempt(self, revision: RevisionKey, destination: str) -> datetime | None:
        """Send what is due; return when the next attempt is, None if there is none."""


class Engine:
    """Runs the pipeline and the deliveries of one worker process.

    One engine lives in a process at a time, because DBOS keeps its registry in the module.
    """

    def __init__(
        self,
        settings: PipelineSettings,
        *,
        database: Path,
        steps: Steps,
        failures: Failures,
        deliverer: Deliverer,
        clock: Clock = utc_now,
    ) -> None:
        self._settings = settings
        self._database = database
        self._steps = _DurableSteps(steps, settings)
        self._failures = failures
        self._deliverer = deliverer
        self._clock = clock
        self._study: Callable[[str], None] | None = None
        self._delivery: Callable[[str, str], None] | None = None

    def launch(self) -> None:
        """Open the workflow database, take up what was interrupted, and start the queues."""
        settings = self._settings
        url = settings.database_url or f"sqlite:///{self._database}"
        if url.startswith("sqlite"):
            _use_write_ahead_log(self._database)
        _read_plain_values_only()
        _wait_for_a_disk_that_fails()
        DBOS(config=_config(url))
        self._register()
        DBOS.launch()
        DBOS.register_queue(
            STUDIES,
            worker_concurrency=settings.studies_at_once,
            polling_interval_sec=_STEP_POLL_S,
            on_conflict="always_update",
        )
        DBOS.register_queue(
            DELIVERIES,
            worker_concurrency=settings.deliveries_at_once,
            partition_worker_concurrency=settings.deliveries_at_once_per_destination,
            polling_interval_sec=_STEP_POLL_S,
            on_conflict="always_update",
        )

    def stop(self, *, grace_s: int = 10) -> None:
        """Let running workflows end within a bound; what is left is taken up at the next start."""
        DBOS.destroy(workflow_completion_timeout_sec=grace_s, destroy_registry=True)

    def submit(self, revision: RevisionKey, *, attempt: int = 1, stat: bool = False) -> None:
        """Start the pipeline for a complete revision; to repeat a call changes nothing."""
        assert self._study is not None
        with (
            SetWorkflowID(_study_workflow(revision, attempt)),
            SetEnqueueOptions(priority=STAT if stat else ROUTINE),
        ):
            DBOS.enqueue_workflow(STUDIES, self._study, str(revision))

    def submit_delivery(
        self, revision: RevisionKey, destination: str, *, due: datetime, now: datetime
    ) -> None:
        """Queue the attempt that is due at a moment; to repeat a call changes nothing."""
        assert self._delivery is not None
        delay_s = (due - now).total_seconds()
        name = _delivery_workflow(revision, destination, due)
        options = SetEnqueueOptions(
            priority=ROUTINE,
            queue_partition_key=destination,
            delay_seconds=delay_s if delay_s > 0 else None,
        )
        with SetWorkflowID(name), options:
            DBOS.enqueue_workflow(DELIVERIES, self._delivery, str(revision), destination)

    def progress(self, revision: RevisionKey, *, attempt: int) -> Progress:
        """Return where the pipeline of an attempt is."""
        return _progress(_study_workflow(revision, attempt))

    def delivery_progress(
        self, revision: RevisionKey, destination: str, *, due: datetime
    ) -> Progress:
        """Return where the attempt that is due at a moment is."""
        return _progress(_delivery_workflow(revision, destination, due))

    def _register(self) -> None:
        # DBOS marks the function itself, so it takes no bound method.
        @DBOS.workflow(name="study", max_recovery_attempts=3)
        def study(revision: str) -> None:
            self._run_study(revision)

        @DBOS.workflow(name="delivery", max_recovery_attempts=100)
        def delivery(revision: str, destination: str) -> None:
            self._run_delivery(revision, destination)

        self._study, self._delivery = study, delivery

    def _run_study(self, revision_text: str) -> None:
        revision = RevisionKey.parse(revision_text)
        try:
            process(revision, self._steps)
        except ServiceError as error:
            self._give_up(revision, error)
        except dbos_error.DBOSMaxStepRetriesExceeded as error:
            self._give_up(revision, _last_cause(error))

    def _give_up(self, revision: RevisionKey, error: ServiceError) -> None:
        log.warning("study %s: %s", revision, error)
        DBOS.run_step(
            {"name": "give_up"},
            _bounded(self._failures.give_up, self._settings.step_limit_s),
            revision,
            error,
        )

    def _run_delivery(self, revision_text: str, destination: str) -> None:
        revision = RevisionKey.parse(revision_text)
        try:
            due = DBOS.run_step(
                {"name": "attempt", **self._retries()},
                _bounded(self._deliverer.attempt, self._settings.step_limit_s),
                revision,
                destination,
            )
        except (ServiceError, dbos_error.DBOSMaxStepRetriesExceeded) as error:
            last = error if isinstance(error, ServiceError) else _last_cause(error)
            log.error("delivery of %s to %s: %s", revision, destination, last)  # noqa: TRY400
            return  # the sweep finds the rows unfinished, and plans the next attempt
        if due is not None:
            self.submit_delivery(revision, destination, due=due, now=self._clock())

    def _retries(self) -> StepOptions:
        return _retries(self._settings.attempts)


class _DurableSteps:
    """The five steps: recorded, retried while something is unavailable, bounded in time."""

    def __init__(self, steps: Steps, settings: PipelineSettings) -> None:
        self._inner = steps
        self._settings = settings

    def deidentify(self, revision: RevisionKey) -> None:
        self._run("deidentify", self._inner.deidentify, revision)

    def infer(self, revision: RevisionKey) -> None:
        self._run("infer", self._inner.infer, revision)

    def encode(self, revision: RevisionKey) -> None:
        self._run("encode", self._inner.encode, revision)

    def check(self, revision: RevisionKey) -> None:
        self._run("check", self._inner.check, revision)

    def enqueue_deliveries(self, revision: RevisionKey) -> None:
        self._run("enqueue_deliveries", self._inner.enqueue_deliveries, revision)

    def _run(self, name: str, step: Callable[[RevisionKey], None], revision: RevisionKey) -> None:
        DBOS.run_step(
            {"name": name, **_retries(self._settings.attempts)},
            _bounded(step, self._settings.step_limit_s),
            revision,
        )


def _study_workflow(revision: RevisionKey, attempt: int) -> str:
    return str(revision) if attempt <= 1 else f"{revision}.{attempt}"


def _delivery_workflow(revision: RevisionKey, destination: str, due: datetime) -> str:
    return f"{revision}.{destination}.{due.timestamp():.6f}"


def _progress(workflow: str) -> Progress:
    status = DBOS.get_workflow_status(workflow)
    if status is None:
        return Progress.UNKNOWN
    return Progress.RUNNING if status.status in _UNFINISHED else Progress.ENDED


def _retries(attempts: int) -> StepOptions:
    """Try again, with a doubling wait, while what a step needs is unavailable."""
    return {
        "retries_allowed": True,
        "interval_seconds": 1.0,
        "backoff_rate": 2.0,
        "max_attempts": attempts,
        "should_retry": _is_passing,
    }


def _is_passing(error: BaseException) -> bool:
    return isinstance(error, UnavailableError)


def _last_cause(error: dbos_error.DBOSMaxStepRetriesExceeded) -> ServiceError:
    last = error.errors[-1]
    return last if isinstance(last, ServiceError) else StepCrashError("a step ended in a defect")


def _bounded(step: Callable[..., Any], limit_s: float) -> Callable[..., Any]:
    """Run `step` on a thread of its own and give up on it after `limit_s`.

    What escapes is one of our errors: DBOS stores the text of what a step raises, and only ours are
    known to hold nothing of a patient.
    """

    def run(*arguments: object) -> object:
        outcome: list[object] = []
        failure: list[ServiceError] = []

        def call() -> None:
            try:
                outcome.append(step(*arguments))
            except ServiceError as error:
                failure.append(error)
            except Exception as error:  # noqa: BLE001 - the worker's process boundary
                failure.append(StepCrashError(f"a defect in {_place(error)} ended the step"))

        thread = threading.Thread(target=call, name="step", daemon=True)
        thread.start()
        thread.join(limit_s)
        if thread.is_alive():
            raise StepTimeoutError(f"the step did not end within {limit_s:g} s")
        if failure:
            raise failure[0]
        return outcome[0]

    return run


def _place(error: BaseException) -> str:
    """Name the kind of a defect and where it is, never its text, which may hold a value."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else "?"
    return f"{where} ({type(error).__name__})"


def _config(url: str) -> DBOSConfig:
    return DBOSConfig(
        name="second-reader",
        system_database_url=url,
        application_version=_APPLICATION_VERSION,
        executor_id="local",
        enable_otlp=False,
        log_level="ERROR",
        notification_listener_polling_interval_sec=_STEP_POLL_S,
    )


def _read_plain_values_only() -> None:
    """Keep DBOS from loading any pickle; a serializer of ours would not, as rows name their own."""

    def deserialize(_: DefaultSerializer, text: str) -> object:
        return read_plain(text)

    DefaultSerializer.deserialize = deserialize  # type: ignore[method-assign, assignment]


def _wait_for_a_disk_that_fails() -> None:
    """Have DBOS repeat what failed or found no space, as it does when the database is locked.

    It would count the study as failed for a fault of its own file that passes by itself.
    """

    def passes(error: Exception) -> bool:
        name = getattr(getattr(error, "orig", None), "sqlite_errorname", "")
        return name.startswith(_PASSING_FAULTS)

    dbos_database.retriable_sqlite_exception = passes  # type: ignore[attr-defined, assignment]


def _use_write_ahead_log(database: Path) -> None:
    connection = sqlite3.connect(database)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()
