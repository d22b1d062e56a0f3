"""Files, which messages use them, and how long each channel keeps them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)

from inbox.kernel.schema import created, identifier, json_object, metadata, moment, reference, workspace_id

media = Table(
    "media",
    metadata,
    workspace_id(),
    identifier(),
    reference("channel_id", nullable=True),
    reference("uploaded_by", nullable=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    json_object("ref", nullable=True),
    Column("source", LargeBinary),
    Column("claimed_type", Text),
    Column("mime_type", Text),
    Column("size", BigInteger),
    Column("sha256", LargeBinary),
    Column("width", Integer),
    Column("height", Integer),
    Column("duration", Float),
    Column("filename", Text),
    Column("store_key", Text),
    json_object("fault", nullable=True),
    created(),
    moment("stored_at"),
    moment("used_at"),
    ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
    CheckConstraint("state IN ('pending', 'stored', 'failed', 'expired', 'deleted', 'not_kept')", name="state"),
    CheckConstraint(
        "state <> 'stored' OR (store_key IS NOT NULL AND sha256 IS NOT NULL AND size IS NOT NULL"
        " AND mime_type IS NOT NULL AND stored_at IS NOT NULL)",
        name="stored_is_whole",
    ),
    CheckConstraint("ref IS NULL OR state IN ('pending', 'failed')", name="ref_while_wanted"),
    Index("ix_media_kept", "workspace_id", "channel_id", "used_at", postgresql_where=text("state = 'stored'")),
    Index("ix_media_pending", "created_at", postgresql_where=text("state = 'pending'")),
)
"""``ref`` is the provider's way to the file (``MediaRef``, never a token), kept only while the file is still wanted;
``source`` its digest, by which the file is recognised in an edit. ``store_key`` is null again when the bytes are gone.
``channel_id`` is null for an upload that was never sent. ``used_at``: when it was stored or last sent, or will be.
No reference to ``messages``: a row outlives its message until its bytes are deleted."""

media_uses = Table(
    "media_uses",
    metadata,
    workspace_id(),
    identifier("message_id"),
    identifier("media_id"),
    ForeignKeyConstraint(["workspace_id", "media_id"], ["media.workspace_id", "media.id"], ondelete="CASCADE"),
    Index("ix_media_uses_media", "workspace_id", "media_id"),
)
"""A file that came in belongs to one message; an upload may be sent in many."""

media_retention = Table(
    "media_retention",
    metadata,
    workspace_id(),
    identifier("channel_id"),
    Column("days", Integer),
    ForeignKeyConstraint(["workspace_id", "channel_id"], ["channels.workspace_id", "channels.id"], ondelete="CASCADE"),
    CheckConstraint("days > 0", name="days"),
)
"""``days`` null: this channel keeps files for ever. No row: as the installation is set."""

avatars = Table(
    "avatars",
    metadata,
    workspace_id(),
    identifier("identity_id"),
    moment("asked_at", nullable=False),
    reference("media_id", nullable=True),
    ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
)
"""The picture of a person as their channel has it. ``asked_at``: when the channel was last asked who they are, which is
done at most once a day. ``media_id`` names a file that no message uses; a new picture takes its place."""
