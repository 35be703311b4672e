"""Who called: refused callers, when peers were last let in, and which configuration is in force."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Add the three tables."""
    op.create_table(
        "caller",
        sa.Column("caller_id", sa.String(length=16), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("calling_ae_title", sa.Text(), nullable=False),
        sa.Column("called_ae_title", sa.Text(), nullable=False),
        sa.Column("certificate_sha256", sa.String(length=64), nullable=False),
        sa.Column("certificate_subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("caller_id", name=op.f("pk_caller")),
        sa.UniqueConstraint(
            "address",
            "calling_ae_title",
            "called_ae_title",
            "certificate_sha256",
            name="uq_caller_name",
        ),
    )
    op.create_index(op.f("ix_caller_last_at"), "caller", ["last_at"], unique=False)
    op.create_table(
        "peer_sighting",
        sa.Column("peer_name", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("calling_ae_title", sa.Text(), nullable=False),
        sa.Column("called_ae_title", sa.Text(), nullable=False),
        sa.Column("certificate_sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("peer_name", name=op.f("pk_peer_sighting")),
    )
    op.create_table(
        "configuration",
        sa.Column("place", sa.String(length=128), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.Column("waiting", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("place", name=op.f("pk_configuration")),
    )


def downgrade() -> None:
    """Remove them."""
    for name in ("configuration", "peer_sighting", "caller"):
        op.drop_table(name)
