"""Provider apps and channels, with their sealed credentials."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, LargeBinary, Table, Text, UniqueConstraint, Uuid

from inbox.kernel.schema import created, identifier, json_object, metadata, moment, reference, workspace_id

provider_apps = Table(
    "provider_apps",
    metadata,
    identifier(),
    Column("workspace_id", Uuid),
    Column("provider", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("endpoint_key", Text, nullable=False, unique=True),
    Column("account_id", Text),
    Column("secrets", LargeBinary, nullable=False),
    created(),
    ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
)
"""A Meta app or a Telegram bot, and its endpoint ``/webhooks/<provider>/<endpoint_key>``.

``workspace_id`` null: an app of the installation, whose accounts may belong to several workspaces. ``account_id`` is
set where bodies name no account (Telegram). ``secrets`` is sealed JSON: ``{"signing": [...], "verify_token": ...}``.
"""

channels = Table(
    "channels",
    metadata,
    workspace_id(),
    identifier(),
    reference("provider_app_id"),
    Column("kind", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("token", LargeBinary, nullable=False),
    Column("api_base", Text),
    json_object("options"),
    Column("state", Text, nullable=False, server_default="enabled"),
    Column("health", Text, nullable=False, server_default="ok"),
    Column("health_reason", Text),
    moment("health_changed_at"),
    created(),
    moment("updated_at"),
    ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
    ForeignKeyConstraint(["provider_app_id"], ["provider_apps.id"]),
    CheckConstraint("state IN ('enabled', 'disabled')", name="state"),
    CheckConstraint("health IN ('ok', 'reauthorise', 'paused', 'degraded')", name="health"),
    UniqueConstraint("kind", "account_id"),
)
"""One provider account is connected at most once in an installation: ``UNIQUE (kind, account_id)``."""
