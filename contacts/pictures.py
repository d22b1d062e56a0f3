"""Which picture stands for a contact: an address of ours, never a provider's."""

from __future__ import annotations

from uuid import UUID

from contacts import events
from contacts import repository as rows
from inbox.kernel.database import UnitOfWork


async def show(unit: UnitOfWork, workspace_id: UUID, identity_id: UUID, version: str) -> None:
    """The person of this identity has a new picture; ``version`` tells it from the former one. Records the event."""
    contact = await rows.show_picture(unit, workspace_id, identity_id, version)
    if contact is not None:
        unit.record(events.updated(workspace_id, contact))
