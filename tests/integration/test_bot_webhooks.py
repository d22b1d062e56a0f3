"""Bots over real webhooks: what they are sent, and what their own answers do, once for each event."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from subscription_world import Received, until, verify
from workflow_world import Bot, Stage, make_stage, saying

from inbox.kernel.database import DatabaseUnavailable
from inbox.messages.sending import ComposerRefused
from inbox.subscriptions import repository as subscription_rows
from inbox.subscriptions.answers import Answer
from inbox.subscriptions.metrics import SubscriptionMetrics
from scheduler.workflows.schemas import EndIn, NoteIn, StartIn


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with make_stage(database_url) as stage:
        yield stage


def answering(bot: Bot, answer: object, *, to: str = "message.created") -> None:
    """It answers messages of customers, and takes everything else."""

    def behave(received: Received) -> web.Response:
        event = received.event
        message = event["data"].get("message")
        if event["kind"] != to or (message is not None and message["direction"] != "in"):
            return web.Response(text="ok")
        return web.json_response(answer)

    bot.hook.behave = behave


async def seen(stage: Stage, conversation_id: Any, count: int) -> list[str]:
    await stage.world.wait_for(
        "SELECT count(*) >= $2 FROM messages WHERE conversation_id = $1 AND author_kind = 'bot'", conversation_id, count
    )
    return await stage.words(conversation_id)


async def logged(stage: Stage, count: int = 1) -> list[tuple[Any, ...]]:
    await stage.world.wait_for("SELECT count(*) >= $1 FROM subscription_attempts", count)
    return await stage.log_entries("kind", "outcome", "error")


async def test_the_first_event_carries_the_lease_and_the_answer_is_sent_under_it(stage: Stage) -> None:
    bot = await stage.bot()
    answering(bot, saying("Good morning", "How can I help?"))
    stage.process.deliver()
    conversation_id = await stage.write("Hello")
    assert await seen(stage, conversation_id, 2) == ["Good morning", "How can I help?"]
    await stage.world.wait_for("SELECT cursor = head FROM subscriptions, event_logs")
    assert verify(bot.secret, bot.hook.received[0].headers, bot.hook.received[0].body)
    thread, run = await stage.thread(conversation_id), await stage.run(conversation_id)
    kinds = [event["kind"] for event in bot.events()]
    assert kinds == ["workflow.created", *["message.created"] * 3]
    assert {event["data"]["conversation"]["responder_epoch"] for event in bot.events()} == {thread.epoch}
    rows = await stage.world.node.fetch(
        "SELECT origin_kind, origin_id, author_id FROM messages WHERE author_kind = 'bot'"
    )
    assert {tuple(row) for row in rows} == {("bot", run.id, bot.id)}
    assert run.waiting_since is None, "it has answered"
    assert all(error is None for *_, error in await logged(stage, 4))


async def test_it_hears_nothing_of_what_others_hold(stage: Stage) -> None:
    bot = await stage.bot("on_request", kinds=None)
    other = await stage.bot("on_request", name="Other", kinds=None)
    stage.process.deliver()
    conversation_id, elsewhere = await stage.write("Mine", customer=1), await stage.write("Not mine", customer=2)
    run = await stage.room.service.start(stage.caller, conversation_id, StartIn(bot_id=bot.id))
    foreign = await stage.room.service.start(stage.caller, elsewhere, StartIn(bot_id=other.id))
    await stage.write("Now it is your turn")
    await stage.room.service.pause(stage.caller, run.id, NoteIn())
    await stage.write("Who reads this?")
    await stage.room.service.end(stage.caller, run.id, EndIn())
    await stage.room.service.end(stage.caller, foreign.id, EndIn())
    await stage.write("And this?")
    await stage.world.wait_for("SELECT bool_and(cursor = head) FROM subscriptions, event_logs")
    assert {event["conversation_id"] for event in bot.events()} == {str(conversation_id)}
    said = [event["data"]["message"]["parts"][0]["text"] for event in bot.events("message.created")]
    assert said == ["Now it is your turn"]
    states = [event["data"]["run"]["state"] for event in bot.events("workflow.created", "workflow.updated")]
    assert states == ["active", "paused", "ended"]


async def test_it_hands_off_and_ends_by_its_answer(stage: Stage) -> None:
    bot = await stage.bot()
    answering(bot, saying("One moment, please", hand_off={"note": "She is angry"}))
    stage.process.deliver()
    conversation_id = await stage.write("I want a person")
    await stage.world.wait_for("SELECT state = 'handed_off' FROM workflow_runs")
    run, thread = await stage.run(conversation_id), await stage.thread(conversation_id)
    assert (run.reason, run.note, thread.status) == ("by_bot", "She is angry", "open")
    assert await stage.words(conversation_id) == ["One moment, please"]
    answering(bot, {"end": {"close": True}})
    second = await stage.write("Thanks, bye", customer=2)
    await stage.world.wait_for("SELECT state = 'ended' FROM workflow_runs WHERE conversation_id = $1", second)
    assert (await stage.thread(second)).status == "closed"


@pytest.mark.parametrize("to", ["people", "a bot"])
async def test_what_was_queued_with_a_hand_off_is_still_said(stage: Stage, to: str) -> None:
    """The last words of a bot belong to its lease; letting go by itself must not take them back."""
    bot, other = await stage.bot(), await stage.bot("on_hand_off", name="Other")
    hand_off = {"bot_id": str(other.id)} if to == "a bot" else {}
    answering(bot, saying("I get somebody", hand_off=hand_off))
    stage.process.deliver()
    conversation_id = await stage.write("Help")
    handed = "SELECT state = 'handed_off' FROM workflow_runs WHERE bot_id = $1"
    await stage.world.wait_for(handed, bot.id)
    with pytest.raises(ComposerRefused):
        await stage.send(bot.caller, conversation_id, "One more thing")
    await stage.world.run_until_idle()
    statuses = await stage.world.node.fetch("SELECT status FROM messages WHERE author_kind = 'bot'")
    assert [row[0] for row in statuses] == ["sent"]


NOBODY = "00000000-0000-4000-8000-000000000000"
BAD: list[tuple[str, bytes, str]] = [
    ("no JSON", b"{oops", "the answer was refused"),
    ("something else", b'{"ok": true}', "/body/ok"),
    ("both ways out", b'{"hand_off": {}, "end": {}}', "the answer was refused"),
    ("no parts", orjson.dumps({"messages": [{"parts": []}]}), "/body/messages/0/parts"),
    (
        "a quote of nothing",
        orjson.dumps({"messages": [{**saying("a")["messages"][0], "reply_to_id": NOBODY}]}),
        "no such",
    ),
    ("an unknown bot", orjson.dumps({"hand_off": {"bot_id": NOBODY}}), "no such bot"),
    ("a null character", orjson.dumps(saying("a\x00b")), "the answer was refused"),
    ("more than is read", b'{"messages": "' + b"x" * 70_000 + b'"}', "too large"),
]


@pytest.mark.parametrize(("body", "problem"), [pytest.param(*row[1:], id=row[0]) for row in BAD])
async def test_a_bad_answer_is_told_to_the_log_and_does_nothing(stage: Stage, body: bytes, problem: str) -> None:
    bot = await stage.bot(kinds=["message.created"])
    bot.hook.behave = lambda received: web.Response(body=body, content_type="application/json")
    stage.process.deliver()
    conversation_id = await stage.write("Hello")
    ((kind, outcome, error),) = await logged(stage)
    assert (kind, outcome) == ("message.created", "delivered")
    assert problem in error
    await asyncio.sleep(0.3)
    assert len(bot.hook.received) == 1, "it is not sent again"
    assert await stage.words(conversation_id) == []
    assert (await stage.run(conversation_id)).state == "active"


@pytest.mark.parametrize("text", ["ok", orjson.dumps(saying("Hello")).decode()])
async def test_only_json_is_taken_for_an_answer(stage: Stage, text: str) -> None:
    bot = await stage.bot(kinds=["message.created"])
    bot.hook.behave = lambda received: web.Response(text=text)
    stage.process.deliver()
    conversation_id = await stage.write("Hello")
    assert (await logged(stage))[0][1:] == ("delivered", None)
    assert await stage.words(conversation_id) == []


async def test_a_late_answer_is_refused_and_says_so_in_the_log(stage: Stage) -> None:
    bot = await stage.bot(kinds=["message.created"])
    thinking = asyncio.Event()

    async def behave(received: Received) -> web.Response:
        await thinking.wait()
        return web.json_response(saying("I have thought about it"))

    bot.hook.behave = behave
    stage.process.deliver()
    conversation_id = await stage.write("Hello")
    await until(lambda: bot.hook.received)
    await stage.send(stage.caller, conversation_id, "A person")
    thinking.set()
    _, outcome, error = (await logged(stage))[0]
    assert outcome == "delivered"
    assert "a person has answered" in error
    assert await stage.words(conversation_id) == []


async def test_a_replay_answers_nothing_twice(stage: Stage) -> None:
    bot = await stage.bot(kinds=["message.created"])
    answering(bot, saying("Once"))
    stage.process.deliver()
    conversation_id = await stage.write("Hello")
    await seen(stage, conversation_id, 1)
    await stage.world.wait_for("SELECT cursor = head FROM subscriptions, event_logs")
    head = await stage.world.node.fetchval("SELECT head FROM event_logs")
    async with stage.world.node.database.transaction() as unit:
        now = await unit.fetchval("SELECT now()")
        await subscription_rows.insert_replay(
            unit, stage.world.workspace_id, bot.view.subscription_id, now, first=1, last=head
        )
    await stage.world.wait_for("SELECT count(*) >= 2 FROM subscription_attempts WHERE purpose = 'replay'")
    assert Counter(one.id for one in bot.hook.received).most_common(1)[0][1] == 2
    assert await stage.words(conversation_id) == ["Once"]


async def test_a_bot_that_was_away_answers_in_order_what_is_still_its_turn(stage: Stage) -> None:
    bot = await stage.bot(kinds=["message.created"])
    bot.hook.answer(500)
    stage.process.deliver()
    conversation_id = await stage.write("One")
    await until(lambda: bot.hook.received)
    await stage.write("Two")

    def echo(received: Received) -> web.Response:
        message = received.event["data"]["message"]
        if message["direction"] != "in":
            return web.Response()
        return web.json_response(saying(f"You said {message['parts'][0]['text']}"))

    bot.hook.behave = echo
    assert await seen(stage, conversation_id, 2) == ["You said One", "You said Two"]


async def test_an_answer_that_meets_an_outage_is_taken_again_before_the_event_counts(stage: Stage) -> None:
    bot = await stage.bot(kinds=["message.created"])
    answering(bot, saying("Despite everything"))
    taken, take = 0, stage.room.answers.take

    async def away(answer: Answer) -> str | None:
        nonlocal taken
        taken += 1
        if taken <= 2:
            raise DatabaseUnavailable("away")
        return await take(answer)

    stage.room.answers.take = away  # type: ignore[method-assign]
    stage.process.deliver()
    conversation_id = await stage.write("Hello")
    assert await seen(stage, conversation_id, 1) == ["Despite everything"]
    await until(lambda: len(bot.hook.received) == 2)
    assert [one.event["data"]["message"]["direction"] for one in bot.hook.received] == ["in", "out"], "asked once"


async def test_figures_tell_what_waits_and_what_is_disabled(stage: Stage) -> None:
    bot, gone = await stage.bot(kinds=["message.created"]), await stage.bot("on_request", name="Gone")
    registry = CollectorRegistry()
    metrics = SubscriptionMetrics(registry)
    await stage.execute("UPDATE subscriptions SET state = 'disabled', reason = 'gone' WHERE agent_id = $1", gone.id)
    await stage.write("Hello")
    await stage.execute("UPDATE events SET created_at = created_at - interval '5 seconds'")

    async def sampled(name: str, **labels: str) -> float | None:
        async with stage.world.node.database.session() as connection:
            await metrics.sample(connection)
        return registry.get_sample_value(name, labels)

    assert await sampled("inbox_subscriptions", state="enabled", reason="") == 1
    assert await sampled("inbox_subscriptions", state="disabled", reason="gone") == 1
    waiting = await sampled("inbox_events_out_oldest_seconds")
    assert waiting is not None
    assert waiting >= 5
    bot.hook.answer(500)
    stage.process.deliver()
    await until(lambda: bot.hook.received)
    await stage.world.wait_for("SELECT EXISTS (SELECT FROM subscription_lanes)")
    assert await sampled("inbox_events_out_lanes") == 1
    assert (await sampled("inbox_events_out_oldest_seconds") or 0) >= 5, "behind a failure it still waits"
    bot.hook.answer(200)
    await stage.world.wait_for(
        "SELECT NOT EXISTS (SELECT FROM subscription_lanes) AND bool_and(cursor = head)"
        " FROM subscriptions, event_logs WHERE state = 'enabled'"
    )
    assert await sampled("inbox_events_out_oldest_seconds") == 0
    entries = [
        SimpleNamespace(purpose=one[0], outcome=one[1], milliseconds=one[2])
        for one in await stage.log_entries("purpose", "outcome", "milliseconds")
    ]
    metrics.attempted(entries)
    assert registry.get_sample_value("inbox_event_deliveries_total", {"purpose": "event", "outcome": "failed"}) == 1
    assert registry.get_sample_value("inbox_event_delivery_seconds_count") == len(entries)
