"""100,000 timers due at once: they drain in order, and neither newcomers, other kinds nor replies wait for them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

import pytest
from scheduled_world import Stage, make_stage, order

from channels.capabilities import RateRule
from inbox.kernel.database import Database, UnitOfWork
from inbox.kernel.eventlog import EventLog
from inbox.kernel.timers import Timer, set_timer
from inbox.kernel.timers_firing import NEWCOMERS_TURN, TimerFiring
from inbox.messages.schemas import SendIn
from scheduler.clock import SchedulerClock

pytestmark = pytest.mark.timeout(120)

WORKSPACE = uuid4()
CROWD = 100_000
BATCH = 256


@dataclass
class Fired:
    """What a handler was given, batch by batch; noted when it was committed."""

    batches: list[list[Timer]] = field(default_factory=list)

    async def note(self, unit: UnitOfWork, timers: list[Timer]) -> None:
        unit.after_commit(lambda: self.batches.append(timers))

    @property
    def keys(self) -> list[str]:
        return [one.key for batch in self.batches for one in batch]

    def batch_of(self, key: str) -> int | None:
        return next((at for at, batch in enumerate(self.batches) if any(one.key == key for one in batch)), None)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, connections=6, event_log=EventLog())
    await database.start()
    yield database
    await database.stop()


@asynccontextmanager
async def ticking(firing: TimerFiring) -> AsyncIterator[None]:
    clock = SchedulerClock(firing)
    await clock.start()
    try:
        yield
    finally:
        await clock.stop()


async def crowd(database: Database, count: int = CROWD, *, kind: str = "crowd", workspace_id: UUID = WORKSPACE) -> None:
    """What a downtime left: due one millisecond after the other, the last of them ten seconds ago."""
    async with database.session() as connection:
        await connection.execute(
            """INSERT INTO timers (workspace_id, kind, key, due_at, next_at)
               SELECT $1, $2, lpad(n::text, 6, '0'), at, at
               FROM (SELECT n, now() - interval '10 s' - ($3 - n) * interval '1 ms' AS at
                     FROM generate_series(0, $3 - 1) n) due ORDER BY random()""",
            workspace_id,
            kind,
            count,
        )
        await connection.execute("ANALYZE timers")


async def put(database: Database, kind: str, key: str) -> None:
    async with database.transaction() as unit:
        await set_timer(unit, WORKSPACE, kind, key, await unit.fetchval("SELECT now()"))


async def test_a_hundred_thousand_drain_in_order_and_newcomers_do_not_wait_for_them(database: Database) -> None:
    """In order means: batch by batch, and within each; newcomers have every fourth batch."""
    await crowd(database)
    fired, other = Fired(), Fired()
    firing = TimerFiring(database, batch=BATCH)
    firing.register("crowd", fired.note)
    firing.register("other", other.note)
    waited: list[int] = []
    setting: list[int] = []
    standing_when_served: list[int] = []
    async with ticking(firing), asyncio.timeout(90):
        while len(fired.batches) < 10:
            await asyncio.sleep(0.005)
        for number in range(8):
            key, asked = f"new-{number}", len(fired.batches)
            await put(database, "crowd", key)
            before = len(fired.batches)  # from here on it is there: what fired while it was being set is no waiting
            setting.append(before - asked)
            await put(database, "other", key)
            while fired.batch_of(key) is None or other.batch_of(key) is None:
                await asyncio.sleep(0.005)
            at = fired.batch_of(key)
            assert at is not None
            waited.append(at - before)
            standing_when_served.append(CROWD - sum(map(len, fired.batches)))
        while len(fired.keys) < CROWD + 8:
            await asyncio.sleep(0.05)
    print(f"\nnewcomers waited {waited} batches of {len(fired.batches)}, after {setting} while being set", end="")
    assert min(standing_when_served) > 0, "the crowd was still there when the last of them was served"
    # Those which were under way when it was set, and at most a turn.
    assert max(waited) <= NEWCOMERS_TURN + 2
    assert Counter(fired.keys).most_common(1)[0][1] == 1
    assert [key for key in fired.keys if not key.startswith("new-")] == [f"{n:06}" for n in range(CROWD)]
    async with database.session() as connection:
        assert await connection.fetchval("SELECT count(*) FROM timers") == 0


# --- scheduled messages, over channels with rates ---------------------------------------------------------------------

RATE, BURST = 5.0, 5
PLANNED = 120
HANDED_OVER_AT_ONCE = 16
URGENT = f"planned {PLANNED - 2:03}"
"""The last one of its channel, in a conversation where somebody answers before it was sent."""


async def test_a_crowd_keeps_to_the_rates_and_lets_replies_pass(database_url: str) -> None:
    """100,000 timers and 120 scheduled messages on two channels, all overdue; people answer meanwhile."""
    rates = (RateRule("channel", RATE, 1.0, BURST),)
    async with make_stage(database_url, rates=rates) as stage:
        fired = Fired()
        stage.process.firing.register("crowd", fired.note)
        threads = await planned_messages(stage)
        await crowd(stage.world.node.database, workspace_id=stage.world.workspace_id)
        last = threads[URGENT]
        async with ticking(stage.process.firing), stage.world.running(), asyncio.timeout(60):
            await stage.world.wait_for("SELECT count(*) > 60 FROM deliveries", within=30)
            somebody = await stage.world.conversation()
            await stage.process.sending.send(stage.caller, somebody.id, reply("a reply"))
            await stage.world.wait_for("SELECT count(*) > $1 FROM deliveries", PLANNED, within=40)
            await stage.process.sending.send(stage.caller, last, reply("in its own conversation"))
            await stage.world.wait_for(
                "SELECT count(*) = $1 FROM deliveries WHERE state = 'sent'", PLANNED + 2, within=40
            )
            while len(fired.keys) < CROWD:
                await asyncio.sleep(0.05)
        assert fired.keys == [f"{n:06}" for n in range(CROWD)]
        sent = await sends(stage)
    assert {account: len(of) for account, of in sent.items()} == {"111": PLANNED / 2 + 2, "222": PLANNED / 2}
    for of in sent.values():
        check_rate([at for at, _ in of])
        check_order([text for _, text in of if text.startswith("planned")])
    check_replies([text for _, text in sent["111"]])


async def planned_messages(stage: Stage) -> dict[str, UUID]:
    """Their conversations by their texts; the even ones on one channel, the odd ones on another."""
    second = await stage.world.add_channel("whatsapp", "222")
    threads = {}
    for number in range(PLANNED):
        thread = await stage.world.conversation(second if number % 2 else None)
        text = f"planned {number:03}"
        await stage.room.service.create(stage.caller, thread.id, order(text, quiet_hours=False))
        threads[text] = thread.id
    await stage.execute(
        """UPDATE scheduled_messages SET by_hand = true,
               due_at = now() - interval '20 s' + right(content #>> '{parts,0,text}', 3)::int * interval '10 ms'"""
    )
    await stage.execute(
        """UPDATE timers t SET due_at = s.due_at, next_at = s.due_at FROM scheduled_messages s
           WHERE t.kind = 'scheduled.message' AND t.key LIKE s.id || '/%'"""
    )
    return threads


