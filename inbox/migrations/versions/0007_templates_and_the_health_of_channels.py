"""Templates and the health of channels."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "template_syncs",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("synced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_template_syncs_workspace_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "kind", "owner", name=op.f("pk_template_syncs")),
    )
    op.create_table(
        "templates",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("quality", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("judged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('approved', 'pending', 'rejected', 'paused', 'disabled', 'other')",
            name=op.f("ck_templates_status"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_templates_workspace_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_templates")),
        sa.UniqueConstraint(
            "workspace_id",
            "kind",
            "owner",
            "name",
            "language",
            name=op.f("uq_templates_workspace_id_kind_owner_name_language"),
        ),
    )
    op.create_index(
        "ix_templates_external", "templates", ["workspace_id", "kind", "owner", "external_id"], unique=False
    )
    op.create_index(
        "ix_templates_usable",
        "templates",
        ["workspace_id", "kind", "owner", "name", "language"],
        unique=False,
        postgresql_where=sa.text("status = 'approved' AND removed_at IS NULL"),
    )
    op.create_table(
        "channel_traffic",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("channel_id", sa.Uuid(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("days", sa.ARRAY(sa.Date()), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "channel_id"],
            ["channels.workspace_id", "channels.id"],
            name=op.f("fk_channel_traffic_workspace_id_channel_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "channel_id", name=op.f("pk_channel_traffic")),
    )
    op.create_table(
        "message_changes",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="sending", nullable=False),
        sa.Column("parts", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("asked_by", sa.Uuid(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fault", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.CheckConstraint("kind IN ('edit', 'delete')", name=op.f("ck_message_changes_kind")),
        sa.CheckConstraint(
            "state IN ('sending', 'done', 'refused', 'not_sent', 'unknown')", name=op.f("ck_message_changes_state")
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "message_id"],
            ["messages.workspace_id", "messages.id"],
            name=op.f("fk_message_changes_workspace_id_message_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_message_changes")),
    )
    op.create_index("ix_message_changes_message", "message_changes", ["workspace_id", "message_id"], unique=False)
    op.create_index(
        "ix_message_changes_sending",
        "message_changes",
        ["started_at"],
        unique=False,
        postgresql_where=sa.text("state = 'sending'"),
    )
    op.create_index(
        "uq_message_changes_in_flight",
        "message_changes",
        ["workspace_id", "message_id"],
        unique=True,
        postgresql_where=sa.text("state = 'sending'"),
    )
    op.add_column(
        "channels",
        sa.Column("health_aspects", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
    )
    op.add_column("channels", sa.Column("token_version", sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.add_column(
        "channels",
        sa.Column("token_set_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.add_column("channels", sa.Column("token_expires_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("channels", sa.Column("renewal_tried_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("channels", sa.Column("sending_paused_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("channels", sa.Column("sending_paused_reason", sa.Text(), nullable=True))
    op.add_column("deliveries", sa.Column("further_ids", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    # What a channel suffers from now has to be something that can end.
    op.execute(
        """
        UPDATE channels SET health_aspects = jsonb_build_object(
            CASE health WHEN 'reauthorise' THEN 'token' ELSE 'provider' END,
            jsonb_build_object('health', health, 'reason', health_reason, 'since', coalesce(health_changed_at, now())))
        WHERE health <> 'ok'
        """
    )
