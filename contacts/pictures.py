"""Which picture stands for a contact: an address of ours, never a provider's."""

from __future__ import annotations

from uuid import UUID

from contacts import events
from contacts import repository as rows
from inbox.kernel.database import UnitOfWork


async def show(unit: UnitOfWork, workspace_id: UUID, identity_id: UUID, version: str) -> None:
    """The person of this identity has a new picture; ``version`` tells it from the former one. Records the event."""
    contact_id = await unit.fetchval(
        """
        UPDATE contacts c SET avatar_url = '/v1/contacts/' || c.id || '/avatar?v=' || $3, version = c.version + 1,
            updated_at = now()
        FROM identities i WHERE i.workspace_id = $1 AND i.id = $2 AND c.workspace_id = $1 AND c.id = i.contact_id
        RETURNING c.id
        """,
        workspace_id,
        identity_id,
        version,
    )
    if contact_id is not None:
        for contact in await rows.views(unit, workspace_id, [contact_id]):
            unit.record(events.updated(workspace_id, contact))
