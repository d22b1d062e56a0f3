"""Messages, versions, reactions, deliveries, parked receipts."""

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
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from inbox.kernel.schema import created, identifier, json_object, metadata, moment, reference, workspace_id

messages = Table(
    "messages",
    metadata,
    workspace_id(),
    identifier(),
    reference("conversation_id"),
    reference("channel_id"),
    Column("number", BigInteger, nullable=False),
    Column("direction", Text, nullable=False),
    Column("author_kind", Text, nullable=False),
    reference("author_id", nullable=True),
    Column("author_name", Text),
    Column("external_id", Text),
    json_object("parts", default="[]"),
    Column("status", Text),
    moment("status_at"),
    json_object("fault", nullable=True),
    Column("reply_to_external_id", Text),
    reference("reply_to_id", nullable=True),
    Column("forwarded", Boolean, nullable=False, server_default=text("false")),
    json_object("referral", nullable=True),
    Column("album", Text),
    Column("client_token", Text),
    Column("fingerprint", LargeBinary),
    Column("origin_kind", Text),
    reference("origin_id", nullable=True),
    Column("versions", Integer, nullable=False, server_default=text("1")),
    moment("occurred_at", nullable=False),
    created(),
    moment("edited_at"),
    moment("unsent_at"),
    ForeignKeyConstraint(["workspace_id", "conversation_id"], ["conversations.workspace_id", "conversations.id"]),
    CheckConstraint("direction IN ('in', 'out')", name="direction"),
    CheckConstraint("author_kind IN ('contact', 'agent', 'bot', 'native_app', 'system')", name="author_kind"),
    CheckConstraint(
        "status IN ('queued', 'sending', 'sent', 'delivered', 'read', 'played', 'failed', 'uncertain', 'cancelled')",
        name="status",
    ),
    CheckConstraint("(direction = 'in') = (status IS NULL)", name="status_of_outgoing"),
    CheckConstraint("origin_kind IN ('scheduled', 'sequence', 'bot', 'broadcast', 'rule')", name="origin_kind"),
    CheckConstraint("(origin_kind IS NULL) = (origin_id IS NULL)", name="origin"),
    UniqueConstraint("workspace_id", "channel_id", "external_id"),
    UniqueConstraint("workspace_id", "conversation_id", "number"),
    Index(
        "uq_messages_client_token",
        "workspace_id",
        "author_id",
        "client_token",
        unique=True,
        postgresql_where=text("client_token IS NOT NULL"),
    ),
    Index("ix_messages_origin", "workspace_id", "origin_id", postgresql_where=text("origin_id IS NOT NULL")),
    Index(
        "ix_messages_quoting",
        "workspace_id",
        "channel_id",
        "reply_to_external_id",
        postgresql_where=text("reply_to_external_id IS NOT NULL AND reply_to_id IS NULL"),
    ),
)
"""``external_id`` is set on what the provider told us (inbound, and replies typed in its own app); the ids of our own
sends stand on their deliveries. ``occurred_at`` is the provider's time, ``created_at`` ours. ``origin`` names what had
it sent, where no person or program sent it at that moment: a scheduled message, a step of a sequence."""

message_versions = Table(
    "message_versions",
    metadata,
    workspace_id(),
    identifier("message_id"),
    Column("version", Integer, primary_key=True),
    json_object("parts", default="[]"),
    moment("replaced_at", nullable=False),
    ForeignKeyConstraint(["workspace_id", "message_id"], ["messages.workspace_id", "messages.id"], ondelete="CASCADE"),
)
"""What a message said before each edit; the current words stand on the message itself."""

reactions = Table(
    "reactions",
    metadata,
    workspace_id(),
    identifier("message_id"),
    Column("actor", Text, primary_key=True),
    Column("emoji", Text, nullable=False),
    moment("occurred_at", nullable=False),
    ForeignKeyConstraint(["workspace_id", "message_id"], ["messages.workspace_id", "messages.id"], ondelete="CASCADE"),
)
"""``actor``: ``contact``, ``business``, or ``<address kind>:<value>`` of a member of a group. ``emoji`` is empty when
it was taken back: the row keeps the time, so that an older webhook does not bring the reaction back."""

