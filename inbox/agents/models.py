"""Workspaces, agents, tokens (sessions and API keys), one-time socket tickets, and the log-in throttle."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY

from inbox.kernel.schema import created, identifier, json_object, metadata, moment, reference, workspace_id

workspaces = Table(
    "workspaces",
    metadata,
    identifier(),
    Column("name", Text, nullable=False),
    json_object("settings"),
    Column("time_zone", Text, nullable=False, server_default="UTC"),
    json_object("business_hours", nullable=True),
    json_object("quiet_hours", nullable=True),
    created(),
)
"""``business_hours`` and ``quiet_hours`` are those of ``kernel.hours``, on the wall clock of ``time_zone``."""

agents = Table(
    "agents",
    metadata,
    workspace_id(),
    identifier(),
    Column("name", Text, nullable=False),
    Column("email", Text),
    Column("role", Text, nullable=False),
    Column("password_hash", Text),
    moment("disabled_at"),
    created(),
    ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
    CheckConstraint("role IN ('admin', 'supervisor', 'agent', 'bot')", name="role"),
    CheckConstraint("email = lower(email)", name="email_lower"),
    UniqueConstraint("workspace_id", "email"),
    Index("ix_agents_email", "email"),
)
"""People, and bots (role ``bot``, no e-mail or password): whoever can be an author or an assignee."""

tokens = Table(
    "tokens",
    metadata,
    workspace_id(),
    identifier(),
    reference("agent_id"),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("scopes", ARRAY(Text), nullable=False, server_default="{}"),
    created(),
    moment("expires_at"),
    moment("last_used_at"),
    moment("revoked_at"),
    ForeignKeyConstraint(["workspace_id", "agent_id"], ["agents.workspace_id", "agents.id"], ondelete="CASCADE"),
    CheckConstraint("kind IN ('session', 'api')", name="kind"),
    Index("ix_tokens_agent", "workspace_id", "agent_id"),
)
"""``digest`` is the SHA-256 of the token, which is shown once and never stored; ``hint`` its last four characters."""

tickets = Table(
    "tickets",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    reference("workspace_id"),
    reference("agent_id"),
    reference("token_id"),
    moment("expires_at", nullable=False),
    ForeignKeyConstraint(["workspace_id", "agent_id"], ["agents.workspace_id", "agents.id"], ondelete="CASCADE"),
    Index("ix_tickets_expiry", "expires_at"),
)
"""Deleted by the socket that uses it: the row is the one time."""

login_throttle = Table(
    "login_throttle",
    metadata,
    Column("key", Text, primary_key=True),
    Column("level", Float, nullable=False),
    moment("updated_at", nullable=False),
)
"""Failed log-ins per e-mail and per client address (installation-wide), as a level that sinks (``throttle``)."""
