"""Do the work, make its audit record durable, and only then answer."""

from collections.abc import Callable
from typing import TypeVar

from starlette.requests import Request

from api.access import ACCESS
from api.crew import Crew
from api.errors import AuditUnavailableError
from api.events import AccessEvent, EventKind, EventOutcome
from api.ports import AuditSink
from api.trace import Trace, trace_of
from core.errors import AccessError, InputError, NotFoundError, ServiceError
from core.model import StudyIdentity

T = TypeVar("T")

_NAMES_STUDIES = frozenset((EventKind.INSTANCES_ACCESSED, EventKind.PROCEDURE_RECORD))


def record(sink: AuditSink, event: AccessEvent) -> None:
    """Make `event` durable, or refuse the request: what is not recorded does not happen."""
    try:
        sink.record(event)
    except ServiceError as error:
        raise AuditUnavailableError(
            "the access cannot be recorded in the audit log, so it is refused",
            remedy="Try again later; /readyz tells the operator what is wrong",
        ) from error


class Trail:
    """Answers through the audit log."""

    def __init__(self, sink: AuditSink) -> None:
        self._sink = sink

    async def answer(
        self,
        request: Request,
        work: Callable[[], T],
        *,
        crew: Crew,
        about: Callable[[T], tuple[StudyIdentity, ...]] = lambda _: (),
        query: str = "",
    ) -> T:
        """Return what `work` returns, once the event of this route is durable.

        A failure is recorded with its outcome too.

        Parameters
        ----------
        about
            Whose data the answer holds.
        query
            What was searched or looked up, as a query string.

        Raises
        ------
        AuditUnavailableError
            If the event cannot be made durable; the answer is then thrown away.
        """
        trace = trace_of(request)

        def recorded() -> T:
            outcome, reason = EventOutcome.SERIOUS_FAILURE, "a defect of the service"
            studies: tuple[StudyIdentity, ...] = ()
            try:
                result = work()
                outcome, studies, reason = EventOutcome.SUCCESS, about(result), ""
            except ServiceError as error:
                outcome, reason = outcome_of(error), error.message
                raise
            finally:
                record(self._sink, _event(trace, outcome, studies, query=query, reason=reason))
            return result

        return await crew.run(recorded)

    async def act(
        self, request: Request, work: Callable[[AccessEvent], T], *, crew: Crew, query: str
    ) -> T:
        """Return what `work` returns, which commits the event with what it changes.

        Only a refusal is recorded from here.
        """
        trace = trace_of(request)

        def recorded() -> T:
            try:
                return work(_event(trace, EventOutcome.SUCCESS, query=query))
            except ServiceError as error:
                failed = _event(trace, outcome_of(error), query=query, reason=error.message)
                record(self._sink, failed)
                raise

        return await crew.run(recorded)


def _event(
    trace: Trace,
    outcome: EventOutcome,
    studies: tuple[StudyIdentity, ...] = (),
    *,
    query: str = "",
    reason: str = "",
) -> AccessEvent:
    """Return the event that the access table names for the route of `trace`.

    A failure that touched no study is a query: the others have to name one (PS3.15 A.5.3).
    """
    kind = ACCESS[f"{trace.method} {trace.route}"].event
    if kind is None:
        raise LookupError(f"{trace.route} is exempt from audit and cannot be answered through it")
    if kind in _NAMES_STUDIES and not studies and outcome is not EventOutcome.SUCCESS:
        kind = EventKind.QUERY
    return AccessEvent(kind, outcome, trace.origin, trace.principal, studies, query, reason)


def refusal(trace: Trace, kind: EventKind, reason: str) -> AccessEvent:
    """Return the event of a request that was turned away at the door."""
    return AccessEvent(
        kind, EventOutcome.MINOR_FAILURE, trace.origin, trace.principal, reason=reason
    )


def outcome_of(error: ServiceError) -> EventOutcome:
    """Return a minor failure for what was refused, a serious one for what should have worked."""
    refused = isinstance(error, InputError | NotFoundError | AccessError)
    return EventOutcome.MINOR_FAILURE if refused else EventOutcome.SERIOUS_FAILURE
