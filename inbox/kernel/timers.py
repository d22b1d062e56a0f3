"""Durable timers: one row for everything that waits, fired in the transaction of its effect.

Invariant: a timer disappears in the commit that holds its effect, or by a cancel that committed first; never both, and
never neither. Which of two clocks, or a clock and a cancel, wins is decided by the lock on the row.

Lock order: timers come before the rows they are about. A transaction that sets or cancels timers does so before it
locks anything a handler of that kind touches; otherwise PostgreSQL has to break the deadlock.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, Text, text

from inbox.kernel.schema import created, json_object, metadata, moment, workspace_id

timers = Table(
    "timers",
    metadata,
    workspace_id(),
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    moment("due_at", nullable=False),
    moment("next_at", nullable=False),
    json_object("payload"),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("last_error", Text),
    created(),
    CheckConstraint("state IN ('pending', 'failed')", name="state"),
    Index("ix_timers_next", "next_at", postgresql_where=text("state = 'pending'")),
    Index("ix_timers_failed", "workspace_id", "due_at", postgresql_where=text("state = 'failed'")),
)
"""``due_at``: the promise, from which lateness is told. ``next_at``: when the clock looks; later only after a failure.

A fired timer has no row. ``failed``: the clock gave up; it stands until somebody revives or cancels it."""
