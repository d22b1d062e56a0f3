"""Indexes for reads that would otherwise grow with all that was ever said."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_conversations_identity", "conversations", ["workspace_id", "identity_id"], unique=False)
    op.create_index(
        "ix_conversations_assignee",
        "conversations",
        ["workspace_id", "assignee_id", sa.literal_column("active_at DESC"), sa.literal_column("id DESC")],
        unique=False,
        postgresql_where=sa.text("assignee_id IS NOT NULL"),
    )
    op.create_index(
        "ix_deliveries_unsettled",
        "deliveries",
        ["workspace_id", "conversation_id"],
        unique=False,
        postgresql_where=sa.text("state IN ('sending', 'uncertain')"),
    )
    op.create_index(
        "ix_deliveries_unread",
        "deliveries",
        ["workspace_id", "conversation_id", "sending_since"],
        unique=False,
        postgresql_where=sa.text("state IN ('sent', 'delivered')"),
    )
