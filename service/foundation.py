"""What every role stands on: settings, keys, archive, audit trail."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from archive.archive import Archive, open_archive
from audit.records import RecordSealer, SealedRecord
from audit.settings import AuditSettings
from core.clock import Clock, utc_now
from service.keys import Keyring, Purpose, load_keys
from service.settings import Installation
from service.trail import Trail


@dataclass(frozen=True)
class Foundation:
    """The opened installation of one process."""

    installation: Installation
    keyring: Keyring
    archive: Archive
    trail: Trail
    clock: Clock

    @property
    def audit_settings(self) -> AuditSettings:
        """The audit section with absolute paths."""
        settings = self.installation.settings.audit
        files = tuple(self.installation.path(file) for file in settings.checkpoint_files)
        folder = self.installation.path(settings.folder)
        return settings.model_copy(update={"folder": folder, "checkpoint_files": files})

    def record(self, record: SealedRecord) -> None:
        """Commit an audit record that belongs to no other row."""
        with self.archive.transaction() as tx:
            self.archive.outbox.add(tx, record.event_id, record.sealed, at=self.clock())


@contextmanager
def opened(installation: Installation, role: str, clock: Clock = utc_now) -> Iterator[Foundation]:
    """Open the installation for one role; lets go of the database at the end.

    Raises
    ------
    ConfigurationError
        If keys are missing or wrong, or the archive belongs to others.
    """
    settings = installation.settings
    keyring = load_keys(installation.path(settings.keys.folder))
    archive = open_archive(
        settings.archive,
        installation.folder,
        index_key=keyring.key(Purpose.INDEX),
        wrapper=keyring.wrapper,
    )
    audit_key = keyring.key(Purpose.AUDIT)
    trail = Trail(
        role=role,
        source_id=settings.audit.source_id,
        ae_title=settings.dicom_node.ae_title,
        clock=clock,
        sealer=RecordSealer(audit_key),
        key=audit_key,
    )
    try:
        yield Foundation(installation, keyring, archive, trail, clock)
    finally:
        archive.close()
