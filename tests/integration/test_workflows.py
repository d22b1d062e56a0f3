"""Bots and the conversations that they hold: who takes them, who ends it, what is refused, what is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from workflow_world import Bot, Stage, make_stage, stranger

from inbox.blocking.schemas import BlockIn
from inbox.conversations.schemas import ConversationPatch, ConversationQuery
from inbox.conversations.service import ConversationUnknown
from inbox.kernel.errors import Forbidden
from inbox.messages.schemas import MessageQuery, OriginView
from inbox.messages.sending import ComposerRefused
from inbox.messages.service import Messages
from inbox.subscriptions.registry import SubscriptionInUse
from scheduler.workflows.handing import BotRefused, BotUnknown, RunConflict
from scheduler.workflows.schemas import BotPatch, EndIn, HandOffIn, NoteIn, StartIn
from scheduler.workflows.service import RunUnknown


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with make_stage(database_url) as stage:
        yield stage


# --- taking a conversation --------------------------------------------------------------------------------------------


async def test_a_first_responder_takes_a_new_conversation_with_the_message_that_begins_it(stage: Stage) -> None:
    bot = await stage.bot()
    conversation_id = await stage.write("Hello", "Anybody there?")
    thread, run = await stage.thread(conversation_id), await stage.run(conversation_id)
    assert (thread.status, thread.bot_id, thread.run_id, thread.automated) == ("pending", bot.id, run.id, True)
    assert (run.state, run.reason, run.epoch) == ("active", "first_contact", thread.epoch)
    told = await stage.told("conversation.created", "workflow.created", "message.created")
    assert [one["kind"] for one in told] == [
        "conversation.created",
        "workflow.created",
        "message.created",
        "message.created",
    ]
    for one in told[1:]:
        assert one["holder_id"] == bot.id
        assert one["conversation"]["responder"] == {
            "kind": "bot",
            "bot_id": str(bot.id),
            "run_id": str(run.id),
            "paused": False,
        }
        assert one["conversation"]["responder_epoch"] == thread.epoch
    assert told[0]["holder_id"] is None


async def closed(stage: Stage, conversation_id: UUID) -> None:
    patch = ConversationPatch(status="closed")
    await stage.world.node.conversations.change(stage.caller, conversation_id, patch, version=None)


async def answered(stage: Stage, conversation_id: UUID) -> None:
    await stage.send(stage.caller, conversation_id, "A person")


async def assigned(stage: Stage, conversation_id: UUID) -> None:
    patch = ConversationPatch(assignee_id=stage.caller.agent_id)
    await stage.world.node.conversations.change(stage.caller, conversation_id, patch, version=None)


async def assigned_and_closed(stage: Stage, conversation_id: UUID) -> None:
    await assigned(stage, conversation_id)
    await closed(stage, conversation_id)


Deed = Callable[[Stage, UUID], Awaitable[None]]
AGAIN: list[tuple[str, Deed | None, bool]] = [
    ("handed to people, still open", None, False),
    ("closed meanwhile", closed, True),
    ("a person answers", answered, False),
    ("assigned, then closed", assigned_and_closed, False),
]


@pytest.mark.parametrize(("deed", "takes"), [pytest.param(*row[1:], id=row[0]) for row in AGAIN])
async def test_it_takes_it_again_only_when_it_begins_anew(stage: Stage, deed: Deed | None, takes: bool) -> None:
    await stage.bot()
    conversation_id = await stage.write("Hello")
    run = await stage.run(conversation_id)
    await stage.room.service.hand_off(stage.caller, run.id, HandOffIn())
    if deed is not None:
        await deed(stage, conversation_id)
    await stage.write("Me again")
    assert ((await stage.run(conversation_id)).state == "active") is takes
    assert (len(await stage.runs(conversation_id)) == 2) is takes


async def test_only_bots_that_can_answer_take_anything(stage: Stage) -> None:
    other = await stage.world.add_channel("whatsapp", "222")
    await stage.bot("on_request")
    await stage.bot(channels=[str(other.id)])
    off = await stage.bot()
    await stage.process.bots.change(stage.admin, off.id, BotPatch(enabled=False))
    unheard = await stage.bot()
    disable = "UPDATE subscriptions SET state = 'disabled', reason = 'failing' WHERE agent_id = $1"
    await stage.execute(disable, unheard.id)
    conversation_id = await stage.write("Hello")
    assert await stage.runs(conversation_id) == []
    assert (await stage.thread(conversation_id)).status == "open"


async def test_a_conversation_that_a_person_began_stays_with_people(stage: Stage) -> None:
    await stage.bot()
    thread = await stage.world.conversation()
    await stage.send(stage.caller, thread.id, "We have news")
    await stage.write("Which?")
    assert await stage.runs(thread.id) == []


# --- the lease --------------------------------------------------------------------------------------------------------

ENDS: list[tuple[str, Deed, str, str, str]] = [
    ("a person answers", answered, "ended", "human_reply", "open"),
    ("in the provider's own app", lambda stage, _: stage.echo(), "ended", "native_app", "open"),
    ("assigned", assigned, "ended", "assigned", "open"),
    ("closed", closed, "ended", "closed", "closed"),
]


@pytest.mark.parametrize(("deed", "state", "reason", "status"), [pytest.param(*row[1:], id=row[0]) for row in ENDS])
async def test_a_person_ends_the_lease_and_a_late_answer_hears_what_happened(
    stage: Stage, deed: Deed, state: str, reason: str, status: str
) -> None:
    bot = await stage.bot()
    conversation_id = await stage.write("Hello")
    before = await stage.thread(conversation_id)
    queued = await stage.send(bot.caller, conversation_id, "In the queue", epoch=before.epoch)
    assert queued.message.origin == OriginView("bot", (await stage.run(conversation_id)).id)
    await deed(stage, conversation_id)
    thread, run = await stage.thread(conversation_id), await stage.run(conversation_id)
    assert (run.state, run.reason, thread.status, thread.bot_id) == (state, reason, status, None)
    assert not thread.automated
    for epoch in (before.epoch, None):
        with pytest.raises(ComposerRefused) as refused:
            await stage.send(bot.caller, conversation_id, "Too late", epoch=epoch)
        facts = refused.value.facts
        assert (facts["reason"], facts["what_happened"], facts["state"]) == ("superseded", reason, state)
        assert facts["at"] == run.updated_at
        if reason in ("human_reply", "assigned"):
            assert facts["by"]["id"] == stage.caller.agent_id  # type: ignore[index, call-overload]
    await stage.world.claim()
    assert (await stage.world.fault(queued.message.id))["code"] == "superseded"
    (told,) = await stage.told("workflow.updated")
    assert (told["run"]["state"], told["run"]["reason"], told["holder_id"]) == (state, reason, bot.id)
    assert told["conversation"]["responder"] is None


async def test_blocking_pauses_and_nothing_goes_on_by_itself(stage: Stage) -> None:
    bot = await stage.bot()
    conversation_id = await stage.write("Hello")
    before = await stage.thread(conversation_id)
    await stage.send(bot.caller, conversation_id, "In the queue")
    await stage.process.blocks.block(stage.caller, before.contact_id, BlockIn(reason="spam"))
    run, thread = await stage.run(conversation_id), await stage.thread(conversation_id)
    assert (run.state, run.reason, thread.status, thread.run_paused) == ("paused", "blocked", "closed", True)
    with pytest.raises(ComposerRefused) as refused:
        await stage.send(bot.caller, conversation_id, "Too late")
    assert refused.value.facts["what_happened"] == "blocked"
    assert refused.value.facts["by"] == {"kind": "agent", "id": stage.caller.agent_id, "name": "Ada"}
    assert await stage.time_out() == 1
    assert (await stage.run(conversation_id)).state == "paused"
    with pytest.raises(BotRefused) as still:
        await stage.room.service.resume(stage.caller, run.id, NoteIn())
    assert still.value.facts["reason"] == "contact_blocked"
    await stage.process.blocks.unblock(stage.caller, before.contact_id)
    await stage.write("I am back")
    assert (await stage.run(conversation_id)).state == "paused", "a person decides"
    paused = stage.room.paused
    async with stage.world.node.database.transaction() as unit:
        (item,) = await paused.list(unit, stage.world.workspace_id, before.contact_id)
    assert (item.id, item.title, item.conversation_id) == (run.id, "Helper", conversation_id)
    strange = uuid4()
    (settled,) = await paused.resume(stage.caller, before.contact_id, [run.id, strange], None)  # type: ignore[arg-type]
    assert (settled.outcome, settled.state) == ("resumed", "active")
    (refused_one,) = await paused.cancel(stage.caller, before.contact_id, [run.id])
    assert (refused_one.outcome, refused_one.state) == ("refused", "active")
    await stage.send(bot.caller, conversation_id, "Here I am")
    assert (await stage.words(conversation_id))[-1] == "Here I am"


async def test_cancelling_what_a_block_paused_ends_it(stage: Stage) -> None:
    await stage.bot()
    conversation_id = await stage.write("Hello")
    contact_id = (await stage.thread(conversation_id)).contact_id
    await stage.process.blocks.block(stage.caller, contact_id, BlockIn(reason="spam"))
    (settled,) = await stage.room.paused.cancel(stage.caller, contact_id, None)
    assert (settled.outcome, settled.state) == ("cancelled", "ended")
    assert (await stage.thread(conversation_id)).run_id is None


# --- time -------------------------------------------------------------------------------------------------------------


async def test_who_does_not_answer_in_time_hands_off_by_itself(stage: Stage) -> None:
    bot = await stage.bot(answer_within=30)
    conversation_id = await stage.write("Hello")
    due = await stage.world.node.fetchval("SELECT due_at - created_at FROM timers WHERE kind = 'workflow.answer'")
    assert 30 <= due.total_seconds() < 35
    await stage.write("Hello?")
    assert await stage.world.node.fetchval("SELECT count(*) FROM timers WHERE kind = 'workflow.answer'") == 1
    assert await stage.time_out() == 1
    run, thread = await stage.run(conversation_id), await stage.thread(conversation_id)
    assert (run.state, run.reason, thread.status, thread.bot_id) == ("handed_off", "timed_out", "open", None)
    with pytest.raises(ComposerRefused) as refused:
        await stage.send(bot.caller, conversation_id, "Sorry, I was away")
    assert refused.value.facts["what_happened"] == "timed_out"


async def test_a_bot_that_we_have_not_told_gets_its_time_again_but_not_for_ever(stage: Stage) -> None:
    await stage.bot(answer_within=30)
    conversation_id = await stage.write("Hello")
    since = (await stage.run(conversation_id)).waiting_since
    for _ in range(3):
        assert await stage.time_out(told=False) == 1
        run = await stage.run(conversation_id)
        assert (run.state, run.waiting_since) == ("active", since)
        left = await stage.world.node.fetchval("SELECT due_at - now() FROM timers WHERE kind = 'workflow.answer'")
        assert 25 < left.total_seconds() <= 30
    assert await stage.time_out(told=False) == 1
    assert (await stage.run(conversation_id)).reason == "timed_out"


@pytest.mark.parametrize("fault", ["tried", "receiver down", "lane behind a failure"])
async def test_who_was_told_or_cannot_be_told_by_their_own_fault_gets_no_more_time(stage: Stage, fault: str) -> None:
    bot = await stage.bot()
    conversation_id = await stage.write("Hello")
    match fault:
        case "tried":
            await stage.execute(
                """INSERT INTO subscription_attempts (workspace_id, subscription_id, id, purpose, message_id, position,
                       kind, attempt, outcome, milliseconds, bytes, answer)
                   SELECT e.workspace_id, $1, gen_random_uuid(), 'event', 'm', e.position, e.kind, 1, 'delivered', 1, 1,
                       '' FROM events e WHERE e.kind = 'message.created'""",
                bot.view.subscription_id,
            )
        case "receiver down":
            await stage.execute("UPDATE subscriptions SET failing_since = now(), failures = 1")
        case _:
            await stage.execute(
                """INSERT INTO subscription_lanes (workspace_id, subscription_id, lane, position, attempts, next_at)
                   SELECT workspace_id, id, $1, 1, 1, now() FROM subscriptions""",
                conversation_id,
            )
    assert await stage.time_out(told=False) == 1
    assert (await stage.run(conversation_id)).reason == "timed_out"


async def test_an_answer_stops_the_time_and_the_next_message_starts_it_anew(stage: Stage) -> None:
    bot = await stage.bot()
    conversation_id = await stage.write("Hello")
    await stage.send(bot.caller, conversation_id, "Good morning")
    assert await stage.time_out() == 1
    assert (await stage.run(conversation_id)).state == "active", "it was answered"
    await stage.write("A question")
    assert (await stage.run(conversation_id)).waiting_since is not None
    assert await stage.time_out() == 1
    assert (await stage.run(conversation_id)).state == "handed_off"


async def test_who_is_given_a_waiting_customer_owes_an_answer(stage: Stage) -> None:
    bot = await stage.bot("on_request")
    conversation_id = await stage.write("Hello")
    await assigned(stage, conversation_id)
    run = await stage.room.service.start(stage.caller, conversation_id, StartIn(bot_id=bot.id, note="About his order"))
    assert (await stage.run(conversation_id)).waiting_since is not None
    assert run.note == "About his order"
    assert (await stage.thread(conversation_id)).assignee_id is None
    await stage.time_out()
    thread = await stage.thread(conversation_id)
    assert (thread.status, thread.assignee_id) == ("open", stage.caller.agent_id), "it goes back to whom it belonged"


# --- what people do with runs -----------------------------------------------------------------------------------------


async def test_pause_resume_hand_off_hand_back_and_end(stage: Stage) -> None:
    bot = await stage.bot("on_request")
    service, caller = stage.room.service, stage.caller
    thread, run = await stage.held(bot)
    epochs = [run.epoch]
    with pytest.raises(RunConflict):
        await service.start(caller, thread.id, StartIn(bot_id=bot.id))
    assert (await service.pause(caller, run.id, NoteIn(note="wait"))).state == "paused"
    assert (await stage.thread(thread.id)).status == "open"
    with pytest.raises(ComposerRefused):
        await stage.send(bot.caller, thread.id)
    with pytest.raises(RunConflict) as conflict:
        await service.pause(caller, run.id, NoteIn())
    assert conflict.value.facts["state"] == "paused"
    epochs.append((await service.resume(caller, run.id, NoteIn())).epoch)
    handed = await service.hand_off(bot.caller, run.id, HandOffIn(note="She wants a person"))
    assert (handed.state, handed.reason, handed.note) == ("handed_off", "by_bot", "She wants a person")
    assert handed.by is not None
    assert handed.by.kind == "bot"
    epochs.append((await service.hand_back(caller, run.id, NoteIn())).epoch)
    assert epochs == sorted(set(epochs)), "every lease has an epoch of its own"
    await stage.send(bot.caller, thread.id, "Back again", epoch=epochs[-1])
    with pytest.raises(ComposerRefused) as old:
        await stage.send(bot.caller, thread.id, "An old thought", epoch=epochs[0])
    assert (old.value.facts["what_happened"], old.value.facts["epoch"]) == ("wrong_epoch", epochs[-1])
    assert f"names epoch {epochs[0]}; the bot holds the conversation under {epochs[-1]}: " in old.value.detail
    with pytest.raises(ComposerRefused) as never:
        await stage.send(bot.caller, thread.id, "From the future", epoch=epochs[-1] + 1)
    assert never.value.facts["what_happened"] == "wrong_epoch"
    assert never.value.detail.endswith(f"under {epochs[-1]}"), "nothing happened that would explain it"
    ended = await service.end(caller, run.id, EndIn(close=True))
    assert (ended.state, ended.reason, (await stage.thread(thread.id)).status) == ("ended", "by_hand", "closed")
    trail = await stage.world.node.fetch("SELECT action FROM audit_entries WHERE subject_id = $1 ORDER BY id", run.id)
    assert [row[0].removeprefix("workflow.") for row in trail] == [
        "started",
        "paused",
        "resumed",
        "handed_off",
        "handed_back",
        "ended",
    ]


async def test_another_bot_instead(stage: Stage) -> None:
    one, two = await stage.bot("on_request", name="One"), await stage.bot("on_hand_off", name="Two")
    thread, run = await stage.held(one)
    following = await stage.room.service.change(stage.caller, run.id, StartIn(bot_id=two.id))
    assert (following.bot_id, (await stage.room.service.get(stage.caller, run.id)).reason) == (two.id, "changed")
    with pytest.raises(ComposerRefused) as refused:
        await stage.send(one.caller, thread.id)
    assert refused.value.facts["what_happened"] == "changed"
    await stage.send(two.caller, thread.id)


async def test_a_bot_hands_to_bots_that_take_it_and_to_no_others(stage: Stage) -> None:
    one, two = await stage.bot("on_request", name="One"), await stage.bot("on_hand_off", name="Two")
    unwilling = await stage.bot("on_request", name="Three")
    thread, run = await stage.held(one)
    with pytest.raises(BotRefused) as refused:
        await stage.room.service.hand_off(one.caller, run.id, HandOffIn(bot_id=unwilling.id))
    assert refused.value.facts["reason"] == "mode"
    await stage.room.service.hand_off(one.caller, run.id, HandOffIn(bot_id=two.id, note="An invoice"))
    runs = await stage.runs(thread.id)
    assert [(one.bot_name, one.state) for one in runs] == [("One", "handed_off"), ("Two", "active")]
    assert runs[1].note == "An invoice"


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("disabled", {"enabled": False}, "disabled"),
    ("of another channel", {"channels": True}, "channel"),
    ("which events do not reach", {"unheard": True}, "unreachable"),
]


@pytest.mark.parametrize(("how", "reason"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED])
async def test_a_bot_that_cannot_take_it_is_not_given_it(stage: Stage, how: dict[str, Any], reason: str) -> None:
    bot = await stage.bot("on_request")
    if "enabled" in how:
        await stage.process.bots.change(stage.admin, bot.id, BotPatch(enabled=False))
    if "channels" in how:
        other = await stage.world.add_channel("whatsapp", "222")
        await stage.process.bots.change(stage.admin, bot.id, BotPatch(channels=[other.id]))
    if "unheard" in how:
        await stage.execute("UPDATE subscriptions SET state = 'disabled', reason = 'gone'")
    thread = await stage.world.conversation()
    with pytest.raises(BotRefused) as refused:
        await stage.room.service.start(stage.caller, thread.id, StartIn(bot_id=bot.id))
    assert refused.value.facts["reason"] == reason
    with pytest.raises(BotUnknown):
        await stage.room.service.start(stage.caller, thread.id, StartIn(bot_id=uuid4()))


async def disabled(stage: Stage, bot: Bot) -> None:
    await stage.process.bots.change(stage.admin, bot.id, BotPatch(enabled=False))


async def deleted(stage: Stage, bot: Bot) -> None:
    await stage.process.bots.delete(stage.admin, bot.id)


@pytest.mark.parametrize("deed", [disabled, deleted])
async def test_a_bot_that_is_gone_holds_nothing(stage: Stage, deed: Callable[[Stage, Bot], Awaitable[None]]) -> None:
    bot = await stage.bot()
    conversations = [await stage.write("Hello", customer=number) for number in (1, 2, 3)]
    await deed(stage, bot)
    assert await stage.release() == 1
    for conversation_id in conversations:
        run, thread = await stage.run(conversation_id), await stage.thread(conversation_id)
        assert (run.state, run.reason, thread.status) == ("ended", "bot_disabled", "open")
    assert await stage.world.node.fetchval("SELECT disabled_at IS NOT NULL FROM agents WHERE id = $1", bot.id)


async def test_enabled_again_it_begins_with_what_happens_next(stage: Stage) -> None:
    bot = await stage.bot()
    await stage.process.bots.change(stage.admin, bot.id, BotPatch(enabled=False))
    await stage.execute("UPDATE subscriptions SET state = 'disabled', reason = 'owner_disabled'")
    await stage.write("Hello")
    view = await stage.process.bots.change(stage.admin, bot.id, BotPatch(enabled=True))
    assert (view.enabled, view.delivery) == (True, "enabled")
    head = await stage.world.node.fetchval("SELECT head FROM event_logs")
    assert await stage.world.node.fetchval("SELECT cursor FROM subscriptions") >= head - 3
    await stage.write("Hello", customer=2)
    assert await stage.world.node.fetchval("SELECT count(*) FROM workflow_runs") == 1


async def test_the_subscription_of_a_bot_goes_with_it(stage: Stage) -> None:
    bot = await stage.bot()
    registry = stage.process.bots._registry
    with pytest.raises(SubscriptionInUse):
        async with stage.world.node.database.transaction() as unit:
            await registry.delete(unit, stage.admin, bot.view.subscription_id)
    await stage.process.bots.delete(stage.admin, bot.id)
    assert await stage.world.node.fetchval("SELECT count(*) FROM subscriptions") == 0


# --- what a bot sees (P10) --------------------------------------------------------------------------------------------


async def test_a_bot_sees_and_does_only_what_it_holds(stage: Stage) -> None:
    bot, other = await stage.bot("on_request"), await stage.bot("on_request", name="Other")
    thread, run = await stage.held(bot)
    node = stage.world.node
    messages = Messages(node.database, node.event_log, node.conversations)
    sent = await stage.send(bot.caller, thread.id)
    assert (await node.conversations.read(bot.caller, thread.id)).conversation.id == thread.id
    assert [one.id for one in (await node.conversations.page(bot.caller, ConversationQuery())).items] == [thread.id]
    for caller in (other.caller, stranger(stage)):
        assert (await node.conversations.page(caller, ConversationQuery())).items == []
        tries: list[Awaitable[object]] = [
            node.conversations.read(caller, thread.id),
            node.conversations.mark_read(caller, thread.id, 1),
            messages.page(caller, thread.id, MessageQuery()),
            messages.read(caller, sent.message.id),
            stage.send(caller, thread.id),
            stage.room.service.list(caller, thread.id, before=None, limit=5),
        ]
        for one in tries:
            with pytest.raises(ConversationUnknown):
                await one
        moves: list[Awaitable[object]] = [
            stage.room.service.get(caller, run.id),
            stage.room.service.hand_off(caller, run.id, HandOffIn()),
            stage.room.service.end(caller, run.id, EndIn()),
        ]
        for one in moves:
            with pytest.raises(RunUnknown):
                await one
    for forbidden in (
        stage.room.service.start(bot.caller, thread.id, StartIn(bot_id=bot.id)),
        stage.room.service.pause(bot.caller, run.id, NoteIn()),
        stage.process.bots.list(bot.caller, after=None, limit=5),
        stage.process.bots.delete(replace(stage.caller, role="agent"), bot.id),
    ):
        with pytest.raises(Forbidden):
            await forbidden
    await stage.room.service.pause(stage.caller, run.id, NoteIn())
    with pytest.raises(ConversationUnknown):
        await node.conversations.read(bot.caller, thread.id)


async def test_a_repeated_send_answers_with_the_first_one_whoever_holds_it_by_then(stage: Stage) -> None:
    bot = await stage.bot("on_request")
    thread, _ = await stage.held(bot)
    first = await stage.send(bot.caller, thread.id, "Once", client_token="one")
    await answered(stage, thread.id)
    again = await stage.send(bot.caller, thread.id, "Once", client_token="one")
    assert (again.replayed, again.message.id) == (True, first.message.id)
    with pytest.raises(ComposerRefused):
        await stage.send(bot.caller, thread.id, "Another", client_token="two")


# --- threads that become one ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("holders", [("One",), ("Two",), ("One", "Two")])
async def test_when_two_threads_become_one_one_bot_goes_on_under_a_new_lease(
    stage: Stage, holders: tuple[str, ...]
) -> None:
    """The thread that is left keeps its own bot, or gets that of the other."""
    bots = {name: await stage.bot("on_request", name=name) for name in ("One", "Two")}
    threads = {"One": await stage.world.conversation(), "Two": await stage.world.conversation()}
    for name in holders:
        await stage.room.service.start(stage.caller, threads[name].id, StartIn(bot_id=bots[name].id))
    await stage.join(1, 2)
    (left,) = [row[0] for row in await stage.world.node.fetch("SELECT id FROM conversations")]
    own = next(name for name, thread in threads.items() if thread.id == left)
    keeper = bots[own if own in holders else holders[0]]
    thread = await stage.thread(left)
    (run,) = [run for run in await stage.runs(left) if run.current]
    assert (thread.bot_id, thread.run_id, run.bot_id) == (keeper.id, run.id, keeper.id)
    assert (run.epoch, thread.status) == (thread.epoch, "pending")
    await stage.send(keeper.caller, left, "Still here", epoch=thread.epoch)
    with pytest.raises(ComposerRefused):
        await stage.send(keeper.caller, left, "Before that", epoch=thread.epoch - 1)
    states = {run.bot_name: (run.state, run.reason) for run in await stage.runs(left)}
    expected = {name: ("active" if bots[name] is keeper else "ended", "merged") for name in holders}
    assert states == expected
