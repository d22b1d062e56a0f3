"""All SQL that makes two threads one: messages, deliveries, and how far each agent has read."""

from __future__ import annotations

from uuid import UUID

from inbox.kernel.database import UnitOfWork


async def both_in_the_air(unit: UnitOfWork, workspace_id: UUID, source: UUID, target: UUID) -> bool:
    """Whether each of the two has a request at the provider now: one conversation may have only one."""
    sending: int = await unit.fetchval(
        """SELECT count(*) FROM deliveries
           WHERE workspace_id = $1 AND conversation_id = ANY($2) AND state = 'sending'""",
        workspace_id,
        [source, target],
    )
    return sending > 1


async def move_thread(unit: UnitOfWork, workspace_id: UUID, source: UUID, target: UUID) -> tuple[int, int]:
    """Append the messages and deliveries of one conversation to another, renumbered by acceptance in all.

    Nobody's unread messages become read: a reading position ends before the first message that its agent had not read
    in either thread. Returns the last number of the target, and the last one of an inbound message.
    """
    threads = [source, target]
    # Numbers are unique in a conversation at every moment: the old ones step aside first.
    await unit.execute(
        "UPDATE messages SET number = -number WHERE workspace_id = $1 AND conversation_id = ANY($2)",
        workspace_id,
        threads,
    )
    await unit.execute(READ_POSITIONS, workspace_id, threads, target)
    await unit.execute(
        "DELETE FROM reading_positions WHERE workspace_id = $1 AND conversation_id = $2", workspace_id, source
    )
    last = await unit.fetchrow(RENUMBER, workspace_id, threads, target)
    await unit.execute(HOLDS, workspace_id, threads)
    await unit.execute(
        "UPDATE deliveries SET conversation_id = $3 WHERE workspace_id = $1 AND conversation_id = $2",
        workspace_id,
        source,
        target,
    )
    assert last is not None
    return last[0], last[1]


HOLDS = """
UPDATE deliveries d SET hold_after_number =
    CASE WHEN v.last_inbound_number > d.hold_after_number THEN 0 ELSE m.number END
FROM messages m, conversations v
WHERE d.workspace_id = $1 AND d.conversation_id = ANY($2) AND d.hold_after_number IS NOT NULL AND d.state = 'queued'
  AND m.workspace_id = $1 AND m.id = d.message_id AND v.workspace_id = $1 AND v.id = d.conversation_id
"""
"""Who waits for the customer's silence: a reply that came before stays one; from now on any after its own message is
one, in whichever of the threads it arrived. The conversations still say what they said before."""

RENUMBERED = """
    SELECT id, conversation_id, direction, -number AS old, row_number() OVER (ORDER BY created_at, id) AS number
    FROM messages WHERE workspace_id = $1 AND conversation_id = ANY($2)
"""

READ_POSITIONS = f"""
WITH renumbered AS ({RENUMBERED}), readers AS (
    SELECT DISTINCT agent_id FROM reading_positions WHERE workspace_id = $1 AND conversation_id = ANY($2)
), reached AS (
    SELECT reader.agent_id, coalesce(
        min(m.number) FILTER (WHERE m.direction = 'in' AND m.old > coalesce(p.number, 0)) - 1, max(m.number), 0
    ) AS number
    FROM readers reader CROSS JOIN renumbered m
    LEFT JOIN reading_positions p
      ON p.workspace_id = $1 AND p.conversation_id = m.conversation_id AND p.agent_id = reader.agent_id
    GROUP BY reader.agent_id
)
INSERT INTO reading_positions (workspace_id, conversation_id, agent_id, number, read_at)
SELECT $1, $3, agent_id, number, now() FROM reached
ON CONFLICT (workspace_id, conversation_id, agent_id) DO UPDATE SET number = excluded.number
"""

RENUMBER = f"""
WITH renumbered AS ({RENUMBERED}), moved AS (
    UPDATE messages m SET conversation_id = $3, number = r.number FROM renumbered r
    WHERE m.workspace_id = $1 AND m.id = r.id RETURNING r.number, m.direction
)
SELECT coalesce(max(number), 0), coalesce(max(number) FILTER (WHERE direction = 'in'), 0) FROM moved
"""
