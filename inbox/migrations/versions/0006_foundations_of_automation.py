"""What scheduled messages, sequences, blocking and bots stand on."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("actor_name", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(actor_kind = 'system') = (actor_id IS NULL)", name=op.f("ck_audit_entries_actor")),
        sa.CheckConstraint("actor_kind IN ('agent', 'bot', 'system')", name=op.f("ck_audit_entries_actor_kind")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_audit_entries_workspace_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_audit_entries")),
    )
    op.create_index(
        "ix_audit_entries_actor",
        "audit_entries",
        ["workspace_id", "actor_id", "id"],
        unique=False,
        postgresql_where=sa.text("actor_id IS NOT NULL"),
    )
    op.create_index("ix_audit_entries_subject", "audit_entries", ["workspace_id", "subject_id", "id"], unique=False)
    op.add_column("contacts", sa.Column("time_zone", sa.Text(), nullable=True))
    op.add_column(
        "conversations", sa.Column("automated", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("deliveries", sa.Column("hold_after_number", sa.BigInteger(), nullable=True))
    op.add_column(
        "deliveries", sa.Column("stop_when_closed", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("deliveries", sa.Column("quiet", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("identities", sa.Column("marketing_stopped_reason", sa.Text(), nullable=True))
    op.add_column("messages", sa.Column("origin_kind", sa.Text(), nullable=True))
    op.add_column("messages", sa.Column("origin_id", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_messages_origin",
        "messages",
        ["workspace_id", "origin_id"],
        unique=False,
        postgresql_where=sa.text("origin_id IS NOT NULL"),
    )
    op.add_column("workspaces", sa.Column("time_zone", sa.Text(), server_default="UTC", nullable=False))
    op.add_column("workspaces", sa.Column("business_hours", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("workspaces", sa.Column("quiet_hours", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.create_check_constraint(
        op.f("ck_messages_origin_kind"),
        "messages",
        "origin_kind IN ('scheduled', 'sequence', 'bot', 'broadcast', 'rule')",
    )
    op.create_check_constraint(op.f("ck_messages_origin"), "messages", "(origin_kind IS NULL) = (origin_id IS NULL)")
