"""Durable jobs: work that follows a commit and talks to the world, so it cannot be part of the transaction.

Invariant: a job that was committed is run to its end at least once, or stands visible as dead. At any time one worker
holds it: whoever holds the lease; a worker whose lease ran out can neither finish nor fail it any more. Handlers must
therefore be idempotent, and do their I/O outside of transactions.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, Text, text

from inbox.kernel.schema import created, identifier, json_object, metadata, moment, workspace_id

jobs = Table(
    "jobs",
    metadata,
    workspace_id(),
    identifier(),
    Column("queue", Text, nullable=False),
    Column("key", Text),
    json_object("payload"),
    Column("state", Text, nullable=False, server_default="queued"),
    moment("run_at", nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("max_attempts", Integer, nullable=False),
    Column("asked", Integer, nullable=False, server_default=text("1")),
    moment("leased_until"),
    Column("worker", Text),
    Column("last_error", Text),
    created(),
    CheckConstraint("state IN ('queued', 'running', 'dead')", name="state"),
    CheckConstraint("state <> 'running' OR (leased_until IS NOT NULL AND worker IS NOT NULL)", name="running_leased"),
    Index(
        "uq_jobs_key",
        "workspace_id",
        "queue",
        "key",
        unique=True,
        postgresql_where=text("key IS NOT NULL AND state <> 'dead'"),
    ),
    Index("ix_jobs_due", "queue", "run_at", postgresql_where=text("state = 'queued'")),
    Index("ix_jobs_lease", "leased_until", postgresql_where=text("state = 'running'")),
    Index("ix_jobs_dead", "workspace_id", "created_at", postgresql_where=text("state = 'dead'")),
)
"""A finished job has no row. ``asked`` counts how often a keyed job was asked for: a job that is asked for again while
it runs is run again, because its run may have read what was there before."""