deliveries = Table(
    "deliveries",
    metadata,
    workspace_id(),
    identifier(),
    reference("message_id"),
    reference("conversation_id"),
    reference("channel_id"),
    Column("ordinal", SmallInteger, nullable=False),
    json_object("piece"),
    Column("purpose", Text, nullable=False, server_default="reply"),
    Column("epoch", BigInteger),
    Column("hold_after_number", BigInteger),
    Column("stop_when_closed", Boolean, nullable=False, server_default=text("false")),
    json_object("quiet", nullable=True),
    Column("priority", SmallInteger, nullable=False, server_default=text("0")),
    Column("state", Text, nullable=False, server_default="queued"),
    moment("due_at", nullable=False),
    moment("expires_at"),
    Column("attempts", SmallInteger, nullable=False, server_default=text("0")),
    moment("sending_since"),
    Column("node", Text),
    Column("external_id", Text),
    Column("inferred", Boolean, nullable=False, server_default=text("false")),
    json_object("further_ids", nullable=True),
    json_object("fault", nullable=True),
    moment("sent_at"),
    moment("status_at"),
    created(),
    ForeignKeyConstraint(["workspace_id", "message_id"], ["messages.workspace_id", "messages.id"], ondelete="CASCADE"),
    CheckConstraint(
        "state IN ('queued', 'sending', 'sent', 'delivered', 'read', 'played', 'failed', 'uncertain', 'cancelled')",
        name="state",
    ),
    UniqueConstraint("workspace_id", "message_id", "ordinal"),
    UniqueConstraint("workspace_id", "channel_id", "external_id"),
    Index(
        "uq_deliveries_in_flight",
        "workspace_id",
        "conversation_id",
        unique=True,
        postgresql_where=text("state = 'sending'"),
    ),
    Index(
        "ix_deliveries_line",
        "workspace_id",
        "conversation_id",
        "id",
        postgresql_where=text("state IN ('queued', 'sending')"),
    ),
    Index("ix_deliveries_sending", "sending_since", postgresql_where=text("state = 'sending'")),
    Index("ix_deliveries_watermark", "workspace_id", "conversation_id", "sent_at"),
    Index(
        "ix_deliveries_unread",
        "workspace_id",
        "conversation_id",
        "sending_since",
        postgresql_where=text("state IN ('sent', 'delivered')"),
    ),
    Index(
        "ix_deliveries_unsettled",
        "workspace_id",
        "conversation_id",
        postgresql_where=text("state IN ('sending', 'uncertain')"),
    ),
    Index(
        "ix_deliveries_further_ids",
        "further_ids",
        postgresql_using="gin",
        postgresql_where=text("further_ids IS NOT NULL"),
    ),
)
"""One provider message. Its id is the correlation that the provider gives back. ``inferred``: the external id was
concluded from an echo of the same words. ``further_ids``: of an album, what the provider calls its other files.
``uq_deliveries_in_flight`` is the promise that one conversation has at most
one request in the air, on whatever node.

What the last gate is to ask (P8): ``epoch``, whether the responder is still the same; ``hold_after_number``, whether
the customer has written since that message; ``stop_when_closed``; ``quiet``, a ``kernel.hours.Quiet`` as JSON."""

parked_receipts = Table(
    "parked_receipts",
    metadata,
    workspace_id(),
    identifier("channel_id"),
    Column("external_id", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    moment("occurred_at", nullable=False),
    json_object("fault", nullable=True),
    created("parked_at"),
    Index("ix_parked_receipts_parked_at", "parked_at"),
)
"""Receipts that overtook our own record of the send; applied when the external id is recorded."""

set_aside_messages = Table(
    "set_aside_messages",
    metadata,
    workspace_id(),
    identifier(),
    reference("channel_id"),
    reference("identity_id"),
    Column("external_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    reference("about_id", nullable=True),
    Column("author_name", Text),
    json_object("parts", default="[]"),
    Column("opens_window", Boolean, nullable=False),
    moment("occurred_at", nullable=False),
    created(),
    moment("edited_at"),
    moment("unsent_at"),
    ForeignKeyConstraint(["workspace_id", "identity_id"], ["identities.workspace_id", "identities.id"]),
    CheckConstraint("kind IN ('message', 'edit', 'reaction')", name="kind"),
    UniqueConstraint("workspace_id", "channel_id", "external_id"),
    Index("ix_set_aside_messages_identity", "workspace_id", "identity_id", "id"),
    Index("ix_set_aside_messages_about", "workspace_id", "about_id", postgresql_where=text("about_id IS NOT NULL")),
)
"""What blocked contacts send: never in a thread, not numbered, and never moved there, also not when they are unblocked.

``external_id`` is the provider's, or one of ours made from it where an ``edit`` or a ``reaction`` is ``about`` another
message, of the thread or set aside. ``opens_window`` counts when the contact is unblocked."""

unsupported_events = Table(
    "unsupported_events",
    metadata,
    workspace_id(),
    identifier(),
    reference("channel_id"),
    Column("what", Text, nullable=False),
    json_object("data", nullable=True),
    moment("occurred_at"),
    created(),
)
"""What providers told us that is no message, and that nothing reads yet: kept, and visible."""
