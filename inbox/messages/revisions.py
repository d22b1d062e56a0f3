"""What happens to a message after it was stored, and what providers say about a person's reachability."""

from __future__ import annotations

from uuid import UUID

import orjson

from channels.types import MessageEdited, MessageUnsent, PreferenceChanged, ReachabilityChanged, ReactionChanged
from contacts import events as contact_events
from contacts import repository as contact_rows
from inbox.kernel.database import UnitOfWork
from inbox.messages import events
from inbox.messages import repository as rows


class Revisions:
    """Each is idempotent and in favour of the later time, because webhooks come twice and in any order."""

    async def apply(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        message_id: UUID,
        inbound: MessageEdited | MessageUnsent | ReactionChanged,
    ) -> None:
        match inbound:
            case MessageEdited():
                parts = orjson.dumps(inbound.parts)
                changed = await rows.replace_parts(unit, workspace_id, message_id, parts, inbound.occurred_at)
            case MessageUnsent():
                changed = await rows.unsend(unit, workspace_id, message_id, inbound.occurred_at)
            case ReactionChanged():
                moved = await rows.react(
                    unit, workspace_id, message_id, _actor(inbound), inbound.emoji, inbound.occurred_at
                )
                changed = await rows.find(unit, workspace_id, message_id) if moved else None
        if changed is not None:
            unit.record(events.updated(workspace_id, changed))

    async def reachability(
        self, unit: UnitOfWork, workspace_id: UUID, identity_id: UUID, inbound: ReachabilityChanged
    ) -> None:
        reason = None if inbound.reachable else inbound.reason
        contact = await contact_rows.set_reachability(unit, workspace_id, identity_id, reason)
        if contact is not None:
            unit.record(contact_events.updated(workspace_id, contact))

    async def reached(self, unit: UnitOfWork, workspace_id: UUID, identity_id: UUID) -> None:
        """Somebody whom we could not reach wrote to us: they can be reached."""
        contact = await contact_rows.set_reachability(unit, workspace_id, identity_id, None)
        if contact is not None:
            unit.record(contact_events.updated(workspace_id, contact))

    async def preference(
        self, unit: UnitOfWork, workspace_id: UUID, identity_id: UUID, inbound: PreferenceChanged
    ) -> None:
        await contact_rows.set_marketing(unit, workspace_id, identity_id, wanted=inbound.wanted)


def _actor(inbound: ReactionChanged) -> str:
    if inbound.by_business:
        return "business"
    if inbound.author is None or not inbound.author.addresses:
        return "contact"
    address = inbound.author.addresses[0]
    return f"{address.kind}:{address.value}"
