"""Pace and addresses that retire."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("addresses", sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("rate_buckets", sa.Column("strikes", sa.SmallInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("rate_buckets", sa.Column("calmed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_messages_quoting",
        "messages",
        ["workspace_id", "channel_id", "reply_to_external_id"],
        unique=False,
        postgresql_where=sa.text("reply_to_external_id IS NOT NULL AND reply_to_id IS NULL"),
    )
