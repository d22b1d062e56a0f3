"""A bot's answer against everything that takes the conversation from it: real transactions, two processes, many times.

What must hold whoever is first: an answer that was accepted before the other deed is there, and goes out only while the
lease lasts; one that comes after it is refused with what happened; and never both a lease and a person.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import orjson
import pytest
from workflow_world import Bot, Process, Stage, another, make_stage, saying

from inbox.blocking.schemas import BlockIn
from inbox.messages.sending import ComposerRefused, Sent
from inbox.subscriptions.answers import Answer
from scheduler.workflows import bot_rows
from scheduler.workflows.moves import ANSWER_TIMER
from scheduler.workflows.schemas import BotPatch, HandOffIn, NoteIn, StartIn

ROUNDS = 40


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with make_stage(database_url) as stage:
        yield stage


@pytest.fixture
async def second(stage: Stage) -> AsyncIterator[Process]:
    async with another(stage) as process:
        yield process


async def together(*work: Awaitable[object], jitter: float = 0.006) -> list[object]:
    """Start them within a few milliseconds, in any order. Exceptions are results."""

    async def later(one: Awaitable[object]) -> object:
        await asyncio.sleep(random.uniform(0, jitter))
        return await one

    return await asyncio.gather(*(later(one) for one in work), return_exceptions=True)


async def answered(stage: Stage, second: Process, conversation_id: UUID) -> None:
    await stage.send(stage.caller, conversation_id, "A person", process=second)


async def blocked(stage: Stage, second: Process, conversation_id: UUID) -> None:
    contact_id = (await stage.thread(conversation_id)).contact_id
    await second.blocks.block(stage.caller, contact_id, BlockIn(reason="spam"))


async def timed_out(stage: Stage, second: Process, conversation_id: UUID) -> None:
    await second.firing.fire_due()


Deed = Callable[[Stage, Process, UUID], Awaitable[None]]
DEEDS: list[tuple[str, Deed, str]] = [
    ("a person's reply", answered, "human_reply"),
    ("a block", blocked, "blocked"),
    ("the end of its time", timed_out, "timed_out"),
]


@pytest.mark.parametrize(("deed", "reason"), [pytest.param(*row[1:], id=row[0]) for row in DEEDS])
async def test_a_bots_answer_against(stage: Stage, second: Process, deed: Deed, reason: str) -> None:
    bot = await stage.bot()
    seen: Counter[str] = Counter()
    for number in range(1, ROUNDS + 1):
        conversation_id = await stage.write("Hello", customer=number)
        epoch = (await stage.thread(conversation_id)).epoch
        await stage.all_told()
        due = "UPDATE timers SET due_at = now(), next_at = now() WHERE kind = $1"
        await stage.execute(due, ANSWER_TIMER if deed is timed_out else "nothing")
        sent, done = await together(
            stage.send(bot.caller, conversation_id, "The bot", epoch=epoch), deed(stage, second, conversation_id)
        )
        assert done is None, done
        run, thread = await stage.run(conversation_id), await stage.thread(conversation_id)
        if isinstance(sent, ComposerRefused):
            seen["refused"] += 1
            assert sent.facts["reason"] in ("superseded", "contact_blocked")
            if sent.facts["reason"] == "superseded":
                assert sent.facts["what_happened"] == reason
            assert await stage.words(conversation_id) == []
        else:
            seen["sent"] += 1
            assert isinstance(sent, Sent), sent
            assert await stage.words(conversation_id) == ["The bot"]
        if deed is timed_out and isinstance(sent, Sent):
            assert (run.state, thread.bot_id) == ("active", bot.id), "it was in time"
            continue
        assert run.reason == reason
        assert thread.holder_id is None
        await stage.world.claim()
        if isinstance(sent, Sent):
            fault = await stage.world.fault(sent.message.id)
            assert fault["code"] in ("superseded", "contact_blocked"), "what was queued does not leave"
    assert min(seen["refused"], seen["sent"]) > 0, seen


async def test_an_answer_of_the_webhook_against_a_person(stage: Stage, second: Process) -> None:
    bot = await stage.bot(kinds=["message.created"])
    seen: Counter[str] = Counter()
    for number in range(1, ROUNDS + 1):
        conversation_id = await stage.write("Hello", customer=number)
        answer = await last_event(stage, bot, saying("The bot", hand_off={"note": "over to you"}))
        problem, done = await together(
            stage.room.answers.take(answer), answered(stage, second, conversation_id), jitter=0.01
        )
        assert done is None
        run = await stage.run(conversation_id)
        words = await stage.words(conversation_id)
        if problem is None:
            assert (run.state, words) == ("handed_off", ["The bot"])
        else:
            assert isinstance(problem, str), problem
            assert "a person has answered" in problem
            assert (run.state, run.reason, words) == ("ended", "human_reply", [])
        seen["answered" if problem is None else "late"] += 1
    assert min(seen["answered"], seen["late"]) > 0, seen


async def test_two_deliveries_of_one_event_answer_it_once(stage: Stage, second: Process) -> None:
    bot = await stage.bot(kinds=["message.created"])
    firsts: Counter[str] = Counter()
    for number in range(1, ROUNDS + 1):
        conversation_id = await stage.write("Hello", customer=number)
        one = await last_event(stage, bot, saying("One", hand_off={"note": "one"}))
        two = await last_event(stage, bot, saying("Two", "Three"))
        problems = await together(stage.room.answers.take(one), second.room.answers.take(two))
        assert problems == [None, None]
        words, run = await stage.words(conversation_id), await stage.run(conversation_id)
        assert (words, run.state) in ((["One"], "handed_off"), (["Two", "Three"], "active"))
        firsts[words[0]] += 1
    assert len(firsts) == 2, firsts


async def test_an_answer_to_an_event_of_an_earlier_lease_is_refused(stage: Stage) -> None:
    """Handed to people and back meanwhile: the bot holds it again, and still this was said under another lease."""
    bot = await stage.bot(kinds=["message.created"])
    conversation_id = await stage.write("Hello")
    answer = await last_event(stage, bot, saying("An old thought"))
    run = await stage.run(conversation_id)
    await stage.room.service.hand_off(stage.caller, run.id, HandOffIn())
    await stage.room.service.hand_back(stage.caller, run.id, NoteIn())
    problem = await stage.room.answers.take(answer)
    assert problem is not None
    assert "names epoch" in problem
    assert await stage.words(conversation_id) == []


async def test_two_people_give_it_to_two_bots(stage: Stage, second: Process) -> None:
    bots = [await stage.bot("on_request", name=name) for name in ("One", "Two")]
    winners: Counter[UUID] = Counter()
    for _ in range(ROUNDS):
        thread = await stage.world.conversation()
        results = await together(
            stage.room.service.start(stage.caller, thread.id, StartIn(bot_id=bots[0].id)),
            second.room.service.start(stage.caller, thread.id, StartIn(bot_id=bots[1].id)),
        )
        assert sorted(type(one).__name__ for one in results) == ["RunConflict", "RunView"]
        (run,) = await stage.runs(thread.id)
        assert (await stage.thread(thread.id)).bot_id == run.bot_id
        winners[run.bot_id] += 1
    assert len(winners) == 2, winners


async def test_a_bot_that_is_disabled_at_the_same_moment_keeps_nothing(stage: Stage, second: Process) -> None:
    taken = 0
    for number in range(1, ROUNDS // 2 + 1):
        bot = await stage.bot(name=f"Bot {number}")

        async def disable(bot: Bot = bot) -> None:
            await asyncio.sleep(random.uniform(0, 0.03))
            await second.bots.change(stage.admin, bot.id, BotPatch(enabled=False))

        results = await together(stage.write("Hello", customer=number), disable())
        assert not [one for one in results if isinstance(one, BaseException)], results
        await stage.release()
        runs = await stage.runs(UUID(str(results[0])))
        assert all(run.state == "ended" for run in runs)
        assert (await stage.thread(UUID(str(results[0])))).status == "open"
        taken += len(runs)
    assert 0 < taken < ROUNDS // 2, f"each was first now and then: {taken}"


@pytest.mark.parametrize("deed", ["given by a person", "taken by itself"])
async def test_who_disables_a_bot_waits_for_what_it_is_being_given(stage: Stage, second: Process, deed: str) -> None:
    bot = await stage.bot()
    async with stage.world.node.database.transaction() as unit:
        if deed == "given by a person":
            assert await bot_rows.hold(unit, stage.world.workspace_id, bot.id) is not None
        else:
            assert await bot_rows.first_responders(unit, stage.world.workspace_id)
        disabling = asyncio.create_task(second.bots.change(stage.admin, bot.id, BotPatch(enabled=False)))
        done, _ = await asyncio.wait([disabling], timeout=0.5)
        assert not done, "whatever is given in this transaction has to be found afterwards"
    assert not (await disabling).enabled


async def last_event(stage: Stage, bot: Bot, body: object) -> Answer:
    """An answer to what the log said last of a message to this bot."""
    async with stage.world.node.database.session() as connection:
        log = await stage.world.node.event_log.state(connection, stage.world.workspace_id)
        (event,) = await stage.world.node.event_log.read(connection, stage.world.workspace_id, after=log.head - 1)
    assert (event.kind, event.holder_id) == ("message.created", bot.id)
    return Answer(bot.view.subscription_id, bot.id, event, log.epoch, orjson.dumps(body))
