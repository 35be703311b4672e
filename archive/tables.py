"""The database tables. `migrations/` holds their history and must end in the same tables.

No column tells who a patient is. Plain columns hold our own keys, states, counts, times, sizes, SOP
classes, modalities, transfer syntaxes and what callers are known by; look-ups by a UID or a patient
ID go through keyed digests; everything else is in `sealed` columns under the study's own key.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

KEY_LENGTH = 26
"""Characters of one of our keys: 128 bits in base32."""


class Moment(TypeDecorator[datetime]):
    """An aware time, kept as microseconds since 1970 in UTC: exact, and the same everywhere."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002, D102
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002, D102
        return None if value is None else _EPOCH + value * _MICROSECOND


# SQLite counts by itself only a column that is exactly INTEGER.
_Counter = BigInteger().with_variant(Integer, "sqlite")
_Key = String(KEY_LENGTH)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

installation = Table(
    "installation",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

patient = Table(
    "patient",
    metadata,
    Column("patient_key", _Key, primary_key=True),
    # Pseudonyms of a patient stay under the key version of the day they were first seen.
    Column("key_version", Integer, nullable=False),
    Column("first_seen_at", Moment, nullable=False),
)

study = Table(
    "study",
    metadata,
    Column("study_key", _Key, primary_key=True),
    Column("patient_key", ForeignKey(patient.c.patient_key), nullable=False, index=True),
    Column("identity_digest", LargeBinary, nullable=False),
    Column("identity_version", Integer, nullable=False),
    Column("peer_name", Text, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Index("ix_study_received_at", "received_at", "study_key"),
)

series = Table(
    "series",
    metadata,
    Column("series_key", _Key, primary_key=True),
    Column("study_key", ForeignKey(study.c.study_key), nullable=False, index=True),
    Column("modality", Text, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

instance = Table(
    "instance",
    metadata,
    Column("instance_key", _Key, primary_key=True),
    Column("study_key", ForeignKey(study.c.study_key), nullable=False),
    Column("series_key", ForeignKey(series.c.series_key), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("standing", String(16), nullable=False),
    Column("sop_digest", LargeBinary, nullable=False, index=True),
    Column("identity_digest", LargeBinary, nullable=False),
    Column("content_digest", LargeBinary, nullable=False),
    Column("sop_class_uid", String(64), nullable=False),
    Column("transfer_syntax_uid", String(64), nullable=False),
    Column("blob_name", String(64), nullable=False, unique=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("peer_name", Text, nullable=False),
    Column("association_id", String(64), nullable=False, index=True),
    Column("received_at", Moment, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Index("ix_instance_study_key", "study_key", "revision"),
)

revision = Table(
    "revision",
    metadata,
    Column("study_key", ForeignKey(study.c.study_key), nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("hold_reason", String(32)),
    Column("reason", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("number_of_instances", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("last_instance_at", Moment, nullable=False),
    Column("closed_at", Moment),
    Column("updated_at", Moment, nullable=False),
    PrimaryKeyConstraint("study_key", "number"),
)

arrival = Table(
    "arrival",
    metadata,
    Column("association_id", String(64), nullable=False),
    Column("study_key", ForeignKey(study.c.study_key), nullable=False, index=True),
    Column("modality", Text, nullable=False),
    Column("peer_name", Text, nullable=False),
    Column("ae_title", Text, nullable=False),
    Column("called_ae_title", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("stored", Integer, nullable=False),
    Column("duplicates", Integer, nullable=False),
    Column("first_at", Moment, nullable=False),
    Column("last_at", Moment, nullable=False),
    Column("reported_at", Moment),
    PrimaryKeyConstraint("association_id", "study_key", "modality"),
)

reading = Table(
    "reading",
    metadata,
    Column("study_key", _Key, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("model_name", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    PrimaryKeyConstraint("study_key", "revision", "ordinal"),
    ForeignKeyConstraint(
        ["study_key", "revision"], ["revision.study_key", "revision.number"], name="fk_reading"
    ),
)

released = Table(
    "released",
    metadata,
    Column("instance_key", ForeignKey(instance.c.instance_key), primary_key=True),
    Column("study_key", ForeignKey(study.c.study_key), nullable=False, index=True),
    Column("recipe", Text, nullable=False),
    Column("blob_name", String(64), unique=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

result_object = Table(
    "result_object",
    metadata,
    Column("result_key", _Key, primary_key=True),
    Column("study_key", _Key, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("identity_version", Integer, nullable=False),
    Column("sop_class_uid", String(64), nullable=False),
    Column("transfer_syntax_uid", String(64), nullable=False),
    Column("blob_name", String(64), nullable=False, unique=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("checked_at", Moment),
    Column("withdrawn_at", Moment),
    Column("sealed", LargeBinary, nullable=False),
    ForeignKeyConstraint(
        ["study_key", "revision"],
        ["revision.study_key", "revision.number"],
        name="fk_result_object",
    ),
    Index("ix_result_object_revision", "study_key", "revision"),
)

delivery = Table(
    "delivery",
    metadata,
    Column("result_key", ForeignKey(result_object.c.result_key), nullable=False),
    Column("destination", String(64), nullable=False),
    Column("study_key", _Key, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Moment),
    Column("outcome", Text, nullable=False),
    Column("receipt", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    PrimaryKeyConstraint("result_key", "destination"),
    Index("ix_delivery_revision", "study_key", "revision", "destination"),
    Index("ix_delivery_state", "state"),
)

journey = Table(
    "journey",
    metadata,
    Column("entry", _Counter, primary_key=True, autoincrement=True),
    Column("study_key", ForeignKey(study.c.study_key), nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Column("step", String(32), nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("reason", Text, nullable=False),
    sqlite_autoincrement=True,
)

outbox = Table(
    "outbox",
    metadata,
    Column("sequence", _Counter, primary_key=True, autoincrement=True),
    Column("event_id", String(64), nullable=False, unique=True),
    Column("recorded_at", Moment, nullable=False),
    Column("appended_at", Moment),
    Column("sealed", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
Index(
    "ix_outbox_pending",
    outbox.c.sequence,
    sqlite_where=outbox.c.appended_at.is_(None),
    postgresql_where=outbox.c.appended_at.is_(None),
)

api_key = Table(
    "api_key",
    metadata,
    Column("prefix", String(16), primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("last_used_at", Moment),
    Column("revoked_at", Moment),
)

lease = Table(
    "lease",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("owner", String(128), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("acquired_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
)

caller = Table(
    "caller",
    metadata,
    Column("caller_id", String(16), primary_key=True),
    Column("address", Text, nullable=False),
    Column("calling_ae_title", Text, nullable=False),
    Column("called_ae_title", Text, nullable=False),
    Column("certificate_sha256", String(64), nullable=False),
    Column("certificate_subject", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("remedy", Text, nullable=False),
    Column("first_at", Moment, nullable=False),
    Column("last_at", Moment, nullable=False, index=True),
    Column("count", BigInteger, nullable=False),
    UniqueConstraint(
        "address",
        "calling_ae_title",
        "called_ae_title",
        "certificate_sha256",
        name="uq_caller_name",
    ),
)

peer_sighting = Table(
    "peer_sighting",
    metadata,
    Column("peer_name", String(64), primary_key=True),
    Column("at", Moment, nullable=False),
    Column("address", Text, nullable=False),
    Column("calling_ae_title", Text, nullable=False),
    Column("called_ae_title", Text, nullable=False),
    Column("certificate_sha256", String(64), nullable=False),
)

configuration = Table(
    "configuration",
    metadata,
    Column("place", String(128), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("fault", Text, nullable=False),
    Column("waiting", Text, nullable=False),
    Column("at", Moment, nullable=False),
)

damaged = Table(
    "damaged",
    metadata,
    Column("blob_name", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("row_key", _Key, nullable=False),
    Column("study_key", _Key, nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("found_at", Moment, nullable=False),
)

tally = Table(
    "tally",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("count", BigInteger, nullable=False),
)
