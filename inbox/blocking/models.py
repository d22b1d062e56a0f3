"""How far the times are given away at which resumed things go on."""

from __future__ import annotations

from sqlalchemy import ForeignKeyConstraint, Table

from inbox.kernel.schema import identifier, metadata, moment, workspace_id

resume_slots = Table(
    "resume_slots",
    metadata,
    workspace_id(),
    identifier("contact_id"),
    moment("free_at", nullable=False),
    ForeignKeyConstraint(["workspace_id", "contact_id"], ["contacts.workspace_id", "contacts.id"], ondelete="CASCADE"),
)
"""``free_at``: the next time at which something may go on for this contact (``pausable.Slots``)."""
