"""Archives for tests: real ones in a scratch folder, on a disk that fails when it is told to."""

import errno
import os
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from archive.archive import Archive, open_archive
from archive.disk import Disk
from archive.entries import NewInstance
from archive.settings import ArchiveSettings
from core.model import Instance, PatientIdentity, RemoteAE, RevisionKey, StudyIdentity
from core.sealing import open_sealed, seal
from core.uids import keyed_digest

POSTGRES = "SECOND_READER_TEST_POSTGRES"
"""URL of a PostgreSQL server on which tests may make databases; SQLite where it is not set."""

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PEER = RemoteAE("ct1", "CT1", "SECOND_READER", "192.0.2.7")
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"


def at(seconds: float) -> datetime:
    """Return a moment so long after noon."""
    return NOON + timedelta(seconds=seconds)


@dataclass(frozen=True)
class PlainWrapper:
    """A key-encryption key in memory."""

    key: bytes = b"k" * 32
    version: int = 1

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        return seal(self.key, key, context=context)

    def unwrap(self, wrapped: bytes, *, context: bytes) -> bytes:
        return open_sealed(self.key, wrapped, context=context)


@dataclass
class FailingDisk(Disk):
    """The real disk, but for one call that fails; counts them all."""

    failing: str = ""
    code: int = errno.EIO
    after: int = 0
    """How many calls of that kind succeed first."""
    once: bool = False
    calls: list[tuple[str, object]] = field(default_factory=list)
    synced: list[str] = field(default_factory=list)
    """The name of each file whenever its sync was asked for."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, call: str, code: int = errno.EIO, *, after: int = 0, once: bool = False) -> None:
        """Let one kind of call fail from now on, or once."""
        self.failing, self.code, self.after, self.once = call, code, after, once

    def create(self, path: Path) -> int:
        self._note("create", path)
        return super().create(path)

    def write(self, descriptor: int, content: bytes) -> None:
        self._note("write", descriptor)
        super().write(descriptor, content)

    def fsync(self, descriptor: int) -> None:
        self.synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        self._note("fsync", descriptor)
        super().fsync(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        self._note("rename", new)
        super().rename(old, new)

    def link(self, old: Path, new: Path) -> None:
        self._note("link", new)
        super().link(old, new)

    def fsync_folder(self, folder: Path) -> None:
        self._note("fsync_folder", folder)
        super().fsync_folder(folder)

    def _note(self, call: str, what: object) -> None:
        with self.lock:
            self.calls.append((call, what))
            if call != self.failing:
                return
            self.after -= 1
            if self.after < 0:
                if self.once:
                    self.failing = ""
                raise OSError(self.code, "as the test wants it")


def make_archive(
    base: Path,
    *,
    disk: Disk | None = None,
    index_key: bytes = b"i" * 32,
    busy_timeout_s: float = 20,
) -> Archive:
    """Open an archive in `base`, on the database that the tests are run against."""
    settings = archive_settings(base).model_copy(update={"busy_timeout_s": busy_timeout_s})
    return open_archive(settings, base, index_key=index_key, wrapper=PlainWrapper(), disk=disk)


def archive_settings(base: Path) -> ArchiveSettings:
    """Return settings for an archive in `base`; the same ones for the same folder."""
    server = os.environ.get(POSTGRES)
    if not server:
        return ArchiveSettings(busy_timeout_s=20)
    name = "test_" + uuid.uuid5(uuid.NAMESPACE_URL, str(base)).hex
    url = make_url(server)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        known = text("SELECT 1 FROM pg_database WHERE datname = :name")
        if connection.execute(known, {"name": name}).first() is None:
            connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    own = url.set(database=name).render_as_string(hide_password=False)
    return ArchiveSettings(busy_timeout_s=20, database_url=own)


def instance(number: int = 1, **changes: object) -> Instance:
    """Return what is indexed of an invented CT image; `changes` override by field name.

    Fields of the patient and the study are taken by their own names.
    """
    patient = {
        "patient_id": "PID-0001",
        "issuer_of_patient_id": "HOSPITAL-A",
        "patient_name": "Example^Ada",
        "patient_birth_date": "19700102",
        "patient_sex": "F",
    }
    study = {
        "study_instance_uid": "2.25.1000",
        "accession_number": "ACC-0001",
        "study_date": "20260301",
        "study_time": "101500",
        "study_id": "S1",
    }
    values: dict[str, object] = {
        "sop_class_uid": CT,
        "sop_instance_uid": f"2.25.3000{number}",
        "series_instance_uid": "2.25.2000",
        "transfer_syntax_uid": EXPLICIT_LITTLE,
        "modality": "CT",
        "series_number": 1,
        "instance_number": number,
        "rows": 32,
        "columns": 32,
        "number_of_frames": 1,
        "burned_in_annotation": "",
        "manufacturer": "Invented Devices",
        "model_name": "",
        "body_part_examined": "CHEST",
        "series_description": "thin",
        "study_description": "chest",
    }
    patient.update({name: str(value) for name, value in changes.items() if name in patient})
    study.update({name: str(value) for name, value in changes.items() if name in study})
    values.update({name: value for name, value in changes.items() if name in values})
    identity = StudyIdentity(PatientIdentity(**patient), **study)
    return Instance(identity=identity, **values)  # type: ignore[arg-type]


def new_instance(
    archive: Archive,
    number: int = 1,
    *,
    content: bytes = b"",
    seconds: float = 0,
    association_id: str = "a1",
    peer: RemoteAE = PEER,
    changes: Mapping[str, object] | None = None,
) -> NewInstance:
    """Return an instance whose sealed object lies in `archive` already."""
    about = instance(number, **(changes or {}))
    content = content or f"object {number}".encode()
    study_key = archive.index.study_key(about.identity.study_instance_uid)
    writer = archive.put_object(study_key, content)
    return NewInstance(
        instance=about,
        issuer=about.identity.patient.issuer_of_patient_id,
        content_digest=keyed_digest(b"c" * 32, content.hex()),
        blob_name=writer.name,
        size_bytes=len(content),
        received_at=at(seconds),
        peer=peer,
        association_id=association_id,
        key_version=1,
    )


def stored(archive: Archive, *numbers: int, seconds: float = 0) -> RevisionKey:
    """Store instances of one study; return the revision of the last."""
    with archive.transaction() as tx:
        added = [
            archive.studies.add(tx, new_instance(archive, number, seconds=seconds))
            for number in (numbers or (1,))
        ]
    return added[-1].revision
