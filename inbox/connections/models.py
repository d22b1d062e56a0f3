"""Provider apps and channels, with their sealed credentials."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

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
    json_object("health_aspects"),
    Column("token_version", Integer, nullable=False, server_default=text("1")),
    created("token_set_at"),
    moment("token_expires_at"),
    moment("renewal_tried_at"),
    moment("sending_paused_until"),
    Column("sending_paused_reason", Text),
    created(),
    moment("updated_at"),
    ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
    ForeignKeyConstraint(["provider_app_id"], ["provider_apps.id"]),
    CheckConstraint("state IN ('enabled', 'disabled')", name="state"),
    CheckConstraint("health IN ('ok', 'reauthorise', 'paused', 'degraded')", name="health"),
    UniqueConstraint("kind", "account_id"),
)
"""One provider account is connected at most once in an installation: ``UNIQUE (kind, account_id)``.

``health`` and ``health_reason`` are the worst of ``health_aspects`` (``connections.health``): what each aspect says, by
its name. ``token_version`` grows with every token, so that a refusal of an old one is known as such.
``sending_paused_until``: the provider throttles the whole channel until then.
"""

channel_traffic = Table(
    "channel_traffic",
    metadata,
    workspace_id(),
    identifier("channel_id"),
    moment("last_at", nullable=False),
    Column("days", ARRAY(Date), nullable=False),
    ForeignKeyConstraint(["workspace_id", "channel_id"], ["channels.workspace_id", "channels.id"], ondelete="CASCADE"),
)
"""When a webhook last told something about a channel, to the minute, and the last days on which one did. Apart from
the channel itself, because it is written all the time."""
