"""Contacts, their identities at providers, and the addresses of identities."""

from __future__ import annotations

from sqlalchemy import ARRAY, Boolean, CheckConstraint, Column, ForeignKeyConstraint, Index, Integer, Table, Text, text

from inbox.kernel.schema import created, identifier, json_object, metadata, moment, reference, workspace_id

contacts = Table(
    "contacts",
    metadata,
    workspace_id(),
    identifier(),
    Column("name", Text),
    Column("first_name", Text),
    Column("last_name", Text),
    Column("email", Text),
    Column("phone", Text),
    Column("language", Text),
    Column("time_zone", Text),
    Column("avatar_url", Text),
    json_object("custom"),
    Column("tags", ARRAY(Text), nullable=False, server_default="{}"),
    Column("version", Integer, nullable=False, server_default=text("1")),
    moment("blocked_at"),
    reference("blocked_by", nullable=True),
    Column("blocked_reason", Text),
    moment("blocked_until"),
    reference("merged_into", nullable=True),
    created(),
    moment("updated_at"),
    ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
    ForeignKeyConstraint(["workspace_id", "merged_into"], ["contacts.workspace_id", "contacts.id"]),
    Index("ix_contacts_phone", "workspace_id", "phone", postgresql_where=text("phone IS NOT NULL")),
    Index("ix_contacts_email", "workspace_id", "email", postgresql_where=text("email IS NOT NULL")),
)
"""``merged_into``: this contact was found to be the other one; the row stays so that old links still lead somewhere."""

identities = Table(
    "identities",
    metadata,
    workspace_id(),
    identifier(),
    reference("contact_id"),
    Column("provider", Text, nullable=False),
    Column("name", Text),
    Column("username", Text),
    Column("language", Text),
    Column("is_group", Boolean, nullable=False, server_default=text("false")),
    Column("unreachable", Text),
    moment("unreachable_at"),
    moment("marketing_stopped_at"),
    Column("marketing_stopped_reason", Text),
    created(),
    ForeignKeyConstraint(["workspace_id", "contact_id"], ["contacts.workspace_id", "contacts.id"]),
    Index("ix_identities_contact", "workspace_id", "contact_id"),
)
"""``provider``: the kind of channel that knows this identity. ``unreachable``: null, or why nothing can be sent.
``marketing_stopped_reason``: ``asked`` when the person said so, ``refused`` when the provider did for that reason."""

addresses = Table(
    "addresses",
    metadata,
    workspace_id(),
    Column("kind", Text, primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    reference("identity_id"),
    created("first_seen_at"),
    moment("retired_at"),
    ForeignKeyConstraint(
        ["workspace_id", "identity_id"],
        ["identities.workspace_id", "identities.id"],
        deferrable=True,
        initially="DEFERRED",
    ),
    Index("ix_addresses_identity", "workspace_id", "identity_id"),
)
"""The key is the promise that two webhooks at once make one person. The reference is checked at commit, because the
address is claimed first and its identity written by whoever won the claim (``contacts.resolution``).
``retired_at``: by the provider's time the person gave this address up. What was said under it before is still theirs;
who speaks under it later is somebody else, to whom the row then goes over."""

provider_blocks = Table(
    "provider_blocks",
    metadata,
    workspace_id(),
    identifier("channel_id"),
    identifier("identity_id"),
    Column("wanted", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("fault", Text),
    Column("reason", Text),
    moment("asked_at", nullable=False),
    moment("settled_at"),
    ForeignKeyConstraint(
        ["workspace_id", "identity_id"], ["identities.workspace_id", "identities.id"], ondelete="CASCADE"
    ),
    CheckConstraint("wanted IN ('blocked', 'unblocked')", name="wanted"),
    CheckConstraint("state IN ('pending', 'done', 'failed')", name="state"),
    Index("ix_provider_blocks_identity", "workspace_id", "identity_id"),
)
"""What a provider was asked about a person, for each channel that can: the last word, and how the provider took it."""
