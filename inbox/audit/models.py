"""The audit trail."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Index, Table, Text, text

from inbox.kernel.schema import created, identifier, json_object, metadata, reference, workspace_id

audit_entries = Table(
    "audit_entries",
    metadata,
    workspace_id(),
    identifier(),
    Column("actor_kind", Text, nullable=False),
    reference("actor_id", nullable=True),
    Column("actor_name", Text),
    Column("action", Text, nullable=False),
    Column("subject_kind", Text, nullable=False),
    reference("subject_id"),
    json_object("detail"),
    created(),
    ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
    CheckConstraint("actor_kind IN ('agent', 'bot', 'system')", name="actor_kind"),
    CheckConstraint("(actor_kind = 'system') = (actor_id IS NULL)", name="actor"),
    Index("ix_audit_entries_subject", "workspace_id", "subject_id", "id"),
    Index("ix_audit_entries_actor", "workspace_id", "actor_id", "id", postgresql_where=text("actor_id IS NOT NULL")),
)
"""Only ever inserted. The actor's name is kept as it was: who has left the workspace is still named."""
