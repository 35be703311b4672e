"""An operator at an opened installation: what a command does there is recorded, or not done."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from archive.database import Transaction
from audit import triggers
from audit.events import AuditEvent, Participant, Stamp
from audit.parties import Search, application, person
from audit.vocabulary import Alert, Outcome
from core.errors import AccessError, InputError, NotFoundError, ServiceError
from service.cli.access import ACCESS
from service.cli.options import DEFAULT_CONFIG, complain, installation, operator
from service.foundation import Foundation, opened
from service.keys import KEY_FILE, Purpose
from service.sequencer import Sequencer

ROLE = "cli"


@dataclass(frozen=True)
class Desk:
    """Where one command runs."""

    command: str
    """Its words, as in the table of access."""
    foundation: Foundation

    @property
    def who(self) -> Participant:
        """The operator."""
        return person(operator(), address=socket.gethostname())

    def stamp(self) -> Stamp:
        """Return the stamp of one more event."""
        return self.foundation.trail.stamp()

    def record(self, event: AuditEvent) -> None:
        """Make an event durable; only then may its answer be shown."""
        with self.foundation.archive.transaction() as tx:
            self.add(tx, event)

    def add(self, tx: Transaction, event: AuditEvent) -> None:
        """Record an event in the transaction of what it is about.

        Raises
        ------
        LookupError
            If the table of access does not name such an event for this command.
        """
        if event.kind not in ACCESS[self.command].events:
            raise LookupError(f"{self.command} leaves {event.kind.name}, which its line lacks")
        foundation = self.foundation
        noted = event.noting(Command=self.command)
        sealed = foundation.trail.seal(noted)
        foundation.archive.outbox.add(tx, sealed.event_id, sealed.sealed, at=foundation.clock())

    def alert(self, alert: Alert, description: str) -> AuditEvent:
        """Return a security alert about what the operator does here."""
        return triggers.security_alert(self.stamp(), alert, description, reporters=(self.who,))

    def log_used(self) -> AuditEvent:
        """Return the event of an operator who looks into the audit log."""
        uri = self.foundation.audit_settings.folder.as_uri()
        return triggers.log_used(self.stamp(), (self.who,), log_uri=uri)

    def query(self, asked: str) -> AuditEvent:
        """Return the event of a search or look-up; `asked` may name a patient."""
        source = application(operator(), address=socket.gethostname(), is_requestor=True)
        search = Search(asked.encode(), self.command)
        return triggers.query(self.stamp(), source, self.foundation.trail.ours, search)

    @contextmanager
    def looking_up(self, asked: str) -> Iterator[None]:
        """Record a look-up in the body that finds nothing, or fails, as a query that did."""
        try:
            yield
        except ServiceError as error:
            self.record(self.query(asked).ended(_outcome(error), error.message))
            raise


@contextmanager
def at_desk(command: str, config: Path) -> Iterator[Desk]:
    """Open the installation for one command.

    Raises
    ------
    ConfigurationError
        If config.yaml or the keys are wrong.
    """
    with opened(installation(config), ROLE) as foundation:
        try:
            yield Desk(command, foundation)
        finally:
            sequence(foundation)


@contextmanager
def at_desk_if_any(command: str, config: Path | None) -> Iterator[Desk | None]:
    """Open the installation for a command that also works without one; None if there is none.

    One that was named must be there; one that was not is looked for in the present folder.
    """
    if config is None and not _is_installed(DEFAULT_CONFIG):
        yield None
        return
    with at_desk(command, config or DEFAULT_CONFIG) as desk:
        yield desk


def _is_installed(config: Path) -> bool:
    """Whether more than a config.yaml is there, such as the example of the distribution."""
    if not config.exists():
        return False
    ours = installation(config)
    return (ours.path(ours.settings.keys.folder) / KEY_FILE).exists()


def sequence(foundation: Foundation) -> None:
    """Bring what waits into the audit log, unless a worker of a running service does that.

    What cannot be appended now is durable in the outbox all the same.
    """
    sequencer = Sequencer(
        foundation.archive,
        foundation.audit_settings,
        signing_key=foundation.keyring.key(Purpose.AUDIT_SIGNING),
        owner=f"{socket.gethostname()}/{ROLE}/{os.getpid()}",
        trail=foundation.trail,
        clock=foundation.clock,
    )
    try:
        sequencer.run_once()
        sequencer.close()
    except ServiceError as error:
        complain(f"the audit log could not be written, records wait in the database: {error}")


def _outcome(error: ServiceError) -> Outcome:
    refused = isinstance(error, InputError | NotFoundError | AccessError)
    return Outcome.MINOR_FAILURE if refused else Outcome.SERIOUS_FAILURE
