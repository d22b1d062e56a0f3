"""Subscriptions, the lanes that wait behind a failed delivery, and the delivery log."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from inbox.kernel.schema import created, identifier, metadata, moment, reference, workspace_id

subscriptions = Table(
    "subscriptions",
    metadata,
    workspace_id(),
    identifier(),
    reference("agent_id"),
    Column("name", Text, nullable=False),
    Column("url", LargeBinary, nullable=False),
    Column("origin", Text, nullable=False),
    Column("secrets", LargeBinary, nullable=False),
    Column("kinds", ARRAY(Text)),
    Column("state", Text, nullable=False, server_default="enabled"),
    Column("reason", Text),
    reference("epoch"),
    Column("cursor", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    moment("failing_since"),
    Column("stalled", Boolean, nullable=False, server_default=text("false")),
    moment("due_at"),
    Column("version", Integer, nullable=False, server_default=text("1")),
    Column("lease", Uuid),
    moment("leased_until"),
    created(),
    moment("updated_at"),
    ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
    ForeignKeyConstraint(["workspace_id", "agent_id"], ["agents.workspace_id", "agents.id"], ondelete="CASCADE"),
    CheckConstraint("state IN ('enabled', 'disabled')", name="state"),
    CheckConstraint("(state = 'disabled') = (reason IS NOT NULL)", name="reason"),
)
"""``agent_id``: whose eyes it reads with. ``cursor``: every event up to here is settled, or waits in a lane.

``stalled``: nothing new is read until ``due_at``. ``version`` rises with what a running node has to notice; ``lease``
names the one claim under which a node may move the cursor. ``url`` and ``secrets`` are sealed: a webhook's address is
often a credential.
"""

subscription_lanes = Table(
    "subscription_lanes",
    metadata,
    workspace_id(),
    identifier("subscription_id"),
    identifier("lane"),
    Column("position", BigInteger, nullable=False),
    Column("upto", BigInteger),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    moment("next_at", nullable=False),
    moment("tried_at"),
    moment("failing_since"),
    ForeignKeyConstraint(
        ["workspace_id", "subscription_id"], ["subscriptions.workspace_id", "subscriptions.id"], ondelete="CASCADE"
    ),
)
"""A conversation behind a failed delivery, or (``upto`` set) a replay. ``position`` is the next event it has to send.

One row a conversation, whatever waits behind it: the events themselves stay in the log.
"""

subscription_attempts = Table(
    "subscription_attempts",
    metadata,
    workspace_id(),
    identifier("subscription_id"),
    identifier(),
    Column("attempted_at", DateTime(timezone=True), primary_key=True, server_default=func.now()),
    Column("purpose", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("position", BigInteger),
    Column("kind", Text, nullable=False),
    Column("conversation_id", Uuid),
    Column("attempt", Integer, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("status", SmallInteger),
    Column("error", Text),
    Column("milliseconds", Integer, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("answer", Text, nullable=False),
    moment("next_at"),
    CheckConstraint("purpose IN ('event', 'replay', 'ping')", name="purpose"),
    CheckConstraint("outcome IN ('delivered', 'failed', 'abandoned')", name="outcome"),
    info={"period": "day"},
    postgresql_partition_by="RANGE (attempted_at)",
)
"""The delivery log: one row a request. What was sent is not copied here: it is made anew from the event log."""
