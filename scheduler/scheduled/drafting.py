"""What is written now has to be sendable then, as far as that can be known: checked as a send is, but not queued."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final, Protocol
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.connections.directory import Channel
from inbox.conversations.composer import Standing
from inbox.kernel.database import UnitOfWork
from inbox.kernel.errors import Invalid
from inbox.media.schemas import MediaView
from inbox.messages import repository as message_rows
from inbox.messages.composing import Composed, Composer, ContentTooLarge, media_ids
from inbox.messages.schemas import SendIn, TemplateIn
from inbox.messages.sending import ComposerRefused, plan
from inbox.templates.service import Templates

KEPT_BEYOND: Final = timedelta(days=30)
"""How much longer than to its time the files of a message count as used: it may be held for a person, or postponed."""


class Files(Protocol):
    """Our stored files, as far as something for later needs them."""

    async def outgoing(
        self, unit: UnitOfWork, workspace_id: UUID, media_ids: Collection[UUID], *, caller: Principal | None
    ) -> dict[UUID, MediaView]: ...

    async def keep_until(
        self, unit: UnitOfWork, workspace_id: UUID, media_ids: Collection[UUID], until: datetime
    ) -> bool: ...


class Drafts:
    def __init__(self, files: Files, templates: Templates) -> None:
        self._files = files
        self._templates = templates

    async def compose(
        self, unit: UnitOfWork, caller: Principal | None, channel: Channel, conversation_id: UUID, order: SendIn
    ) -> Composed:
        """Raises ``Invalid``, ``ContentTooLarge``. ``caller`` None: the files were theirs when it was written."""
        workspace_id = channel.workspace_id
        if order.reply_to_id is not None:
            known = await message_rows.external_id_of(unit, workspace_id, conversation_id, order.reply_to_id)
            if known is None:
                raise Invalid.at("/body/reply_to_id", "the provider knows no such message in this conversation")
        files = await self._files.outgoing(unit, workspace_id, media_ids(order.parts), caller=caller)
        composed = await Composer(self._templates, unit, channel, conversation_id, files).compose(order.parts)
        plan(channel, composed.parts)
        return composed

    async def check_fallback(
        self, unit: UnitOfWork, caller: Principal, channel: Channel, conversation_id: UUID, template: TemplateIn
    ) -> None:
        """The same for the template that goes out in its place."""
        try:
            await self.compose(unit, caller, channel, conversation_id, SendIn(parts=[template]))
        except ContentTooLarge as refused:
            raise ContentTooLarge(refused.detail, **{**refused.facts, "pointer": "/body/fallback"}) from None
        except Invalid as refused:
            raise Invalid.at("/body/fallback", refused.faults[0].detail, refused.faults[0].code) from None

    async def keep(
        self, unit: UnitOfWork, workspace_id: UUID, order: SendIn, fallback: TemplateIn | None, due_at: datetime
    ) -> None:
        """Let no retention delete what is to be sent then."""
        named = media_ids([*order.parts, *([] if fallback is None else [fallback])])
        if not await self._files.keep_until(unit, workspace_id, named, due_at + KEPT_BEYOND):
            raise Invalid.at("/body/parts", "one of these files was just deleted", "media_unknown")


def refuse_if_never(standing: Standing, now: datetime, order: SendIn) -> None:
    """Raises ``ComposerRefused`` for what time alone does not mend. The window is for when it is due."""
    refusal = standing.refusal(now, purpose=order.purpose, template=True, marketing=order.purpose == "marketing")
    if refusal is not None and refusal.reason != "window_closed":
        raise ComposerRefused(refusal.detail, reason=refusal.reason)
