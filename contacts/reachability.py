"""Who cannot, or does not want to, be written to at one provider: noted with the date and the reason, and told.

Invariant: each change is one ``contact.reachability`` event in the transaction that makes it, and what changes nothing
says nothing, for webhooks come twice.
"""

from __future__ import annotations

from typing import Literal, TypeAlias
from uuid import UUID

from contacts import events
from contacts import reach_rows as rows
from inbox.kernel.database import UnitOfWork

Refusal: TypeAlias = Literal["asked", "refused"]
"""Why marketing stopped: the person ``asked``, or the provider ``refused`` a message for that reason."""


async def set_unreachable(unit: UnitOfWork, workspace_id: UUID, identity_id: UUID, reason: str | None) -> None:
    """``None``: they can be reached again."""
    changed = await rows.set_reachability(unit, workspace_id, identity_id, reason)
    if changed is not None:
        contact, reach = changed
        unit.record(events.updated(workspace_id, contact))
        unit.record(events.reachability(workspace_id, reach))


async def stop_marketing(unit: UnitOfWork, workspace_id: UUID, identity_id: UUID, reason: Refusal) -> None:
    """The first date and reason stay."""
    reach = await rows.stop_marketing(unit, workspace_id, identity_id, reason)
    if reach is not None:
        unit.record(events.reachability(workspace_id, reach))


async def resume_marketing(unit: UnitOfWork, workspace_id: UUID, identity_id: UUID) -> None:
    reach = await rows.resume_marketing(unit, workspace_id, identity_id)
    if reach is not None:
        unit.record(events.reachability(workspace_id, reach))
