"""Definitions of templates as their providers know them, and when they were last asked for."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Index, Table, Text, UniqueConstraint, text

from inbox.kernel.schema import created, identifier, json_object, metadata, moment, workspace_id

templates = Table(
    "templates",
    metadata,
    workspace_id(),
    identifier(),
    Column("kind", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("quality", Text),
    Column("reason", Text),
    json_object("definition"),
    moment("told_at"),
    moment("judged_at"),
    moment("removed_at"),
    created(),
    moment("updated_at"),
    ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
    CheckConstraint(
        "status IN ('approved', 'pending', 'rejected', 'paused', 'disabled', 'other')",
        name="status",
    ),
    UniqueConstraint("workspace_id", "kind", "owner", "name", "language"),
    Index("ix_templates_external", "workspace_id", "kind", "owner", "external_id"),
    Index(
        "ix_templates_usable",
        "workspace_id",
        "kind",
        "owner",
        "name",
        "language",
        postgresql_where=text("status = 'approved' AND removed_at IS NULL"),
    ),
)
"""``owner`` is the provider account that templates belong to: the WABA of a number, otherwise the account itself, so
that the numbers of one WABA share them. ``definition`` holds what the gaps are in.

``told_at``: the provider's time of the newest webhook about it; ``judged_at``: when we stored that. A list that was
asked for before then does not undo what the webhook said. ``removed_at``: the provider lists it no more; the row stays,
because messages were sent with it."""

template_syncs = Table(
    "template_syncs",
    metadata,
    workspace_id(),
    Column("kind", Text, primary_key=True),
    Column("owner", Text, primary_key=True),
    moment("asked_at"),
    moment("synced_at"),
    Column("fault", Text),
    ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], ondelete="CASCADE"),
)
"""One row for each owner, which serialises the writers of its templates. ``asked_at``: when the list that is stored
was asked for; ``fault``: why the last try failed, as a sentence."""
