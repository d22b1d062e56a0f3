"""What happens to a message after it was stored, and what providers say about a person's reachability."""

from __future__ import annotations

from uuid import UUID

from channels.inbound import (
    Echo,
    Inbound,
    MessageEdited,
    MessageReceived,
    MessageUnsent,
    PreferenceChanged,
    ReachabilityChanged,
    ReactionChanged,
)
from contacts import reachability
from inbox.conversations import repository as thread_rows
from inbox.kernel.database import UnitOfWork
from inbox.kernel.encoding import encode
from inbox.media.attachments import Attachments
from inbox.messages import events
from inbox.messages import repository as rows
from inbox.messages.repository import ExternalRef
from inbox.messages.schemas import MessageView


class Revisions:
    """Each is idempotent and in favour of the later time, because webhooks come twice and in any order."""

    def __init__(self, attachments: Attachments) -> None:
        self._attachments = attachments

    async def apply(
        self,
        unit: UnitOfWork,
        workspace_id: UUID,
        ref: ExternalRef,
        inbound: MessageEdited | MessageUnsent | ReactionChanged,
    ) -> MessageView | None:
        """The message as it is now, or ``None`` when nothing changed."""
        message_id = ref.message_id
        match inbound:
            case MessageEdited():
                changed = await self._edit(unit, workspace_id, ref, inbound)
            case MessageUnsent():
                changed = await rows.unsend(unit, workspace_id, message_id, inbound.occurred_at)
                await self._attachments.forget(unit, workspace_id, [message_id])
            case ReactionChanged():
                moved = await rows.react(
                    unit, workspace_id, message_id, _actor(inbound), inbound.emoji, inbound.occurred_at
                )
                changed = await rows.find(unit, workspace_id, message_id) if moved else None
        if changed is not None:
            holder_id = await thread_rows.find_holder(unit, workspace_id, ref.conversation_id)
            unit.record(events.updated(workspace_id, changed, holder_id))
        return changed

    async def _edit(
        self, unit: UnitOfWork, workspace_id: UUID, ref: ExternalRef, inbound: MessageEdited
    ) -> MessageView | None:
        """An edit of a caption brings the same file again: it is not a new one."""
        known = await self._attachments.known(unit, workspace_id, ref.message_id)
        described = self._attachments.describe(ref.message_id, ref.channel_id, inbound.parts, known)
        parts = encode(described.parts)
        changed = await rows.replace_parts(unit, workspace_id, ref.message_id, parts, inbound.occurred_at)
        if changed is not None:
            await self._attachments.expect(unit, workspace_id, described.new)
        return changed

    async def reachability(
        self, unit: UnitOfWork, workspace_id: UUID, identity_id: UUID, inbound: ReachabilityChanged
    ) -> None:
        reason = None if inbound.reachable else inbound.reason
        await reachability.set_unreachable(unit, workspace_id, identity_id, reason)

    async def reached(self, unit: UnitOfWork, workspace_id: UUID, identity_id: UUID) -> None:
        """Somebody whom we could not reach wrote to us: they can be reached."""
        await reachability.set_unreachable(unit, workspace_id, identity_id, None)

    async def preference(
        self, unit: UnitOfWork, workspace_id: UUID, identity_id: UUID, inbound: PreferenceChanged
    ) -> None:
        """The person asked for no marketing, or for it again."""
        if inbound.wanted:
            await reachability.resume_marketing(unit, workspace_id, identity_id)
        else:
            await reachability.stop_marketing(unit, workspace_id, identity_id, "asked")


def only_known_wording(inbound: Inbound) -> MessageReceived | None:
    """An edit of a message that will not come any more, as the message that it became. ``None`` where that is no edit,
    or nobody can say whose.

    It has the id of the original: should that come after all, it is known already, and the later words stand.
    """
    if not isinstance(inbound, MessageEdited) or inbound.peer is None or not inbound.peer.addresses:
        return None
    return MessageReceived(
        account_id=inbound.account_id,
        external_id=inbound.external_id,
        peer=inbound.peer,
        parts=inbound.parts,
        occurred_at=inbound.occurred_at,
        author=inbound.author,
        echo=Echo() if inbound.by_business else None,
        opens_window=False,
        edited_at=inbound.occurred_at,
    )


def _actor(inbound: ReactionChanged) -> str:
    if inbound.by_business:
        return "business"
    if inbound.author is None or not inbound.author.addresses:
        return "contact"
    address = inbound.author.addresses[0]
    return f"{address.kind}:{address.value}"
