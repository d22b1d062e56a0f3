"""Conversations and reading positions."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from inbox.kernel.schema import created, identifier, metadata, moment, reference, workspace_id

conversations = Table(
    "conversations",
    metadata,
    workspace_id(),
    identifier(),
    reference("channel_id"),
    reference("identity_id"),
    reference("contact_id"),
    Column("status", Text, nullable=False, server_default="open"),
    reference("assignee_id", nullable=True),
    Column("priority", SmallInteger, nullable=False, server_default=text("0")),
    Column("last_number", BigInteger, nullable=False, server_default=text("0")),
    Column("last_inbound_number", BigInteger, nullable=False, server_default=text("0")),
    Column("inbound_count", BigInteger, nullable=False, server_default=text("0")),
    moment("last_message_at"),
    created("active_at"),
    Column("last_message_preview", Text),
    Column("last_message_direction", Text),
    moment("window_opened_at"),
    moment("window_closed_at"),
    moment("delivered_up_to"),
    moment("read_up_to"),
    Column("epoch", BigInteger, nullable=False, server_default=text("1")),
    Column("automated", Boolean, nullable=False, server_default=text("false")),
    reference("bot_id", nullable=True),
    reference("run_id", nullable=True),
    Column("run_paused", Boolean, nullable=False, server_default=text("false")),
    Column("version", Integer, nullable=False, server_default=text("1")),
    created(),
    moment("updated_at"),
    ForeignKeyConstraint(["workspace_id", "channel_id"], ["channels.workspace_id", "channels.id"]),
    ForeignKeyConstraint(["workspace_id", "identity_id"], ["identities.workspace_id", "identities.id"]),
    ForeignKeyConstraint(["workspace_id", "contact_id"], ["contacts.workspace_id", "contacts.id"]),
    ForeignKeyConstraint(["workspace_id", "assignee_id"], ["agents.workspace_id", "agents.id"]),
    ForeignKeyConstraint(["workspace_id", "bot_id"], ["agents.workspace_id", "agents.id"]),
    CheckConstraint("status IN ('open', 'pending', 'snoozed', 'closed')", name="status"),
    CheckConstraint("last_message_direction IN ('in', 'out')", name="direction"),
    CheckConstraint("(bot_id IS NULL) = (run_id IS NULL)", name="responder"),
    UniqueConstraint("workspace_id", "channel_id", "identity_id"),
    Index("ix_conversations_contact", "workspace_id", "contact_id"),
    Index("ix_conversations_active", "workspace_id", text("active_at DESC"), text("id DESC")),
    Index(
        "ix_conversations_assignee",
        "workspace_id",
        "assignee_id",
        text("active_at DESC"),
        text("id DESC"),
        postgresql_where=text("assignee_id IS NOT NULL"),
    ),
    Index(
        "ix_conversations_bot",
        "workspace_id",
        "bot_id",
        text("active_at DESC"),
        text("id DESC"),
        postgresql_where=text("bot_id IS NOT NULL"),
    ),
    Index("ix_conversations_identity", "workspace_id", "identity_id"),
)
"""``active_at`` orders the inbox: the acceptance of the last message, or the creation. ``last_number`` numbers the
messages densely in the order of their acceptance; the row lock serialises writers.

``window_opened_at`` is the provider's time of the last event that (re)starts the messaging window, ``window_closed_at``
our record that the provider refused although our clock said open. ``delivered_up_to`` and ``read_up_to`` keep watermark
receipts for sends whose own record is not there yet. ``epoch`` is the lease epoch of the responder (P9). ``automated``:
something scheduled or running is tied to this conversation, so that whatever happens here may concern it. ``bot_id``
and ``run_id``: the bot that holds it, or held it until somebody paused the run.
"""

reading_positions = Table(
    "reading_positions",
    metadata,
    workspace_id(),
    identifier("conversation_id"),
    identifier("agent_id"),
    Column("number", BigInteger, nullable=False),
    moment("read_at", nullable=False),
    ForeignKeyConstraint(
        ["workspace_id", "conversation_id"], ["conversations.workspace_id", "conversations.id"], ondelete="CASCADE"
    ),
    ForeignKeyConstraint(["workspace_id", "agent_id"], ["agents.workspace_id", "agents.id"], ondelete="CASCADE"),
)
"""Up to which message number an agent has read."""
