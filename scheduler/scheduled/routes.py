"""REST of scheduled messages."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from contacts.service import ContactUnknown
from inbox.agents.principal import Principal
from inbox.conversations.service import ConversationUnknown
from inbox.kernel.errors import Forbidden
from inbox.kernel.versions import ETAG, IfMatch, VersionChanged, etag, wanted_version
from inbox.kernel.web import Answer, Query, delete, get, patch, post
from inbox.messages.composing import ContentTooLarge
from inbox.messages.routes import IdempotencyKey
from inbox.messages.sending import ComposerRefused, TokenReused
from scheduler.scheduled.changing import Changes
from scheduler.scheduled.errors import NotTheAuthor, ScheduledUnknown, TooLateToChange
from scheduler.scheduled.schemas import (
    ByTimeQuery,
    HistoryView,
    ResumeIn,
    ScheduledDetail,
    ScheduledPage,
    ScheduledQuery,
    ScheduledView,
    ScheduleIn,
    SchedulePatch,
)
from scheduler.scheduled.service import Scheduling

TAG = "scheduled_messages"
CHANGING = (Forbidden, NotTheAuthor, ScheduledUnknown, TooLateToChange, VersionChanged)


class ScheduledRoutes:
    def __init__(self, scheduling: Scheduling, changes: Changes) -> None:
        self._scheduling = scheduling
        self._changes = changes

    @post(
        "/v1/conversations/{conversation_id}/scheduled-messages",
        tag=TAG,
        status=201,
        errors=(Forbidden, ConversationUnknown, ComposerRefused, ContentTooLarge, TokenReused),
        also={200: "The key was used before: this is what it scheduled."},
        headers={**ETAG, "Idempotent-Replayed": "`true` when the key was used before"},
    )
    async def create(
        self, caller: Principal, conversation_id: UUID, body: ScheduleIn, idempotency_key: IdempotencyKey = None
    ) -> Answer[ScheduledView]:
        """Schedule a message: for an instant, a wall time of the contact or of a zone, or again and again.

        What could not be sent at all is refused now; whether it may go out is decided when its time comes, and once
        more when it leaves.
        """
        if idempotency_key is not None:
            body = body.model_copy(update={"client_token": idempotency_key})
        made = await self._scheduling.create(caller, conversation_id, body)
        tagged = etag(made.scheduled_message.version)
        if made.replayed:
            return Answer(made.scheduled_message, status=200, headers={**tagged, "Idempotent-Replayed": "true"})
        return Answer(made.scheduled_message, headers=tagged)

    @get("/v1/conversations/{conversation_id}/scheduled-messages", tag=TAG, errors=(ConversationUnknown,))
    async def of_conversation(
        self, caller: Principal, conversation_id: UUID, query: Annotated[ByTimeQuery, Query()]
    ) -> ScheduledPage:
        """What is, or was, scheduled in a conversation, also by colleagues."""
        return await self._scheduling.of_conversation(caller, conversation_id, query.whole())

    @get("/v1/contacts/{contact_id}/scheduled-messages", tag=TAG, errors=(ContactUnknown,))
    async def of_contact(
        self, caller: Principal, contact_id: UUID, query: Annotated[ByTimeQuery, Query()]
    ) -> ScheduledPage:
        """The same in all conversations of a contact."""
        return await self._scheduling.of_contact(caller, contact_id, query.whole())

    @get("/v1/scheduled-messages", tag=TAG)
    async def list(self, caller: Principal, query: Annotated[ScheduledQuery, Query()]) -> ScheduledPage:
        """Your own scheduled messages; supervisors and admins see everyone's."""
        return await self._scheduling.page(caller, query)

    @get("/v1/scheduled-messages/{scheduled_message_id}", tag=TAG, errors=(ScheduledUnknown,), headers=ETAG)
    async def read(self, caller: Principal, scheduled_message_id: UUID) -> Answer[ScheduledDetail]:
        """One scheduled message, with its content as the thread would show it."""
        detail = await self._scheduling.read(caller, scheduled_message_id)
        return Answer(detail, headers=etag(detail.scheduled_message.version))

    @get("/v1/scheduled-messages/{scheduled_message_id}/history", tag=TAG, errors=(ScheduledUnknown,))
    async def history(self, caller: Principal, scheduled_message_id: UUID) -> HistoryView:
        """Who did what to it and when, and what came of each occurrence of a recurring one."""
        return await self._scheduling.history(caller, scheduled_message_id)

    @patch(
        "/v1/scheduled-messages/{scheduled_message_id}",
        tag=TAG,
        errors=(*CHANGING, ContentTooLarge),
        headers=ETAG,
    )
    async def edit(
        self, caller: Principal, scheduled_message_id: UUID, body: SchedulePatch, if_match: IfMatch = None
    ) -> Answer[ScheduledView]:
        """Change what is sent, when, and under which conditions. A held one stays held; resume it.

        When its time came first this is refused with 409, and `state` and `what_happened` say how it stands.
        """
        version = wanted_version(if_match)
        return _tagged(await self._changes.edit(caller, scheduled_message_id, body, version=version))

    @delete("/v1/scheduled-messages/{scheduled_message_id}", tag=TAG, status=200, errors=CHANGING, headers=ETAG)
    async def cancel(
        self, caller: Principal, scheduled_message_id: UUID, if_match: IfMatch = None
    ) -> Answer[ScheduledView]:
        """Cancel it; also when its time has come, as long as nothing has left. After this answer it is never sent.

        Refused with 409 when that was first, with `state` and `what_happened`.
        """
        version = wanted_version(if_match)
        return _tagged(await self._changes.cancel(caller, scheduled_message_id, version=version))

    @post(
        "/v1/scheduled-messages/{scheduled_message_id}/send-now",
        tag=TAG,
        status=200,
        errors=(*CHANGING, ComposerRefused, ContentTooLarge),
        headers=ETAG,
    )
    async def send_now(
        self, caller: Principal, scheduled_message_id: UUID, if_match: IfMatch = None
    ) -> Answer[ScheduledView]:
        """Send it now, whatever its hours and conditions say; of a recurring one, one more in between."""
        version = wanted_version(if_match)
        return _tagged(await self._changes.send_now(caller, scheduled_message_id, version=version))

    @post(
        "/v1/scheduled-messages/{scheduled_message_id}/resume",
        tag=TAG,
        status=200,
        errors=(*CHANGING, ComposerRefused),
        headers=ETAG,
    )
    async def resume(
        self, caller: Principal, scheduled_message_id: UUID, body: ResumeIn, if_match: IfMatch = None
    ) -> Answer[ScheduledView]:
        """Let a held one wait for its time again; at once where that has passed and none is given."""
        version = wanted_version(if_match)
        return _tagged(await self._changes.resume(caller, scheduled_message_id, body, version=version))


def _tagged(changed: ScheduledView) -> Answer[ScheduledView]:
    return Answer(changed, headers=etag(changed.version))
