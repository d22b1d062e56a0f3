"""What blocked contacts send, what providers are asked about them, and times at which resumed things go on."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "resume_slots",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("free_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id", "contact_id"],
            ["contacts.workspace_id", "contacts.id"],
            name=op.f("fk_resume_slots_workspace_id_contact_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "contact_id", name=op.f("pk_resume_slots")),
    )
    op.create_table(
        "provider_blocks",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("channel_id", sa.Uuid(), nullable=False),
        sa.Column("identity_id", sa.Uuid(), nullable=False),
        sa.Column("wanted", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'done', 'failed')", name=op.f("ck_provider_blocks_state")),
        sa.CheckConstraint("wanted IN ('blocked', 'unblocked')", name=op.f("ck_provider_blocks_wanted")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "identity_id"],
            ["identities.workspace_id", "identities.id"],
            name=op.f("fk_provider_blocks_workspace_id_identity_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "channel_id", "identity_id", name=op.f("pk_provider_blocks")),
    )
    op.create_index("ix_provider_blocks_identity", "provider_blocks", ["workspace_id", "identity_id"], unique=False)
    op.create_table(
        "set_aside_messages",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("channel_id", sa.Uuid(), nullable=False),
        sa.Column("identity_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("about_id", sa.Uuid(), nullable=True),
        sa.Column("author_name", sa.Text(), nullable=True),
        sa.Column("parts", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        sa.Column("opens_window", sa.Boolean(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("edited_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unsent_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('message', 'edit', 'reaction')", name=op.f("ck_set_aside_messages_kind")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "identity_id"],
            ["identities.workspace_id", "identities.id"],
            name=op.f("fk_set_aside_messages_workspace_id_identity_id"),
        ),
        sa.PrimaryKeyConstraint("workspace_id", "id", name=op.f("pk_set_aside_messages")),
        sa.UniqueConstraint(
            "workspace_id",
            "channel_id",
            "external_id",
            name=op.f("uq_set_aside_messages_workspace_id_channel_id_external_id"),
        ),
    )
    op.create_index(
        "ix_set_aside_messages_about",
        "set_aside_messages",
        ["workspace_id", "about_id"],
        unique=False,
        postgresql_where=sa.text("about_id IS NOT NULL"),
    )
    op.create_index(
        "ix_set_aside_messages_identity", "set_aside_messages", ["workspace_id", "identity_id", "id"], unique=False
    )
