"""What messages bring and take with them, inside the transaction that stores, sends or unsends them.

Invariant: a file of a message, its use and the job that fetches it exist exactly when the message does; what a client
is shown of a part never holds the provider's ids or links. Nothing here does I/O besides the database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from channels.content import MediaPart, MediaRef, Part
from inbox.kernel.database import UnitOfWork
from inbox.kernel.ids import new_id
from inbox.kernel.jobs import Jobs, NewJob
from inbox.media import repository as rows
from inbox.media.content import bare, safe_name
from inbox.media.repository import NewMedia
from inbox.media.schemas import MediaView

FETCH: Final = "media.fetch"
REMOVE: Final = "media.remove"
ATTEMPTS: Final = 16
"""With the usual back-off: an hour of short waits, then one each hour for five more."""


@dataclass(frozen=True, slots=True)
class Described:
    """The parts of a message as they are stored and shown, and the files that they bring."""

    parts: Sequence[object]
    new: list[NewMedia] = field(default_factory=list)


class Attachments:
    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def describe(
        self, message_id: UUID, channel_id: UUID, parts: Sequence[Part], known: Mapping[bytes, MediaView] | None = None
    ) -> Described:
        """``known``: files that the message has already (``rows.of_message``); an edit brings them again."""
        if not any(isinstance(part, MediaPart) and part.media is not None for part in parts):
            return Described(parts)
        shown: list[object] = []
        new: list[NewMedia] = []
        views = dict(known or {})
        for part in parts:
            if not isinstance(part, MediaPart) or part.media is None:
                shown.append(part)
                continue
            source = _source(part.media)
            if source not in views:
                views[source] = _first_view(part, part.media)
                ref = part.media if part.media.storable else None
                new.append(NewMedia(views[source].id, message_id, channel_id, views[source], ref, source))
            shown.append(_shown(part, views[source]))
        return Described(shown, new)

    async def known(self, unit: UnitOfWork, workspace_id: UUID, message_id: UUID) -> Mapping[bytes, MediaView]:
        return await rows.of_message(unit, workspace_id, message_id)

    async def expect(self, unit: UnitOfWork, workspace_id: UUID, new: Sequence[NewMedia]) -> None:
        """Rows and jobs for the files of a whole batch: two statements, or none."""
        if not new:
            return
        await rows.insert_many(unit, workspace_id, new)
        await self._jobs.enqueue_all(
            unit, [fetch_job(workspace_id, one.id) for one in new if one.view.state == "pending"]
        )

    async def forget(self, unit: UnitOfWork, workspace_id: UUID, message_ids: Sequence[UUID]) -> None:
        """These messages were unsent or deleted: files that no other message uses go too, their bytes by a job."""
        gone = await rows.drop_uses(unit, workspace_id, message_ids)
        await self._jobs.enqueue_all(unit, [remove_job(workspace_id, media_id) for media_id in gone])


def fetch_job(workspace_id: UUID, media_id: UUID) -> NewJob:
    return NewJob(workspace_id, FETCH, {"media_id": str(media_id)}, key=str(media_id), max_attempts=ATTEMPTS)


def remove_job(workspace_id: UUID, media_id: UUID) -> NewJob:
    return NewJob(workspace_id, REMOVE, {"media_id": str(media_id)}, key=str(media_id), max_attempts=ATTEMPTS)


def _source(ref: MediaRef) -> bytes:
    return hashlib.sha256((f"id:{ref.id}" if ref.id is not None else f"url:{ref.url}").encode()).digest()


def _first_view(part: MediaPart, ref: MediaRef) -> MediaView:
    return MediaView(
        id=new_id(),
        kind=part.type,
        state="pending" if ref.storable else "not_kept",
        mime_type=bare(ref.mime_type),
        size=ref.size if ref.size is not None and 0 <= ref.size < 2**63 else None,
        width=_side(ref.width),
        height=_side(ref.height),
        duration=ref.duration,
        filename=safe_name(ref.filename),
    )


def _side(pixels: int | None) -> int | None:
    return pixels if pixels is not None and 0 < pixels < 2**31 else None


def _shown(part: MediaPart, view: MediaView) -> dict[str, object]:
    return {
        "type": part.type,
        "media": view,
        "caption": part.caption,
        "entities": part.entities,
        "emoji": part.emoji,
    }
