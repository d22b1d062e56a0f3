"""Raw deliveries, the work that is pending on them, quarantine, and events nobody understands yet."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Index, Integer, LargeBinary, Table, Text, func, text

from inbox.kernel.schema import created, identifier, metadata, moment, reference

raw_deliveries = Table(
    "raw_deliveries",
    metadata,
    identifier(),
    Column("received_at", DateTime(timezone=True), primary_key=True, server_default=func.now()),
    reference("app_id"),
    Column("body", LargeBinary, nullable=False),
    info={"period": "day"},
    postgresql_partition_by="RANGE (received_at)",
)
"""Accepted webhook bodies, exactly as they came (installation-wide: one body may speak of several workspaces)."""

pending_deliveries = Table(
    "pending_deliveries",
    metadata,
    identifier(),
    Column("received_at", DateTime(timezone=True), nullable=False),
    moment("leased_until", nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Index("ix_pending_deliveries_lease", "leased_until"),
)
"""One row per raw delivery that is not handled yet. The node that accepted it holds the first lease."""

quarantine = Table(
    "quarantine",
    metadata,
    identifier(),
    reference("raw_id"),
    moment("raw_received_at", nullable=False),
    Column("item", Integer),
    Column("reason", Text, nullable=False),
    Column("detail", Text),
    Column("retries", Integer, nullable=False, server_default=text("0")),
    moment("retry_at"),
    created(),
    moment("released_at"),
    Index("ix_quarantine_open", "created_at", postgresql_where=text("released_at IS NULL")),
    Index("ix_quarantine_retry", "retry_at", postgresql_where=text("released_at IS NULL AND retry_at IS NOT NULL")),
    Index("ix_quarantine_raw", "raw_id"),
)
"""Items that could not be stored, with the reason; ``inbox replay`` tries them again. ``item`` null: the whole body.

``retry_at``: this one is tried again by itself, because what it refers to may still come (``target_unknown``)."""
