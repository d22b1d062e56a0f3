"""Steps of sequences against everything that may stop them: each race many times, between real transactions.

What is checked stands outside: after whoever won was told so, the last gate is asked, and what leaves is counted.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import pytest
from sequence_world import Process, Stage, another, make_stage, step

from inbox.blocking.schemas import BlockIn
from inbox.conversations.repository import Thread
from inbox.kernel.errors import Conflict
from scheduler.sequences.schemas import SequenceView

ROUNDS = 40


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with make_stage(database_url) as stage:
        yield stage


@pytest.fixture
async def other(stage: Stage) -> AsyncIterator[Process]:
    async with another(stage) as process:
        yield process


async def a_moment(longest: float = 0.012) -> None:
    await asyncio.sleep(random.uniform(0, longest))


async def later(work: Callable[[], Awaitable[object]], longest: float = 0.012) -> None:
    await a_moment(longest)
    await work()


async def fire_and_claim(process: Process, stage: Stage) -> None:
    await a_moment()
    await process.fire()
    await stage.world.claim(process.node)


async def message_states(stage: Stage, enrollment_id: UUID) -> list[str]:
    found = await stage.world.node.fetch(
        "SELECT status FROM messages WHERE origin_id = $1 ORDER BY number", enrollment_id
    )
    return [row[0] for row in found]


async def land(stage: Stage) -> None:
    """What is in the air arrives, before the next round."""
    await stage.execute("UPDATE deliveries SET state = 'sent' WHERE state = 'sending'")
    await stage.execute("UPDATE messages SET status = 'sent' WHERE status = 'sending'")


async def begin(stage: Stage, sequence: SequenceView, thread: Thread) -> UUID:
    """Due now, and nothing else of this contact runs."""
    verdict = await stage.verdict(sequence, thread.contact_id, conversation_id=thread.id)
    assert verdict.outcome == "enrolled"
    assert verdict.enrollment_id is not None
    return verdict.enrollment_id


def show(name: str, outcomes: Counter[str]) -> None:
    print(f"\n{name}: {dict(outcomes)}", end="")


async def test_step_against_reply(stage: Stage, other: Process) -> None:
    """After a reply is stored nothing leaves any more, from whatever process, in whichever conversation it came."""
    telegram = await stage.world.add_channel("telegram", "222")
    thread = await stage.world.conversation()
    await stage.second(thread, telegram)
    sequence = await stage.sequence(step("one"), step("two", days=1))
    outcomes: Counter[str] = Counter()
    for turn in range(ROUNDS):
        enrollment = await begin(stage, sequence, thread)
        elsewhere = {"number": 2, "channel": telegram} if turn % 2 else {"number": 1}
        await asyncio.gather(fire_and_claim(other, stage), later(lambda: stage.reply(**elsewhere), 0.05))  # noqa: B023
        before = await message_states(stage, enrollment)
        await stage.fire()
        await stage.world.claim()
        after = await message_states(stage, enrollment)
        assert after == before, "nothing leaves after the reply"
        assert after in ([], ["cancelled"], ["sending"])
        assert await stage.state(enrollment) == ("stopped", "reply")
        outcomes[after[0] if after else "nothing"] += 1
        await land(stage)
    show("step against reply", outcomes)
    assert outcomes["sending"]
    assert outcomes["nothing"] + outcomes["cancelled"]


async def test_step_against_block(stage: Stage, other: Process) -> None:
    sequence = await stage.sequence(step("one"), step("two", days=1))
    outcomes: Counter[str] = Counter()
    for _ in range(ROUNDS):
        thread = await stage.world.conversation()
        enrollment = await begin(stage, sequence, thread)

        async def block(thread: Thread = thread) -> None:
            await stage.blocks.block(stage.caller, thread.contact_id, BlockIn())

        await asyncio.gather(fire_and_claim(other, stage), later(block, 0.04))
        before = await message_states(stage, enrollment)
        await stage.bring_forward(enrollment)
        await stage.fire()
        await stage.world.claim()
        assert await message_states(stage, enrollment) == before, "nothing leaves after the block"
        assert before in ([], ["cancelled"], ["sending"])
        assert await stage.state(enrollment) == ("paused", "blocked")
        outcomes[before[0] if before else "nothing"] += 1
        await land(stage)
    show("step against block", outcomes)
    assert outcomes["sending"]
    assert outcomes["nothing"] + outcomes["cancelled"]


@pytest.mark.parametrize("decision", ["pause", "leave", "skip"])
async def test_step_against_what_people_decide(stage: Stage, other: Process, decision: str) -> None:
    """Whoever is told that it is so finds it so: no step leaves that was not on its way by then."""
    thread = await stage.world.conversation()
    sequence = await stage.sequence(step("one"), step("two", days=1))
    outcomes: Counter[str] = Counter()
    for _ in range(ROUNDS):
        enrollment = await begin(stage, sequence, thread)
        answers: list[str] = []

        async def decide(enrollment: UUID = enrollment, answers: list[str] = answers) -> None:
            await a_moment(0.05)
            try:
                await getattr(stage.room.enrollments, decision)(stage.caller, enrollment)
                answers.append("won")
            except Conflict as refused:
                answers.append(refused.code)

        await asyncio.gather(fire_and_claim(other, stage), decide())
        before = await message_states(stage, enrollment)
        await stage.fire()
        await stage.world.claim()
        assert await message_states(stage, enrollment) == before
        assert before in ([], ["cancelled"], ["sending"])
        if answers == ["step_on_its_way"]:
            assert before == ["sending"]
        elif decision == "skip":
            assert before != ["sending"], "what was skipped has not left"
        outcomes[f"{answers[0]}, {before[0] if before else 'nothing'}"] += 1
        await land(stage)
        if (await stage.read(enrollment)).ended_at is None:
            await stage.room.enrollments.leave(stage.caller, enrollment)
    show(f"step against {decision}", outcomes)
    assert len(outcomes) > 1


async def test_two_clocks_and_one_step(stage: Stage, other: Process) -> None:
    threads = [await stage.world.conversation() for _ in range(20)]
    sequence = await stage.sequence(step("one"), step("two"), step("three"))
    enrollments = [await begin(stage, sequence, thread) for thread in threads]
    for _ in range(6):
        await asyncio.gather(*(later(process.fire) for process in (other, stage.process) for _ in range(4)))
        await stage.deliver()
    for thread, enrollment in zip(threads, enrollments, strict=True):
        assert await stage.texts(thread.contact_id) == ["one", "two", "three"]
        assert await stage.state(enrollment) == ("finished", None)


async def test_enrolled_by_many_at_once_they_are_in_it_once(stage: Stage, other: Process) -> None:
    sequence = await stage.sequence()
    for _ in range(15):
        thread = await stage.world.conversation()
        tries = [
            stage.verdict(sequence, thread.contact_id, process=process)
            for process in (stage.process, other)
            for _ in range(4)
        ]
        verdicts = await asyncio.gather(*tries)
        assert Counter(one.outcome for one in verdicts) == {"enrolled": 1, "already_enrolled": 7}
        assert len({one.enrollment_id for one in verdicts}) == 1


async def test_enrolment_against_block(stage: Stage, other: Process) -> None:
    """Whoever is enrolled is paused by the block that follows; whoever was blocked first is not enrolled."""
    sequence = await stage.sequence()
    outcomes: Counter[str] = Counter()
    for _ in range(ROUNDS):
        thread = await stage.world.conversation()

        async def enrol(thread: Thread = thread) -> UUID | None:
            await a_moment()
            return (await stage.verdict(sequence, thread.contact_id, process=other)).enrollment_id

        async def block(thread: Thread = thread) -> None:
            await a_moment()
            await stage.blocks.block(stage.caller, thread.contact_id, BlockIn())

        enrollment, _ = await asyncio.gather(enrol(), block())
        if enrollment is not None:
            assert await stage.state(enrollment) == ("paused", "blocked")
        outcomes["refused" if enrollment is None else "paused"] += 1
    show("enrolment against block", outcomes)
    assert len(outcomes) == 2


async def test_many_replies_block_and_decisions_at_once_end_in_one_state(stage: Stage, other: Process) -> None:
    """Nobody deadlocks for good, and what the rows say is one of the things that were done."""
    sequence = await stage.sequence(step("one"), step("two"))
    for turn in range(12):
        thread = await stage.world.conversation()
        enrollment = await begin(stage, sequence, thread)

        async def leave(enrollment: UUID = enrollment) -> None:
            try:
                await other.room.enrollments.leave(stage.caller, enrollment)
            except Conflict:
                return

        async def block(thread: Thread = thread) -> None:
            await stage.blocks.block(stage.caller, thread.contact_id, BlockIn())

        number = turn + 1
        works: list[Callable[[], Awaitable[object]]] = [
            other.fire,
            stage.fire,
            leave,
            lambda: stage.reply(number),  # noqa: B023
            lambda: stage.tag(thread, "vip"),  # noqa: B023
            block,
        ]
        random.shuffle(works)
        await asyncio.gather(*(later(work) for work in works))
        state = await stage.state(enrollment)
        assert state in (("left", None), ("stopped", "reply"), ("paused", "blocked"))
        before = await message_states(stage, enrollment)
        await stage.fire()
        await stage.world.claim()
        assert await message_states(stage, enrollment) == before
