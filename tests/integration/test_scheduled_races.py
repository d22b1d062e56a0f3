"""Exactly one winner: each race many times, between real transactions of two processes.

Everything is checked from outside: what the provider got, what the caller was told, and what the rows say agree (P6).
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from scheduled_world import Process, Stage, another, at, make_stage

from inbox.blocking.schemas import BlockIn
from inbox.conversations.repository import Thread
from inbox.kernel.database import Contended
from scheduler.scheduled.errors import TooLateToChange
from scheduler.scheduled.schemas import ResumeIn, ScheduledView, SchedulePatch

ROUNDS = 60


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with make_stage(database_url) as stage:
        yield stage


@pytest.fixture
async def other(stage: Stage) -> AsyncIterator[Process]:
    async with another(stage) as process:
        yield process


async def due_now(stage: Stage, thread: Thread, **given: Any) -> ScheduledView:
    made = await stage.schedule(thread, **given)
    await stage.bring_forward(made.id)
    return made


async def a_moment(longest: float = 0.012) -> None:
    await asyncio.sleep(random.uniform(0, longest))


async def told(attempt: Awaitable[ScheduledView], longest: float = 0.012) -> str:
    """``won``, or the state with which the loser was told."""
    await a_moment(longest)
    try:
        await attempt
    except TooLateToChange as refused:
        return str(refused.facts["state"])
    return "won"


async def later(work: Callable[[], Awaitable[object]], longest: float = 0.012) -> None:
    await a_moment(longest)
    await work()


async def test_cancel_against_dispatch(stage: Stage, other: Process) -> None:
    """The clock hands over, the dispatcher claims, a person cancels: after a cancel that succeeded nothing leaves."""
    thread = await stage.world.conversation()
    outcomes: Counter[str] = Counter()
    for _ in range(ROUNDS):
        made = await due_now(stage, thread)
        answer, *_ = await asyncio.gather(
            told(other.room.changes.cancel(stage.caller, made.id), 0.06), _fire_and_claim(stage)
        )
        outcomes[answer] += 1
        await stage.fire()
        await stage.world.claim()
        message = [await stage.world.status(one) for one in await stage.messages(made.id)]
        if answer == "won":
            assert message in ([], ["cancelled"])
            assert await stage.state(made.id) == ("cancelled", None)
        else:
            assert (answer, message) == ("due", ["sending"])
        # What is in the air is over before the next round.
        await stage.execute("UPDATE deliveries SET state = 'sent' WHERE state = 'sending'")
        await stage.execute("UPDATE messages SET status = 'sent' WHERE status = 'sending'")
    print(f"\ncancel against dispatch: {dict(outcomes)}", end="")
    assert outcomes["won"]
    assert outcomes["due"]


async def test_edit_against_dispatch(stage: Stage, other: Process) -> None:
    thread = await stage.world.conversation()
    outcomes: Counter[str] = Counter()
    patch = SchedulePatch.model_validate({"parts": [{"type": "text", "text": "new"}]})
    for _ in range(ROUNDS):
        made = await due_now(stage, thread, text="old")
        answer, _ = await asyncio.gather(
            told(other.room.changes.edit(stage.caller, made.id, patch, version=None)), later(stage.fire)
        )
        outcomes[answer] += 1
        await stage.fire()
        (message_id,) = await stage.messages(made.id)
        parts = await stage.world.node.fetchval("SELECT parts FROM messages WHERE id = $1", message_id)
        assert parts[0]["text"] == ("new" if answer == "won" else "old")
        assert (await stage.row(made.id)).preview == parts[0]["text"], "the row tells what was sent"
    print(f"\nedit against dispatch: {dict(outcomes)}", end="")
    assert outcomes["won"]
    assert outcomes["due"]


async def test_moving_it_against_dispatch(stage: Stage, other: Process) -> None:
    thread = await stage.world.conversation()
    outcomes: Counter[str] = Counter()
    for _ in range(ROUNDS):
        made = await due_now(stage, thread)
        patch = SchedulePatch.model_validate({"when": at(timedelta(hours=5))})
        answer, _ = await asyncio.gather(
            told(other.room.changes.edit(stage.caller, made.id, patch, version=None)), later(stage.fire)
        )
        outcomes[answer] += 1
        await stage.fire()
        assert len(await stage.messages(made.id)) == (answer == "due")
        standing = [key for key, _ in await stage.timers() if key.startswith(str(made.id))]
        assert len(standing) == (answer == "won"), "it keeps a timer exactly when it waits"
    print(f"\nmove against dispatch: {dict(outcomes)}", end="")
    assert outcomes["won"]
    assert outcomes["due"]


async def test_send_now_against_dispatch_and_against_each_other(stage: Stage, other: Process) -> None:
    thread = await stage.world.conversation()
    outcomes: Counter[str] = Counter()
    for _ in range(ROUNDS):
        made = await due_now(stage, thread)
        first, second, _ = await asyncio.gather(
            told(other.room.changes.send_now(stage.caller, made.id)),
            told(stage.room.changes.send_now(stage.supervisor, made.id)),
            later(stage.fire),
        )
        outcomes[f"{first}/{second}"] += 1
        await stage.fire()
        assert len(await stage.messages(made.id)) == 1
        assert [first, second].count("won") <= 1
    print(f"\nsend now against dispatch: {dict(outcomes)}", end="")
    assert any("won" in key for key in outcomes)
    assert outcomes["due/due"], "the clock never won"


async def test_everybody_at_once(stage: Stage, other: Process) -> None:
    """Cancel, edit, send now and two clocks: one of those who end the waiting wins, and everybody is told the truth."""
    thread = await stage.world.conversation()
    outcomes: Counter[tuple[str, ...]] = Counter()
    patch = SchedulePatch(when_closed="skip")
    for _ in range(ROUNDS):
        made = await due_now(stage, thread)
        cancel, send, edit, *_ = await asyncio.gather(
            told(stage.room.changes.cancel(stage.caller, made.id)),
            told(other.room.changes.send_now(stage.caller, made.id)),
            told(other.room.changes.edit(stage.caller, made.id, patch, version=None)),
            later(stage.fire),
            later(other.fire),
        )
        outcomes[cancel, send, edit] += 1
        await stage.fire()
        states = [await stage.world.status(one) for one in await stage.messages(made.id)]
        assert len(states) <= 1
        assert cancel == "won", "nothing has left, and until then a cancel always wins"
        assert states in ([], ["cancelled"])
        assert await stage.state(made.id) == ("cancelled", None)
        assert send in ("won", "due", "cancelled")
    print(f"\neverybody at once: {len(outcomes)} outcomes", end="")
    assert len(outcomes) > 2


async def test_two_clocks_fire_each_timer_once(stage: Stage, other: Process) -> None:
    threads = [await stage.world.conversation() for _ in range(4)]
    made = [await due_now(stage, random.choice(threads)) for _ in range(80)]
    done = await asyncio.gather(*(clock.fire() for clock in (stage.process, other) for _ in range(3)))
    assert sum(done) == 80
    for one in made:
        assert len(await stage.messages(one.id)) == 1
        assert await stage.state(one.id) == ("due", None)


async def test_a_reply_against_dispatch(stage: Stage, other: Process) -> None:
    """Whoever commits first is seen by the other: a message that leaves was claimed before the reply was accepted."""
    outcomes: Counter[str] = Counter()
    for number in range(1, ROUNDS + 1):
        thread = await stage.world.conversation()
        made = await due_now(stage, thread, hold_on_reply=True)
        reply = partial(stage.reply, number, node=other.node)
        claims, _ = await asyncio.gather(_fire_and_claim(stage), later(reply, 0.08))
        claimed = [*claims, *[claim.message_id for claim in await stage.world.claim()]]
        sent = [one for one in await stage.messages(made.id) if one in claimed]
        state, reason = await stage.state(made.id)
        outcomes[f"{state} {reason}"] += 1
        if sent:
            assert (state, sent) == ("due", claims), "claimed after the reply was there"
        else:
            assert (state, reason) == ("held", "replied")
    print(f"\nreply against dispatch: {dict(outcomes)}", end="")
    assert outcomes["held replied"]
    assert outcomes["due None"]


async def _fire_and_claim(stage: Stage) -> list[UUID]:
    await a_moment()
    await stage.fire()
    return [claim.message_id for claim in await stage.world.claim()]


async def test_a_block_against_dispatch(stage: Stage, other: Process) -> None:
    outcomes: Counter[str] = Counter()
    for _ in range(ROUNDS // 2):
        thread = await stage.world.conversation()
        made = await due_now(stage, thread)

        async def block(contact_id: UUID = thread.contact_id) -> None:
            await a_moment()
            await stage.blocks.block(stage.caller, contact_id, BlockIn())

        claims, _ = await asyncio.gather(_fire_and_claim(stage), block())
        await other.fire()
        assert await stage.world.claim() == [], "nothing leaves once the block call has returned"
        state = await stage.state(made.id)
        assert state == (("due", None) if claims else ("held", "blocked"))
        outcomes[state[0]] += 1
    print(f"\nblock against dispatch: {dict(outcomes)}", end="")
    assert len(outcomes) == 2


async def test_resume_against_cancel(stage: Stage, other: Process) -> None:
    thread = await stage.world.conversation()
    outcomes: Counter[tuple[str, str]] = Counter()
    for _ in range(ROUNDS):
        made = await stage.schedule(thread, hold_on_reply=True)
        await stage.reply()
        resume, cancel = await asyncio.gather(
            told(stage.room.changes.resume(stage.caller, made.id, ResumeIn())),
            told(other.room.changes.cancel(stage.caller, made.id)),
        )
        outcomes[resume, cancel] += 1
        assert await stage.state(made.id) == ("cancelled", None)
        assert not [key for key, _ in await stage.timers() if key.startswith(str(made.id))]
        assert cancel == "won"
        assert resume in ("won", "cancelled")
    print(f"\nresume against cancel: {dict(outcomes)}", end="")
    assert len(outcomes) == 2


async def test_the_same_key_at_the_same_moment(stage: Stage, other: Process) -> None:
    thread = await stage.world.conversation()
    for round_ in range(ROUNDS // 4):
        when = at(timedelta(hours=1))
        made = await asyncio.gather(
            *(
                Stage(stage.world, process).schedule(thread, client_token=f"k{round_}", when=when)
                for process in (stage.process, other)
                for _ in range(2)
            ),
            return_exceptions=True,
        )
        assert not [one for one in made if isinstance(one, BaseException) and not isinstance(one, Contended)]
        assert len({one.id for one in made if isinstance(one, ScheduledView)}) == 1
    assert await stage.world.node.fetchval("SELECT count(*) FROM scheduled_messages") == ROUNDS // 4
    assert len(await stage.timers()) == ROUNDS // 4
