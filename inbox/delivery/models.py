"""Attempts at provider messages, and the rate buckets that every node sees."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKeyConstraint, SmallInteger, Table, Text

from inbox.kernel.schema import created, identifier, json_object, metadata, moment, workspace_id

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    workspace_id(),
    identifier("delivery_id"),
    Column("number", SmallInteger, primary_key=True),
    created("started_at"),
    moment("finished_at"),
    Column("outcome", Text),
    json_object("fault", nullable=True),
    Column("node", Text, nullable=False),
    ForeignKeyConstraint(
        ["workspace_id", "delivery_id"], ["deliveries.workspace_id", "deliveries.id"], ondelete="CASCADE"
    ),
)
"""``outcome``: null while in the air, then ``accepted``, ``refused``, ``not_sent`` or ``unknown``."""

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
)
"""``key``: ``channel``, ``channel:media`` or ``recipient:<conversation id>``."""
