"""The first tables."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Make all tables, what others refer to first."""
    _installation()
    _studies()
    _progress()
    _results()


def downgrade() -> None:
    """Remove all tables."""
    for name in reversed(_TABLES):
        op.drop_table(name)


_TABLES = (
    "api_key",
    "installation",
    "lease",
    "outbox",
    "patient",
    "study",
    "series",
    "instance",
    "revision",
    "arrival",
    "journey",
    "reading",
    "released",
    "result_object",
    "delivery",
)


def _installation() -> None:
    op.create_table(
        "api_key",
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("prefix", name=op.f("pk_api_key")),
    )
    op.create_table(
        "installation",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_installation")),
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("owner", sa.String(length=128), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("acquired_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
    )
    op.create_table(
        "outbox",
        sa.Column(
            "sequence",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("appended_at", sa.BigInteger(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_outbox")),
        sa.UniqueConstraint("event_id", name=op.f("uq_outbox_event_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_outbox_pending",
        "outbox",
        ["sequence"],
        unique=False,
        sqlite_where=sa.text("appended_at IS NULL"),
        postgresql_where=sa.text("appended_at IS NULL"),
    )


def _studies() -> None:
    op.create_table(
        "patient",
        sa.Column("patient_key", sa.String(length=26), nullable=False),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("patient_key", name=op.f("pk_patient")),
    )
    op.create_table(
        "study",
        sa.Column("study_key", sa.String(length=26), nullable=False),
        sa.Column("patient_key", sa.String(length=26), nullable=False),
        sa.Column("identity_digest", sa.LargeBinary(), nullable=False),
        sa.Column("identity_version", sa.Integer(), nullable=False),
        sa.Column("peer_name", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["patient_key"], ["patient.patient_key"], name=op.f("fk_study_patient_key")
        ),
        sa.PrimaryKeyConstraint("study_key", name=op.f("pk_study")),
    )
    op.create_index(op.f("ix_study_patient_key"), "study", ["patient_key"], unique=False)
    op.create_index("ix_study_received_at", "study", ["received_at", "study_key"], unique=False)
    op.create_table(
        "series",
        sa.Column("series_key", sa.String(length=26), nullable=False),
        sa.Column("study_key", sa.String(length=26), nullable=False),
        sa.Column("modality", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_key"], ["study.study_key"], name=op.f("fk_series_study_key")
        ),
        sa.PrimaryKeyConstraint("series_key", name=op.f("pk_series")),
    )
    op.create_index(op.f("ix_series_study_key"), "series", ["study_key"], unique=False)
    op.create_table(
        "instance",
        sa.Column("instance_key", sa.String(length=26), nullable=False),
        sa.Column("study_key", sa.String(length=26), nullable=False),
        sa.Column("series_key", sa.String(length=26), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("standing", sa.String(length=16), nullable=False),
        sa.Column("sop_digest", sa.LargeBinary(), nullable=False),
        sa.Column("identity_digest", sa.LargeBinary(), nullable=False),
        sa.Column("content_digest", sa.LargeBinary(), nullable=False),
        sa.Column("sop_class_uid", sa.String(length=64), nullable=False),
        sa.Column("transfer_syntax_uid", sa.String(length=64), nullable=False),
        sa.Column("blob_name", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("peer_name", sa.Text(), nullable=False),
        sa.Column("association_id", sa.String(length=64), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["series_key"], ["series.series_key"], name=op.f("fk_instance_series_key")
        ),
        sa.ForeignKeyConstraint(
            ["study_key"], ["study.study_key"], name=op.f("fk_instance_study_key")
        ),
        sa.PrimaryKeyConstraint("instance_key", name=op.f("pk_instance")),
        sa.UniqueConstraint("blob_name", name=op.f("uq_instance_blob_name")),
    )
    op.create_index(
        op.f("ix_instance_association_id"), "instance", ["association_id"], unique=False
    )
    op.create_index(op.f("ix_instance_sop_digest"), "instance", ["sop_digest"], unique=False)
    op.create_index("ix_instance_study_key", "instance", ["study_key", "revision"], unique=False)


def _progress() -> None:
    op.create_table(
        "revision",
        sa.Column("study_key", sa.String(length=26), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("hold_reason", sa.String(length=32), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("number_of_instances", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("last_instance_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_key"], ["study.study_key"], name=op.f("fk_revision_study_key")
        ),
        sa.PrimaryKeyConstraint("study_key", "number", name=op.f("pk_revision")),
    )
    op.create_index(op.f("ix_revision_state"), "revision", ["state"], unique=False)
    op.create_table(
        "arrival",
        sa.Column("association_id", sa.String(length=64), nullable=False),
        sa.Column("study_key", sa.String(length=26), nullable=False),
        sa.Column("modality", sa.Text(), nullable=False),
        sa.Column("peer_name", sa.Text(), nullable=False),
        sa.Column("ae_title", sa.Text(), nullable=False),
        sa.Column("called_ae_title", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("stored", sa.Integer(), nullable=False),
        sa.Column("duplicates", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("reported_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["study_key"], ["study.study_key"], name=op.f("fk_arrival_study_key")
        ),
        sa.PrimaryKeyConstraint("association_id", "study_key", "modality", name=op.f("pk_arrival")),
    )
    op.create_index(op.f("ix_arrival_study_key"), "arrival", ["study_key"], unique=False)
    op.create_table(
        "journey",
        sa.Column(
            "entry",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("study_key", sa.String(length=26), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.String(length=32), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_key"], ["study.study_key"], name=op.f("fk_journey_study_key")
        ),
        sa.PrimaryKeyConstraint("entry", name=op.f("pk_journey")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_journey_study_key"), "journey", ["study_key"], unique=False)


def _results() -> None:
    op.create_table(
        "reading",
        sa.Column("study_key", sa.String(length=26), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("model_name", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_key", "revision"], ["revision.study_key", "revision.number"], name="fk_reading"
        ),
        sa.PrimaryKeyConstraint("study_key", "revision", "ordinal", name=op.f("pk_reading")),
    )
    op.create_table(
        "released",
        sa.Column("instance_key", sa.String(length=26), nullable=False),
        sa.Column("study_key", sa.String(length=26), nullable=False),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("blob_name", sa.String(length=64), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_key"], ["instance.instance_key"], name=op.f("fk_released_instance_key")
        ),
        sa.ForeignKeyConstraint(
            ["study_key"], ["study.study_key"], name=op.f("fk_released_study_key")
        ),
        sa.PrimaryKeyConstraint("instance_key", name=op.f("pk_released")),
        sa.UniqueConstraint("blob_name", name=op.f("uq_released_blob_name")),
    )
    op.create_index(op.f("ix_released_study_key"), "released", ["study_key"], unique=False)
    op.create_table(
        "result_object",
        sa.Column("result_key", sa.String(length=26), nullable=False),
        sa.Column("study_key", sa.String(length=26), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("identity_version", sa.Integer(), nullable=False),
        sa.Column("sop_class_uid", sa.String(length=64), nullable=False),
        sa.Column("transfer_syntax_uid", sa.String(length=64), nullable=False),
        sa.Column("blob_name", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("checked_at", sa.BigInteger(), nullable=True),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_key", "revision"],
            ["revision.study_key", "revision.number"],
            name="fk_result_object",
        ),
        sa.PrimaryKeyConstraint("result_key", name=op.f("pk_result_object")),
        sa.UniqueConstraint("blob_name", name=op.f("uq_result_object_blob_name")),
    )
    op.create_index(
        "ix_result_object_revision", "result_object", ["study_key", "revision"], unique=False
    )
    op.create_table(
        "delivery",
        sa.Column("result_key", sa.String(length=26), nullable=False),
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column("study_key", sa.String(length=26), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["result_key"], ["result_object.result_key"], name=op.f("fk_delivery_result_key")
        ),
        sa.PrimaryKeyConstraint("result_key", "destination", name=op.f("pk_delivery")),
    )
    op.create_index(
        "ix_delivery_revision", "delivery", ["study_key", "revision", "destination"], unique=False
    )
    op.create_index("ix_delivery_state", "delivery", ["state"], unique=False)
