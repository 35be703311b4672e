"""Sealed records in database columns, each bound to the row it stands in."""

from dataclasses import dataclass
from typing import TypeVar

from archive.keystore import Keystore
from core.model import StudyKey
from core.records import dump_record, load_record
from core.sealing import open_sealed, seal

T = TypeVar("T")


@dataclass(frozen=True)
class Vault:
    """Seals and opens records under the keys of their studies."""

    keystore: Keystore

    def seal(self, study_key: StudyKey, row: str, record: object) -> bytes:
        """Seal `record` for the row named `row`, which is kind and primary key."""
        return self.seal_bytes(study_key, row, dump_record(record))

    def seal_bytes(self, study_key: StudyKey, row: str, content: bytes) -> bytes:
        """Seal bytes for the row named `row`."""
        key = self.keystore.obtain(study_key).records
        return seal(key, content, context=row.encode())

    def open(self, study_key: StudyKey, row: str, kind: type[T], sealed: bytes) -> T:
        """Open what `seal` made for the same row.

        Raises
        ------
        SealError
            If the column was changed, or was moved from another row.
        ForgottenError
            If the study was forgotten.
        """
        return load_record(kind, self.open_bytes(study_key, row, sealed))

    def open_bytes(self, study_key: StudyKey, row: str, sealed: bytes) -> bytes:
        """Open what `seal_bytes` made for the same row."""
        key = self.keystore.get(study_key).records
        return open_sealed(key, sealed, context=row.encode())
