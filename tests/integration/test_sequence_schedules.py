"""Random schedules: whatever happens in whatever order, nobody gets a step twice, and nothing after a stop.

The provider takes, refuses or leaves us in doubt at random. A failure names its seed, which repeats it.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sequence_world import Stage, make_stage, step

from channels.types import Fault
from inbox.blocking.pausable import Slots
from inbox.blocking.schemas import BlockIn
from inbox.conversations.repository import Thread
from inbox.kernel.errors import Conflict
from scheduler.sequences.schemas import SequenceView

MOVES = 180
PEOPLE = 4
REFUSED = Fault("invalid_recipient", "Nobody there.")
ARRIVED = ("sent", "uncertain", "delivered", "read")


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with make_stage(database_url) as stage:
        yield stage


@dataclass
class Play:
    stage: Stage
    chance: random.Random
    sequence: SequenceView
    threads: list[Thread]
    numbers: dict[UUID, int]
    ended: dict[UUID, set[UUID]] = field(default_factory=dict)
    """Messages that had left when the enrollment ended."""
    moves: list[str] = field(default_factory=list)

    @property
    def somebody(self) -> Thread:
        return self.chance.choice(self.threads)

    async def enrollments(self, *states: str) -> list[UUID]:
        found = await self.stage.world.node.fetch(
            "SELECT id FROM enrollments WHERE cardinality($1::text[]) = 0 OR state = ANY($1) ORDER BY id", list(states)
        )
        return [row[0] for row in found]

    async def one(self, *states: str) -> UUID | None:
        found = await self.enrollments(*states)
        return self.chance.choice(found) if found else None

    # --- moves --------------------------------------------------------------------------------------------------------

    async def enrol(self) -> None:
        await self.stage.verdict(self.sequence, self.somebody.contact_id, follows=self.chance.random() < 0.5)

    async def time_passes(self) -> None:
        for one in await self.enrollments("active"):
            if self.chance.random() < 0.7:
                await self.stage.bring_forward(one, timedelta(seconds=self.chance.choice([*[0] * 11, 9000])))
        await self.stage.fire()

    async def deliver(self) -> None:
        outcomes: list[Any] = [*[None] * 6, REFUSED, REFUSED, ConnectionResetError("gone")]
        self.stage.world.adapter.play = lambda account, envelope: self.chance.choice(outcomes)
        await self.stage.deliver()

    async def reply(self) -> None:
        await self.stage.reply(self.numbers[self.somebody.id])

    async def tag(self) -> None:
        await self.stage.tag(self.somebody, "customer")

    async def happen(self) -> None:
        await self.stage.happen(self.somebody, "order")

    async def close(self) -> None:
        await self.stage.close(self.somebody)

    async def block(self) -> None:
        await self.stage.blocks.block(self.stage.caller, self.somebody.contact_id, BlockIn())

    async def unblock(self) -> None:
        thread = self.somebody
        await self.stage.execute(
            "UPDATE contacts SET blocked_at = NULL, blocked_by = NULL, blocked_reason = NULL WHERE id = $1",
            thread.contact_id,
        )
        now = await self.stage.world.node.fetchval("SELECT now()")
        settle = self.stage.room.paused
        if self.chance.random() < 0.7:
            await settle.resume(self.stage.caller, thread.contact_id, None, Slots(now))
        else:
            await settle.cancel(self.stage.caller, thread.contact_id, None)

    async def decide(self) -> None:
        enrollment = await self.one("active", "paused")
        if enrollment is None:
            return
        lead = self.stage.room.enrollments
        decisions: list[Callable[[], Awaitable[object]]] = [
            lambda: lead.pause(self.stage.caller, enrollment),
            lambda: lead.resume(self.stage.caller, enrollment, now=True),
            lambda: lead.resume(self.stage.caller, enrollment, now=False),
            lambda: lead.skip(self.stage.caller, enrollment),
            lambda: lead.move(self.stage.caller, enrollment, follows=None),
            lambda: lead.leave(self.stage.caller, enrollment),
        ]
        try:
            await self.chance.choice(decisions)()
        except Conflict as refused:
            self.moves.append(refused.code)

    async def take_back(self) -> None:
        """One message, by whoever sees it in the thread."""
        queued = await self.stage.world.node.fetch("SELECT id FROM messages WHERE status = 'queued' ORDER BY id")
        if queued:
            await self.stage.world.service.cancel(self.stage.caller, self.chance.choice(queued)[0])

    async def rewrite(self) -> None:
        keys = self.chance.sample(["a", "b", "c", "d", "e"], self.chance.randint(1, 4))
        await self.stage.publish(self.sequence, *[step(key, seconds=60) for key in keys], **RULES)

    async def move(self) -> None:
        stops = [self.reply, self.tag, self.happen, self.close, self.block, self.take_back, self.rewrite]
        often = [*[self.enrol] * 5, *[self.time_passes] * 9, *[self.deliver] * 9, *[self.unblock] * 2]
        moves = stops if self.chance.random() < 0.12 else [*often, *[self.decide] * 3]
        chosen = self.chance.choice(moves)
        self.moves.append(chosen.__name__)
        await chosen()
        await self.check()

    # --- what always holds --------------------------------------------------------------------------------------------

    async def check(self) -> None:
        node, told = self.stage.world.node, self.moves[-12:]
        twice = await node.fetch(
            """SELECT t.enrollment_id, t.step_key FROM enrollment_steps t JOIN messages m ON m.id = t.message_id
               WHERE m.status = ANY($1) GROUP BY 1, 2 HAVING count(*) > 1""",
            [*ARRIVED, "sending", "queued"],
        )
        assert not twice, told
        orphans = await node.fetchval(
            """SELECT count(*) FROM messages m WHERE m.origin_kind = 'sequence'
               AND NOT EXISTS (SELECT FROM enrollment_steps t WHERE t.message_id = m.id)"""
        )
        assert orphans == 0, told
        stuck = await node.fetch(
            """SELECT e.id FROM enrollments e WHERE e.state = 'active' AND e.message_id IS NULL AND NOT EXISTS (
                   SELECT FROM timers t WHERE t.kind = 'sequence.step'
                   AND t.key = e.id::text || '/' || e.timer_number::text)"""
        )
        assert not stuck, told
        for enrollment in await self.enrollments("stopped", "left", "finished"):
            left = await node.fetch(
                "SELECT id FROM messages WHERE origin_id = $1 AND status NOT IN ('queued', 'cancelled')", enrollment
            )
            assert {row[0] for row in left} <= self.ended.setdefault(enrollment, {row[0] for row in left}), told
            queued = await node.fetchval(
                "SELECT count(*) FROM messages WHERE origin_id = $1 AND status = 'queued'", enrollment
            )
            assert queued == 0, told
        blocked = await node.fetchval(
            """SELECT count(*) FROM enrollments e JOIN contacts c ON c.id = e.contact_id
               WHERE e.state = 'active' AND c.blocked_at IS NOT NULL"""
        )
        assert blocked == 0, told


RULES: dict[str, Any] = {
    "stop": {"tags": ["customer"], "events": ["order"], "closed": True},
    "failure": {"policy": "retry", "retries": 1, "after": {"value": 1, "unit": "seconds"}},
    "late": {"policy": "skip", "after": {"value": 1, "unit": "hours"}},
}


@pytest.mark.parametrize("seed", range(6))
async def test_nobody_gets_a_step_twice_nor_one_after_a_stop(stage: Stage, seed: int) -> None:
    sequence = await stage.sequence(step("a"), step("b", seconds=60), step("c", seconds=60), **RULES)
    threads = [await stage.world.conversation() for _ in range(PEOPLE)]
    numbers = {thread.id: number for number, thread in enumerate(threads, 1)}
    play = Play(stage, random.Random(seed), sequence, threads, numbers)
    for _ in range(MOVES):
        await play.move()
        # Tags and closed threads would stop everything after a while: people come back.
        if play.chance.random() < 0.15:
            await stage.execute("UPDATE contacts SET tags = '{}'")
            await stage.execute("UPDATE conversations SET status = 'open' WHERE status = 'closed'")
    assert await stage.world.node.fetchval("SELECT count(*) FROM enrollment_steps WHERE state = 'sent'") > 3
