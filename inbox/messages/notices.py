"""What providers told us that is no message: kept, and shown to whoever looks after the channels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from inbox.agents.principal import Principal
from inbox.kernel.database import Database
from inbox.kernel.errors import Forbidden
from inbox.kernel.pages import ListQuery, Page
from inbox.kernel.web import Query, get
from inbox.messages import notice_rows as rows


@dataclass(frozen=True, slots=True)
class ChannelNoticeView:
    """``what`` is the provider's own name for it; ``data`` is what it sent."""

    id: UUID
    channel_id: UUID
    what: str
    data: Any
    created_at: datetime


class NoticeRoutes:
    def __init__(self, database: Database) -> None:
        self._database = database

    @get("/v1/channel-notices", tag="channels", errors=(Forbidden,))
    async def list(self, caller: Principal, query: Annotated[ListQuery, Query()]) -> Page[ChannelNoticeView]:
        """Events of the channels that are not messages: account notices, and kinds that are not supported yet.

        Newest first; kept for 30 days.
        """
        caller.require("channels.write")
        async with self._database.transaction(readonly=True) as unit:
            found = await rows.page(unit, caller.workspace_id, after=query.last_id(), limit=query.limit + 1)
        return query.page([ChannelNoticeView(*row) for row in found])
