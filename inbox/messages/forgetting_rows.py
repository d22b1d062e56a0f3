"""The SQL that takes content out of the log's stored events. Positions, kinds and audiences stay as they are (P3)."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from inbox.kernel.database import UnitOfWork

SLACK: Final = "interval '1 day'"
"""Events are younger than the message they tell of, by clocks of different machines; it spares older partitions."""


async def forget_message(unit: UnitOfWork, workspace_id: UUID, message_id: UUID, preview: str) -> int:
    """Empty every event of a message that was unsent, as it is empty itself; ``preview`` stands for it in lists.

    Does nothing for a message that is not unsent. Returns how many events changed.
    """
    row = await unit.fetchrow(MESSAGE, workspace_id, message_id)
    if row is None:
        return 0
    conversation_id, number, created_at, unsent_at = row
    told = await unit.fetch(TOLD, workspace_id, conversation_id, created_at, str(message_id))
    threads: list[UUID] = list({thread: None for thread, _ in told} | {conversation_id: None})
    numbers = [(thread, place) for thread, place in told if place is not None] + [(conversation_id, number)]
    emptied = await unit.fetchval(EMPTY_MESSAGE, workspace_id, threads, created_at, str(message_id), unsent_at)
    retold = await unit.fetchval(
        RETELL,
        workspace_id,
        [thread for thread, _ in numbers],
        [place for _, place in numbers],
        created_at,
        preview,
    )
    return int(emptied + retold)


async def forget_set_aside(unit: UnitOfWork, workspace_id: UUID, aside_id: UUID) -> int:
    """The same for what was set aside."""
    return int(await unit.fetchval(EMPTY_ASIDE, workspace_id, aside_id, str(aside_id)))


MESSAGE = """
SELECT conversation_id, number, created_at, unsent_at FROM messages
WHERE workspace_id = $1 AND id = $2 AND unsent_at IS NOT NULL
"""

TOLD = f"""
WITH RECURSIVE threads (id) AS (
    SELECT $2::uuid
    UNION
    SELECT (e.payload->>'merged')::uuid FROM threads t JOIN events e
      ON e.workspace_id = $1 AND e.conversation_id = t.id AND e.kind = 'conversation.merged'
)
SELECT DISTINCT e.conversation_id, (e.payload->'message'->>'number')::bigint
FROM threads t JOIN events e ON e.workspace_id = $1 AND e.conversation_id = t.id
WHERE e.created_at >= $3::timestamptz - {SLACK} AND e.kind IN ('message.created', 'message.updated')
  AND e.payload->'message'->>'id' = $4
"""
"""Where and under which numbers the log told of it: joined threads are renumbered, and keep events of their own."""

EMPTY_MESSAGE = f"""
WITH emptied AS (
    UPDATE events e SET payload = jsonb_set(e.payload::jsonb, '{{message}}', (e.payload::jsonb->'message')
        || jsonb_build_object('parts', '[]'::jsonb, 'referral', NULL, 'unsent_at', $5::timestamptz))::json
    WHERE e.workspace_id = $1 AND e.conversation_id = ANY($2) AND e.created_at >= $3::timestamptz - {SLACK}
      AND e.kind IN ('message.created', 'message.updated') AND e.payload->'message'->>'id' = $4
      AND (e.payload->'message'->'parts')::text <> '[]'
    RETURNING 1
)
SELECT count(*) FROM emptied
"""

RETELL = f"""
WITH retold AS (
    UPDATE events e
    SET payload = jsonb_set(e.payload::jsonb, '{{conversation,last_message_preview}}', to_jsonb($5::text))::json
    FROM unnest($2::uuid[], $3::bigint[]) AS place (conversation_id, number)
    WHERE e.workspace_id = $1 AND e.conversation_id = place.conversation_id
      AND e.created_at >= $4::timestamptz - {SLACK}
      AND (e.payload->'conversation'->>'last_number')::bigint = place.number
      AND e.payload->'conversation'->>'last_message_preview' <> $5
    RETURNING 1
)
SELECT count(*) FROM retold
"""
"""Whatever carries the conversation while that message was its last one: also what tells of bots and of closing."""

EMPTY_ASIDE = f"""
WITH emptied AS (
    UPDATE events e SET payload = jsonb_set(e.payload::jsonb, '{{set_aside}}', (e.payload::jsonb->'set_aside')
        || jsonb_build_object('parts', '[]'::jsonb, 'unsent_at', to_jsonb(s.unsent_at)))::json
    FROM set_aside_messages s
    WHERE s.workspace_id = $1 AND s.id = $2 AND s.unsent_at IS NOT NULL
      AND e.workspace_id = $1 AND e.conversation_id IS NULL AND e.created_at >= s.created_at - {SLACK}
      AND e.kind IN ('set_aside.created', 'set_aside.updated') AND e.payload->'set_aside'->>'id' = $3
      AND (e.payload->'set_aside'->'parts')::text <> '[]'
    RETURNING 1
)
SELECT count(*) FROM emptied
"""