def reply(text: str) -> SendIn:
    return SendIn.model_validate({"parts": [{"type": "text", "text": text}]})


async def sends(stage: Stage) -> dict[str, list[tuple[datetime, str]]]:
    """When each was claimed, and its text, by account."""
    rows = await stage.world.node.fetch(
        """SELECT c.account_id, a.started_at, m.parts #>> '{0,text}' FROM delivery_attempts a
           JOIN deliveries d ON d.id = a.delivery_id JOIN messages m ON m.id = d.message_id
           JOIN channels c ON c.id = d.channel_id ORDER BY a.started_at, d.id"""
    )
    found: dict[str, list[tuple[datetime, str]]] = {}
    for account_id, at, text in rows:
        found.setdefault(account_id, []).append((at, text))
    return found


def check_rate(times: list[datetime]) -> None:
    """Between any two sends of a channel lie no more than the bucket gave: the burst, and the rate for the time."""
    for begin, first in enumerate(times):
        for end in range(begin, len(times)):
            allowed = BURST + RATE * (times[end] - first).total_seconds()
            assert end - begin + 1 <= allowed + 1e-3, (begin, end, allowed)


def check_order(planned: list[str]) -> None:
    """In order of due time but for what a clock took on together, and the one that became urgent."""
    assert len(set(planned)) == PLANNED / 2
    lazy = [text for text in planned if text != URGENT]
    moved = [abs(at - sorted(lazy).index(text)) for at, text in enumerate(lazy)]
    assert max(moved) <= HANDED_OVER_AT_ONCE, lazy


def check_replies(texts: list[str]) -> None:
    behind = len(texts) - texts.index("a reply")
    assert behind > 20, "what was planned waited for the reply"
    # Within a conversation all go in turn: what was planned there became as urgent as the answer behind it.
    own = texts.index("in its own conversation")
    assert texts.index(URGENT) < own
    assert len(texts) - own > 10, "and did not wait for the crowd"
    print(f"\nreplies passed {behind} and {len(texts) - own} planned messages", end="")
