"""REST of files: metadata and links, upload, another try, retention of a channel."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from starlette.requests import Request

from inbox.agents.origin import BaseUrl
from inbox.agents.principal import Principal
from inbox.kernel.errors import TooLarge
from inbox.kernel.web import Query, delete, get, post, put
from inbox.media.schemas import MediaOut, RetentionIn, RetentionView, UploadQuery
from inbox.media.service import ChannelUnknown, FileRefused, Media, MediaUnknown, NothingToRetry, StoreAway
from inbox.media.uploads import opened


class MediaRoutes:
    """Files of messages. Their bytes are served by short-lived links, which these answers hold."""

    def __init__(self, media: Media) -> None:
        self._media = media

    @get("/v1/media/{media_id}", errors=(MediaUnknown,))
    async def read(self, caller: Principal, base_url: BaseUrl, media_id: UUID) -> MediaOut:
        """What is known about a file, and a link to it where there is a copy."""
        return await self._media.read(caller, media_id, base_url)

    @post("/v1/media/{media_id}/retry", status=202, errors=(MediaUnknown, NothingToRetry))
    async def retry(self, caller: Principal, base_url: BaseUrl, media_id: UUID) -> MediaOut:
        """Fetch a file again whose fetch failed. How it ends shows in a `message.updated` event."""
        return await self._media.retry(caller, media_id, base_url)

    @post("/v1/media", status=201, errors=(TooLarge, FileRefused, StoreAway))
    async def upload(
        self, caller: Principal, base_url: BaseUrl, request: Request, query: Annotated[UploadQuery, Query()]
    ) -> MediaOut:
        """Upload a file to send: name its `media_id` in a `media` part within seven days.

        The body is the file itself, with its `Content-Type`; or `multipart/form-data` with one file. What it is,
        its bytes decide. Whether a channel takes it is checked when it is sent.
        """
        caller.require("messages.send")  # before the file is read
        async with opened(request, limit=self._media.max_bytes) as upload:
            return await self._media.upload(
                caller,
                upload.chunks,
                claimed=upload.claimed,
                filename=query.filename or upload.filename,
                kind=query.kind,
                base_url=base_url,
            )

    @get("/v1/channels/{channel_id}/media-retention", errors=(ChannelUnknown,))
    async def retention(self, caller: Principal, channel_id: UUID) -> RetentionView:
        """How long files of this channel are kept."""
        return await self._media.retention(caller, channel_id)

    @put("/v1/channels/{channel_id}/media-retention", errors=(ChannelUnknown,))
    async def set_retention(self, caller: Principal, channel_id: UUID, body: RetentionIn) -> RetentionView:
        """Keep files of this channel for so many days, counted from when they came or were last sent.

        Files that are older go with the next upkeep, within minutes.
        """
        return await self._media.set_retention(caller, channel_id, body.days)

    @delete("/v1/channels/{channel_id}/media-retention", status=200, errors=(ChannelUnknown,))
    async def clear_retention(self, caller: Principal, channel_id: UUID) -> RetentionView:
        """Keep files of this channel as long as the installation says."""
        return await self._media.clear_retention(caller, channel_id)
