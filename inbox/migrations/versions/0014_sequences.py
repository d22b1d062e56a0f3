"""Sequences."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sequences",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="draft", nullable=False),
        sa.Column("draft", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("published", sa.Integer(), nullable=True),
        sa.Column("changed", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'draft') = (published IS NULL) OR state = 'archived'", name=op.f("ck_sequences_published")
        ),
        sa.CheckConstraint("state IN ('draft', 'active', 'archived')", name=op.f("ck_sequences_state")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_sequences_workspace_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_sequences")),
    )
    op.create_table(
        "sequence_versions",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("sequence_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("published_by", sa.Uuid(), nullable=False),
        sa.Column("published_by_name", sa.Text(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "sequence_id"],
            ["sequences.workspace_id", "sequences.id"],
            name=op.f("fk_sequence_versions_workspace_id_sequence_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "sequence_id", "number", name=op.f("pk_sequence_versions")),
    )
    op.create_table(
        "enrollments",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("sequence_id", sa.Uuid(), nullable=False),
        sa.Column("sequence_version", sa.Integer(), nullable=False),
        sa.Column("follows", sa.Boolean(), nullable=False),
        sa.Column("several", sa.Boolean(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=True),
        sa.Column("assignee_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.Text(), server_default="active", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("state_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("position", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("retries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("waits_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("timer_number", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("replied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("enrolled_by", sa.Uuid(), nullable=False),
        sa.Column("enrolled_by_name", sa.Text(), nullable=False),
        sa.Column("enrolled_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("(ended_at IS NULL) = (state IN ('active', 'paused'))", name=op.f("ck_enrollments_ended")),
        sa.CheckConstraint(
            "state <> 'active' OR (due_at IS NULL) <> (message_id IS NULL)",
            name=op.f("ck_enrollments_waits_for_a_time_or_for_a_message"),
        ),
        sa.CheckConstraint(
            "state IN ('active', 'paused', 'finished', 'stopped', 'left')", name=op.f("ck_enrollments_state")
        ),
        sa.CheckConstraint(
            "state NOT IN ('paused', 'stopped') OR reason IS NOT NULL", name=op.f("ck_enrollments_reason")
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "contact_id"],
            ["contacts.workspace_id", "contacts.id"],
            name=op.f("fk_enrollments_workspace_id_contact_id"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "sequence_id", "sequence_version"],
            ["sequence_versions.workspace_id", "sequence_versions.sequence_id", "sequence_versions.number"],
            name=op.f("fk_enrollments_workspace_id_sequence_id_sequence_version"),
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_enrollments")),
    )
    op.create_index("ix_enrollments_contact", "enrollments", ["workspace_id", "contact_id", "id"], unique=False)
    op.create_index(
        "ix_enrollments_running",
        "enrollments",
        ["workspace_id", "contact_id"],
        unique=False,
        postgresql_where=sa.text("state IN ('active', 'paused')"),
    )
    op.create_index(
        "ix_enrollments_sequence", "enrollments", ["workspace_id", "sequence_id", "state", "id"], unique=False
    )
    op.create_index(
        "uq_enrollments_running",
        "enrollments",
        ["workspace_id", "contact_id", "sequence_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('active', 'paused') AND NOT several"),
    )
    op.create_table(
        "enrollment_steps",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("enrollment_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("step_key", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("conversation_id", sa.Uuid(), nullable=True),
        sa.Column("channel_id", sa.Uuid(), nullable=True),
        sa.Column("fell_back", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("lateness_ms", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('queued', 'sent', 'uncertain', 'failed', 'cancelled', 'skipped')",
            name=op.f("ck_enrollment_steps_state"),
        ),
        sa.CheckConstraint(
            "state IN ('skipped', 'failed') OR message_id IS NOT NULL", name=op.f("ck_enrollment_steps_message")
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "enrollment_id"],
            ["enrollments.workspace_id", "enrollments.id"],
            name=op.f("fk_enrollment_steps_workspace_id_enrollment_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "enrollment_id", "number", name=op.f("pk_enrollment_steps")),
        sa.UniqueConstraint(
            "workspace_id",
            "enrollment_id",
            "step_key",
            "attempt",
            name=op.f("uq_enrollment_steps_workspace_id_enrollment_id_step_key_attempt"),
        ),
    )
    op.create_index(
        "ix_enrollment_steps_message",
        "enrollment_steps",
        ["workspace_id", "message_id"],
        unique=False,
        postgresql_where=sa.text("message_id IS NOT NULL"),
    )
    op.create_index(
        "uq_enrollment_steps_queued",
        "enrollment_steps",
        ["workspace_id", "enrollment_id"],
        unique=True,
        postgresql_where=sa.text("state = 'queued'"),
    )
