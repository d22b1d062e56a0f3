"""Attempts at provider messages, the rate buckets that every node sees, and the indexes by which work is found."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Float, ForeignKeyConstraint, Index, SmallInteger, Table, Text, text

from inbox.kernel.schema import created, identifier, json_object, metadata, moment, reference, workspace_id
from inbox.messages.models import deliveries

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    workspace_id(),
    identifier("delivery_id"),
    Column("number", SmallInteger, primary_key=True),
    created("started_at"),
    moment("finished_at"),
    Column("outcome", Text),
    Column("external_id", Text),
    Column("note", Text),
    json_object("fault", nullable=True),
    Column("node", Text, nullable=False),
    ForeignKeyConstraint(
        ["workspace_id", "delivery_id"],
        ["deliveries.workspace_id", "deliveries.id"],
        ondelete="CASCADE",
        onupdate="CASCADE",
    ),
)
"""``outcome``: null while in the air, then ``accepted``, ``refused``, ``not_sent`` or ``unknown``.

``external_id`` keeps what the provider called this try, also after a person's retry gave the delivery a new id (which
the attempts follow: ``ON UPDATE CASCADE``). ``note``: what the provider said beside accepting.
"""

rate_buckets = Table(
    "rate_buckets",
    metadata,
    workspace_id(),
    identifier("channel_id"),
    Column("key", Text, primary_key=True),
    Column("tokens", Float, nullable=False),
    moment("filled_at", nullable=False),
    moment("paused_until"),
    Column("pause_reason", Text),
    Column("strikes", SmallInteger, nullable=False, server_default=text("0")),
    moment("calmed_at"),
    Index("ix_rate_buckets_filled_at", "filled_at"),
)
"""``key``: ``channel`` or ``recipient:<conversation id>``, with ``:media`` or ``:message`` behind it for a lane of its
own. No row means a full bucket. ``channel`` is also what serialises the claims of one channel.

``strikes``: how many throttles of the provider came one after the other (``delivery.pausing``); ``calmed_at``: since
the last of them it has taken something again."""

message_changes = Table(
    "message_changes",
    metadata,
    workspace_id(),
    identifier(),
    reference("message_id"),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="sending"),
    json_object("parts", nullable=True),
    reference("asked_by"),
    created("started_at"),
    moment("finished_at"),
    json_object("fault", nullable=True),
    ForeignKeyConstraint(["workspace_id", "message_id"], ["messages.workspace_id", "messages.id"], ondelete="CASCADE"),
    CheckConstraint("kind IN ('edit', 'delete')", name="kind"),
    CheckConstraint("state IN ('sending', 'done', 'refused', 'not_sent', 'unknown')", name="state"),
    Index(
        "uq_message_changes_in_flight",
        "workspace_id",
        "message_id",
        unique=True,
        postgresql_where=text("state = 'sending'"),
    ),
    Index("ix_message_changes_message", "workspace_id", "message_id"),
    Index("ix_message_changes_sending", "started_at", postgresql_where=text("state = 'sending'")),
)
"""Edits and deletions of sent messages that were asked of a provider: the intent stands here before the request
leaves, so that one whose outcome nobody recorded is known to be ``unknown``. One at a time for each message."""

ready_index = Index(
    "ix_deliveries_ready",
    deliveries.c.workspace_id,
    deliveries.c.channel_id,
    deliveries.c.priority,
    deliveries.c.due_at,
    deliveries.c.id,
    postgresql_where=text("state = 'queued'"),
)
"""Claims jump from channel to channel and read each from its most urgent end (``repository.WAITING``, ``PICK``)."""

expiry_index = Index(
    "ix_deliveries_expiry",
    deliveries.c.expires_at,
    postgresql_where=text("state = 'queued' AND expires_at IS NOT NULL"),
)
age_index = Index(
    "ix_deliveries_age",
    deliveries.c.created_at,
    postgresql_where=text("state = 'queued' AND expires_at IS NULL"),
)
