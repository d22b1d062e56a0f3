"""Scheduled messages, and the occurrences of those that recur."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)

from inbox.kernel.schema import created, identifier, json_object, metadata, moment, reference, workspace_id

STATES = "state IN ('scheduled', 'due', 'sent', 'held', 'skipped', 'cancelled', 'failed')"

scheduled_messages = Table(
    "scheduled_messages",
    metadata,
    workspace_id(),
    identifier(),
    reference("conversation_id"),
    reference("author_id"),
    Column("author_name", Text, nullable=False),
    json_object("content"),
    json_object("fallback", nullable=True),
    Column("preview", Text, nullable=False),
    json_object("plan"),
    Column("plan_number", Integer, nullable=False, server_default=text("1")),
    Column("zone", Text),
    Column("local", Text),
    moment("due_at", nullable=False),
    Column("by_hand", Boolean, nullable=False, server_default=text("false")),
    Column("timer_number", Integer, nullable=False, server_default=text("1")),
    Column("hold_on_reply", Boolean, nullable=False),
    Column("hold_after_number", BigInteger, nullable=False),
    moment("anchored_at", nullable=False),
    Column("quiet_hours", Boolean, nullable=False),
    Column("business_hours", Boolean, nullable=False),
    Column("when_closed", Text, nullable=False),
    Column("catch_up", Text, nullable=False),
    Column("late_after", Integer, nullable=False),
    Column("state", Text, nullable=False, server_default="scheduled"),
    Column("reason", Text),
    moment("state_at", nullable=False),
    Column("uncertain", Boolean, nullable=False, server_default=text("false")),
    Column("occurrences", Integer, nullable=False, server_default=text("0")),
    reference("message_id", nullable=True),
    Column("fell_back", Boolean, nullable=False, server_default=text("false")),
    moment("handed_at"),
    Column("lateness_ms", BigInteger),
    Column("client_token", Text),
    Column("fingerprint", LargeBinary),
    Column("version", Integer, nullable=False, server_default=text("1")),
    created(),
    moment("updated_at"),
    ForeignKeyConstraint(
        ["workspace_id", "conversation_id"],
        ["conversations.workspace_id", "conversations.id"],
        deferrable=True,
        initially="DEFERRED",
    ),
    CheckConstraint(STATES, name="state"),
    CheckConstraint("when_closed IN ('send', 'skip', 'hold')", name="when_closed"),
    CheckConstraint("catch_up IN ('send', 'skip', 'hold')", name="catch_up"),
    CheckConstraint("(local IS NULL) = (zone IS NULL)", name="local"),
    CheckConstraint("state NOT IN ('held', 'skipped', 'failed') OR reason IS NOT NULL", name="reason"),
    Index("ix_scheduled_messages_conversation", "workspace_id", "conversation_id", "due_at", "id"),
    Index(
        "ix_scheduled_messages_waiting",
        "workspace_id",
        "conversation_id",
        postgresql_where=text("state = 'scheduled'"),
    ),
    Index("ix_scheduled_messages_due", "workspace_id", "due_at", "id"),
    Index("ix_scheduled_messages_author", "workspace_id", "author_id", "due_at", "id"),
    Index(
        "uq_scheduled_messages_client_token",
        "workspace_id",
        "author_id",
        "client_token",
        unique=True,
        postgresql_where=text("client_token IS NOT NULL"),
    ),
)
"""``plan``: what was asked for, as wall time and zone where it was asked so. ``zone`` and ``local``: by which zone
``due_at`` was last reckoned, and what the wall clock there shows then; null for a plain instant. ``by_hand``: a person
or the hours moved ``due_at``, so zones move it no more. ``timer_number``: only the timer that carries it is meant; any
older one that fires finds so and does nothing. ``plan_number`` grows when another plan is made.

``hold_after_number``: the last message of the customer that the author knew, taken at ``anchored_at``. Of a recurring
one ``message_id``, ``handed_at``, ``lateness_ms`` and ``fell_back`` tell of the last occurrence.

The reference to the conversation is checked at commit: rows follow to another thread after it absorbed theirs.
"""

scheduled_occurrences = Table(
    "scheduled_occurrences",
    metadata,
    workspace_id(),
    identifier("scheduled_id"),
    Column("number", Integer, primary_key=True),
    Column("plan_number", Integer, nullable=False),
    Column("local", Text),
    moment("due_at", nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("uncertain", Boolean, nullable=False, server_default=text("false")),
    reference("message_id", nullable=True),
    Column("fell_back", Boolean, nullable=False, server_default=text("false")),
    moment("handed_at"),
    Column("lateness_ms", BigInteger),
    ForeignKeyConstraint(
        ["workspace_id", "scheduled_id"],
        ["scheduled_messages.workspace_id", "scheduled_messages.id"],
        ondelete="CASCADE",
    ),
    CheckConstraint(STATES, name="state"),
    Index(
        "uq_scheduled_occurrences_local",
        "workspace_id",
        "scheduled_id",
        "plan_number",
        "local",
        unique=True,
        postgresql_where=text("local IS NOT NULL"),
    ),
    Index(
        "ix_scheduled_occurrences_message",
        "workspace_id",
        "message_id",
        postgresql_where=text("message_id IS NOT NULL"),
    ),
)
"""What came of each occurrence of a recurring message. ``local`` names it within its plan and is unique: a zone that
changes between two occurrences brings none of them again. Null: somebody sent one in between by hand."""
