"""Bots and their runs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workflow_answers",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("bot_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "bot_id"],
            ["agents.workspace_id", "agents.id"],
            name=op.f("fk_workflow_answers_workspace_id_bot_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "bot_id", "epoch", "position", name=op.f("pk_workflow_answers")),
    )
    op.create_table(
        "bots",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("channels", postgresql.ARRAY(sa.Uuid()), nullable=True),
        sa.Column("answer_within", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("mode IN ('first_responder', 'on_hand_off', 'on_request')", name=op.f("ck_bots_mode")),
        sa.CheckConstraint("answer_within BETWEEN 5 AND 86400", name=op.f("ck_bots_answer_within")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "id"],
            ["agents.workspace_id", "agents.id"],
            name=op.f("fk_bots_workspace_id_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "subscription_id"],
            ["subscriptions.workspace_id", "subscriptions.id"],
            name=op.f("fk_bots_workspace_id_subscription_id"),
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_bots")),
    )
    op.create_index("ix_bots_subscription", "bots", ["workspace_id", "subscription_id"], unique=True)
    op.create_table(
        "workflow_runs",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("bot_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default="active", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("former_assignee_id", sa.Uuid(), nullable=True),
        sa.Column("by_kind", sa.Text(), nullable=True),
        sa.Column("by_id", sa.Uuid(), nullable=True),
        sa.Column("by_name", sa.Text(), nullable=True),
        sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("waiting_id", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('active', 'paused', 'handed_off', 'ended')", name=op.f("ck_workflow_runs_state")),
        sa.CheckConstraint("(waiting_since IS NULL) = (waiting_id IS NULL)", name=op.f("ck_workflow_runs_waiting")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "bot_id"],
            ["agents.workspace_id", "agents.id"],
            name=op.f("fk_workflow_runs_workspace_id_bot_id"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "conversation_id"],
            ["conversations.workspace_id", "conversations.id"],
            name=op.f("fk_workflow_runs_workspace_id_conversation_id"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_workflow_runs")),
    )
    op.create_index(
        "ix_workflow_runs_conversation", "workflow_runs", ["workspace_id", "conversation_id", "id"], unique=False
    )
    op.create_index(
        "ix_workflow_runs_held",
        "workflow_runs",
        ["workspace_id", "bot_id"],
        unique=False,
        postgresql_where=sa.text("state IN ('active', 'paused')"),
    )
    op.create_index(
        "uq_workflow_runs_current",
        "workflow_runs",
        ["workspace_id", "conversation_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('active', 'paused')"),
    )
    op.add_column("conversations", sa.Column("bot_id", sa.Uuid(), nullable=True))
    op.add_column("conversations", sa.Column("run_id", sa.Uuid(), nullable=True))
    op.add_column(
        "conversations", sa.Column("run_paused", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.create_index(
        "ix_conversations_bot",
        "conversations",
        ["workspace_id", "bot_id", sa.literal_column("active_at DESC"), sa.literal_column("id DESC")],
        unique=False,
        postgresql_where=sa.text("bot_id IS NOT NULL"),
    )
    op.create_foreign_key(
        op.f("fk_conversations_workspace_id_bot_id"),
        "conversations",
        "agents",
        ["workspace_id", "bot_id"],
        ["workspace_id", "id"],
    )
    op.add_column("events", sa.Column("holder_id", sa.Uuid(), nullable=True))
    op.create_check_constraint(
        op.f("ck_conversations_responder"), "conversations", "(bot_id IS NULL) = (run_id IS NULL)"
    )
