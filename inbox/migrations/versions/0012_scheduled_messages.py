"""Scheduled messages, and what came of the occurrences of those that recur."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "scheduled_messages",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=False),
        sa.Column("author_name", sa.Text(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("fallback", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("preview", sa.Text(), nullable=False),
        sa.Column("plan", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("plan_number", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("zone", sa.Text(), nullable=True),
        sa.Column("local", sa.Text(), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by_hand", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("timer_number", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("hold_on_reply", sa.Boolean(), nullable=False),
        sa.Column("hold_after_number", sa.BigInteger(), nullable=False),
        sa.Column("anchored_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("quiet_hours", sa.Boolean(), nullable=False),
        sa.Column("business_hours", sa.Boolean(), nullable=False),
        sa.Column("when_closed", sa.Text(), nullable=False),
        sa.Column("catch_up", sa.Text(), nullable=False),
        sa.Column("late_after", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), server_default="scheduled", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("state_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("uncertain", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("occurrences", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("fell_back", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("handed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lateness_ms", sa.BigInteger(), nullable=True),
        sa.Column("client_token", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("catch_up IN ('send', 'skip', 'hold')", name=op.f("ck_scheduled_messages_catch_up")),
        sa.CheckConstraint(
            "state IN ('scheduled', 'due', 'sent', 'held', 'skipped', 'cancelled', 'failed')",
            name=op.f("ck_scheduled_messages_state"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('held', 'skipped', 'failed') OR reason IS NOT NULL",
            name=op.f("ck_scheduled_messages_reason"),
        ),
        sa.CheckConstraint("when_closed IN ('send', 'skip', 'hold')", name=op.f("ck_scheduled_messages_when_closed")),
        sa.CheckConstraint("(local IS NULL) = (zone IS NULL)", name=op.f("ck_scheduled_messages_local")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "conversation_id"],
            ["conversations.workspace_id", "conversations.id"],
            name=op.f("fk_scheduled_messages_workspace_id_conversation_id"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_scheduled_messages")),
    )
    op.create_index(
        "ix_scheduled_messages_author",
        "scheduled_messages",
        ["workspace_id", "author_id", "due_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_scheduled_messages_conversation",
        "scheduled_messages",
        ["workspace_id", "conversation_id", "due_at", "id"],
        unique=False,
    )
    op.create_index("ix_scheduled_messages_due", "scheduled_messages", ["workspace_id", "due_at", "id"], unique=False)
    op.create_index(
        "ix_scheduled_messages_waiting",
        "scheduled_messages",
        ["workspace_id", "conversation_id"],
        unique=False,
        postgresql_where=sa.text("state = 'scheduled'"),
    )
    op.create_index(
        "uq_scheduled_messages_client_token",
        "scheduled_messages",
        ["workspace_id", "author_id", "client_token"],
        unique=True,
        postgresql_where=sa.text("client_token IS NOT NULL"),
    )
    op.create_table(
        "scheduled_occurrences",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("scheduled_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("plan_number", sa.Integer(), nullable=False),
        sa.Column("local", sa.Text(), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("uncertain", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("fell_back", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("handed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lateness_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('scheduled', 'due', 'sent', 'held', 'skipped', 'cancelled', 'failed')",
            name=op.f("ck_scheduled_occurrences_state"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "scheduled_id"],
            ["scheduled_messages.workspace_id", "scheduled_messages.id"],
            name=op.f("fk_scheduled_occurrences_workspace_id_scheduled_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "scheduled_id", "number", name=op.f("pk_scheduled_occurrences")),
    )
    op.create_index(
        "ix_scheduled_occurrences_message",
        "scheduled_occurrences",
        ["workspace_id", "message_id"],
        unique=False,
        postgresql_where=sa.text("message_id IS NOT NULL"),
    )
    op.create_index(
        "uq_scheduled_occurrences_local",
        "scheduled_occurrences",
        ["workspace_id", "scheduled_id", "plan_number", "local"],
        unique=True,
        postgresql_where=sa.text("local IS NOT NULL"),
    )
