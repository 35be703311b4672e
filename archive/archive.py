"""The archive in one hand: everything that keeps something, opened together."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from archive.accounts import Accounts
from archive.arrivals import Arrivals
from archive.blobs import BlobStore, BlobWriter
from archive.callers import Callers
from archive.catalogue import Catalogue
from archive.configurations import Configurations
from archive.custody import Custody
from archive.database import Database, Transaction, make_database_file, sqlite_url
from archive.deliveries import Deliveries
from archive.disk import Disk
from archive.errors import MissingDatabaseError, WrongKeysError
from archive.index import IdentityIndex
from archive.journey import Journey
from archive.keystore import Keystore
from archive.leases import Leases
from archive.outbox import Outbox
from archive.results import Results
from archive.revisions import Revisions
from archive.rows import RowMaker
from archive.schema import migrate
from archive.settings import ArchiveSettings
from archive.studies import Studies
from archive.tables import installation
from archive.upkeep import Upkeep
from archive.vault import Vault
from core.errors import ServiceError
from core.model import StudyKey
from core.sealing import KeyWrapper

DATABASE_FILE = "archive.db"
OBJECTS_FOLDER = "objects"


@dataclass(frozen=True)
class Archive:
    """What we keep. Repositories read and write through a `Transaction`.

    with archive.transaction() as tx:
        revision = archive.studies.add(tx, new)
        archive.outbox.add(tx, record.event_id, record.sealed, at=now)
    """

    database: Database
    keystore: Keystore
    blobs: BlobStore
    index: IdentityIndex
    rows: RowMaker
    custody: Custody
    studies: Studies
    catalogue: Catalogue
    revisions: Revisions
    arrivals: Arrivals
    results: Results
    deliveries: Deliveries
    journey: Journey
    outbox: Outbox
    accounts: Accounts
    callers: Callers
    configurations: Configurations
    leases: Leases
    upkeep: Upkeep

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Write: all of the body in one commit."""
        return self.database.transaction()

    def snapshot(self) -> AbstractContextManager[Transaction]:
        """Read: everything as of one moment."""
        return self.database.snapshot()

    def new_object(self, study_key: StudyKey) -> BlobWriter:
        """Start a sealed object of a study."""
        return self.blobs.create(self.keystore.obtain(study_key).objects)

    def put_object(self, study_key: StudyKey, content: bytes) -> BlobWriter:
        """Store a whole object of a study durably; the returned writer knows name and size."""
        return self.blobs.put(self.keystore.obtain(study_key).objects, content)

    def open_object(self, study_key: StudyKey, blob_name: str) -> Iterator[bytes]:
        """Yield an object of a study, each piece only after it was verified."""
        return self.blobs.open(blob_name, self.keystore.get(study_key).objects)

    def read_object(self, study_key: StudyKey, blob_name: str) -> bytes:
        """Return a whole object of a study, verified to its end."""
        return self.blobs.read(blob_name, self.keystore.get(study_key).objects)

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()


def open_archive(
    settings: ArchiveSettings,
    base: Path,
    *,
    index_key: bytes,
    wrapper: KeyWrapper,
    disk: Disk | None = None,
) -> Archive:
    """Open the archive of an installation; makes it, or brings it to this version, if need be.

    Parameters
    ----------
    base
        The folder that relative paths of the settings start from.
    index_key
        Key of the keyed look-ups, 32 bytes.
    wrapper
        The key-encryption key, which wraps the study keys.
    disk
        The real one if left out.

    Raises
    ------
    WrongKeysError
        If the archive was made with another index key.
    SchemaError
        If the database belongs to a newer version.
    """
    disk = disk or Disk()
    folder = base / settings.folder
    index = IdentityIndex(index_key)
    database = _open_database(settings, folder, disk)
    try:
        migrate(database)
        _check_keys(database, index)
    except ServiceError:
        database.close()
        raise
    keystore = Keystore(
        base / settings.keystore_folder,
        wrapper,
        disk=disk,
        keys_in_memory=settings.keys_in_memory,
    )
    blobs = BlobStore(folder / OBJECTS_FOLDER, disk=disk)
    vault = Vault(keystore)
    revisions = Revisions()
    rows = RowMaker(index, vault)
    return Archive(
        database=database,
        keystore=keystore,
        blobs=blobs,
        index=index,
        rows=rows,
        custody=Custody(database),
        studies=Studies(index, rows, revisions),
        catalogue=Catalogue(index, vault, revisions),
        revisions=revisions,
        arrivals=Arrivals(),
        results=Results(index, vault),
        deliveries=Deliveries(),
        journey=Journey(),
        outbox=Outbox(),
        accounts=Accounts(),
        callers=Callers(),
        configurations=Configurations(),
        leases=Leases(),
        upkeep=Upkeep(database, blobs, keystore),
    )


def _open_database(settings: ArchiveSettings, folder: Path, disk: Disk) -> Database:
    url = settings.database_url
    if url is None:
        _require_no_objects_without(folder / DATABASE_FILE, folder / OBJECTS_FOLDER)
        make_database_file(folder / DATABASE_FILE, disk)
        url = sqlite_url(folder / DATABASE_FILE)
    return Database(url, busy_timeout_s=settings.busy_timeout_s)


def _require_no_objects_without(database: Path, objects: Path) -> None:
    """Beside an empty database every object would be one that no row names, to be tidied away."""
    if not database.exists() and any(objects.glob("??/*")):
        raise MissingDatabaseError(
            f"there are sealed objects in {objects} and no {database.name}",
            remedy="Restore the database; for a new archive move that folder elsewhere",
        )


def _check_keys(database: Database, index: IdentityIndex) -> None:
    """With another index key every look-up would miss and every study would begin anew."""
    check = select(installation.c.value).where(installation.c.name == "index key")
    with database.snapshot() as tx:
        stored = tx.execute(check).scalar()
    if stored is None:
        with database.transaction() as tx:
            tx.execute(
                tx.insert(installation)
                .values(name="index key", value=index.check())
                .on_conflict_do_nothing()
            )
            stored = tx.execute(check).scalar_one()
    if stored != index.check():
        raise WrongKeysError(
            "the keys do not belong to this archive",
            remedy="Restore the keys folder that was made together with `archive.folder`",
        )
