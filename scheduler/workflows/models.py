"""Bots, the runs in which they hold conversations, and which events they answered in the webhook's own answer."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from inbox.kernel.schema import created, identifier, metadata, moment, reference, workspace_id

bots = Table(
    "bots",
    metadata,
    workspace_id(),
    identifier(),
    reference("subscription_id"),
    Column("mode", Text, nullable=False),
    Column("channels", ARRAY(Uuid)),
    Column("answer_within", Integer, nullable=False),
    Column("version", Integer, nullable=False, server_default=text("1")),
    created(),
    moment("updated_at"),
    ForeignKeyConstraint(["workspace_id", "id"], ["agents.workspace_id", "agents.id"], ondelete="CASCADE"),
    ForeignKeyConstraint(["workspace_id", "subscription_id"], ["subscriptions.workspace_id", "subscriptions.id"]),
    CheckConstraint("mode IN ('first_responder', 'on_hand_off', 'on_request')", name="mode"),
    CheckConstraint("answer_within BETWEEN 5 AND 86400", name="answer_within"),
    Index("ix_bots_subscription", "workspace_id", "subscription_id", unique=True),
)
"""What an agent of role ``bot`` needs beyond that: its id is the agent's. Its address, secret, filter of events and the
log of what was sent to it are those of its subscription. ``channels`` null: all. ``answer_within`` in seconds.
"""

workflow_runs = Table(
    "workflow_runs",
    metadata,
    workspace_id(),
    identifier(),
    reference("conversation_id"),
    reference("bot_id"),
    Column("state", Text, nullable=False, server_default="active"),
    Column("reason", Text),
    Column("note", Text),
    Column("epoch", BigInteger, nullable=False),
    reference("former_assignee_id", nullable=True),
    Column("by_kind", Text),
    reference("by_id", nullable=True),
    Column("by_name", Text),
    moment("waiting_since"),
    reference("waiting_id", nullable=True),
    Column("version", Integer, nullable=False, server_default=text("1")),
    created(),
    moment("updated_at", nullable=False),
    ForeignKeyConstraint(["workspace_id", "bot_id"], ["agents.workspace_id", "agents.id"]),
    # Two threads may become one: what belonged to the other follows before the commit.
    ForeignKeyConstraint(
        ["workspace_id", "conversation_id"],
        ["conversations.workspace_id", "conversations.id"],
        deferrable=True,
        initially="DEFERRED",
    ),
    CheckConstraint("state IN ('active', 'paused', 'handed_off', 'ended')", name="state"),
    CheckConstraint("(waiting_since IS NULL) = (waiting_id IS NULL)", name="waiting"),
    Index(
        "uq_workflow_runs_current",
        "workspace_id",
        "conversation_id",
        unique=True,
        postgresql_where=text("state IN ('active', 'paused')"),
    ),
    Index("ix_workflow_runs_conversation", "workspace_id", "conversation_id", "id"),
    Index("ix_workflow_runs_held", "workspace_id", "bot_id", postgresql_where=text("state IN ('active', 'paused')")),
)
"""One hold of one bot on one conversation. At most one is current (active or paused): the partial unique index decides.

``epoch`` is the conversation's when the lease was given; ``reason`` says how the present state came about and ``by_…``
through whom. ``waiting_since``: the customer has written and not been answered; ``waiting_id`` names the timer that
counts for it. ``former_assignee_id`` gets the conversation back with a hand-off.
"""

workflow_answers = Table(
    "workflow_answers",
    metadata,
    workspace_id(),
    identifier("bot_id"),
    identifier("epoch"),
    Column("position", BigInteger, primary_key=True),
    created(),
    ForeignKeyConstraint(["workspace_id", "bot_id"], ["agents.workspace_id", "agents.id"], ondelete="CASCADE"),
)
"""Events whose webhook was answered with something to do, written in the transaction that did it: once for each event,
however often it is delivered. ``epoch`` is that of the log. Kept as long as the event can be replayed."""
