"""The SQL that stores messages as they come in, a batch at a time, and how they look before they are read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson

from inbox.kernel.database import UnitOfWork
from inbox.messages.schemas import AuthorView, MessageView


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A row to insert. ``parts`` and ``referral`` are encoded JSON."""

    id: UUID
    conversation_id: UUID
    channel_id: UUID
    number: int
    direction: str
    author_kind: str
    author_id: UUID | None
    author_name: str | None
    external_id: str | None
    parts: bytes
    status: str | None
    reply_to_external_id: str | None
    reply_to_id: UUID | None
    forwarded: bool
    referral: bytes | None
    album: str | None
    occurred_at: datetime
    created_at: datetime
    edited_at: datetime | None


async def insert_many(unit: UnitOfWork, workspace_id: UUID, new: Sequence[NewMessage]) -> int:
    """How many were inserted; fewer than given when another transaction stored the same external id meanwhile."""
    inserted = await unit.execute(
        """
        INSERT INTO messages (workspace_id, id, conversation_id, channel_id, number, direction, author_kind, author_id,
            author_name, external_id, parts, status, reply_to_external_id, reply_to_id, forwarded, referral, album,
            occurred_at, created_at, edited_at)
        SELECT $1, * FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[], $6::text[], $7::text[], $8::uuid[],
            $9::text[], $10::text[], $11::jsonb[], $12::text[], $13::text[], $14::uuid[], $15::bool[], $16::jsonb[],
            $17::text[], $18::timestamptz[], $19::timestamptz[], $20::timestamptz[])
        ON CONFLICT (workspace_id, channel_id, external_id) DO NOTHING
        """,
        workspace_id,
        [m.id for m in new],
        [m.conversation_id for m in new],
        [m.channel_id for m in new],
        [m.number for m in new],
        [m.direction for m in new],
        [m.author_kind for m in new],
        [m.author_id for m in new],
        [m.author_name for m in new],
        [m.external_id for m in new],
        [m.parts for m in new],
        [m.status for m in new],
        [m.reply_to_external_id for m in new],
        [m.reply_to_id for m in new],
        [m.forwarded for m in new],
        [m.referral for m in new],
        [m.album for m in new],
        [m.occurred_at for m in new],
        [m.created_at for m in new],
        [m.edited_at for m in new],
    )
    return int(inserted.rpartition(" ")[2])


def view(message: NewMessage) -> MessageView:
    """As it will be read back, without reading it back. Encoded parts go into the event as they are."""
    return MessageView(
        id=message.id,
        conversation_id=message.conversation_id,
        channel_id=message.channel_id,
        number=message.number,
        direction=message.direction,  # type: ignore[arg-type]
        author=AuthorView(message.author_kind, message.author_id, message.author_name),  # type: ignore[arg-type]
        parts=orjson.Fragment(message.parts),  # type: ignore[arg-type]
        status=message.status,  # type: ignore[arg-type]
        status_at=None,
        fault=None,
        reply_to_id=message.reply_to_id,
        forwarded=message.forwarded,
        referral=None if message.referral is None else orjson.Fragment(message.referral),  # type: ignore[arg-type]
        album=message.album,
        reactions=[],
        client_token=None,
        versions=1,
        occurred_at=message.occurred_at,
        created_at=message.created_at,
        edited_at=message.edited_at,
        unsent_at=None,
        origin=None,
    )
