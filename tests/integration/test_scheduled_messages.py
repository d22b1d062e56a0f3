"""Scheduled messages on real rows: what becomes of one at its time, what people may do with it, and what is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from scheduled_world import Stage, at, make_stage, order

from channels.types import Fault
from contacts import reachability
from inbox.blocking.schemas import BlockIn
from inbox.conversations.repository import Thread
from inbox.conversations.schemas import ConversationPatch
from inbox.conversations.service import ConversationUnknown
from inbox.kernel.errors import Forbidden, Invalid
from inbox.kernel.versions import VersionChanged
from inbox.messages.sending import ComposerRefused, TokenReused
from scheduler.scheduled.errors import NotTheAuthor, ScheduledUnknown, TooLateToChange
from scheduler.scheduled.schemas import ResumeIn, ScheduledQuery, SchedulePatch


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with make_stage(database_url) as stage:
        yield stage


async def test_it_goes_out_at_its_time_as_its_author(stage: Stage) -> None:
    thread = await stage.world.conversation()
    made = await stage.schedule(thread)
    assert (made.state, made.preview, made.author.name) == ("scheduled", "How did it go?", "Ada")
    assert (await stage.thread(thread)).automated
    assert await stage.fire() == 0, "an hour is left"
    assert await stage.come_due(made.id) == ("due", None)
    (message_id,) = await stage.messages(made.id)
    assert not (await stage.thread(thread)).automated
    await stage.world.run_until_idle()
    row = await stage.row(made.id)
    assert (row.state, row.message_id, row.occurrences) == ("sent", message_id, 1)
    author = await stage.world.node.fetch("SELECT author_kind, author_id, origin_kind FROM messages")
    assert [tuple(one) for one in author] == [("agent", stage.caller.agent_id, "scheduled")]
    assert (await stage.thread(thread)).epoch == thread.epoch, "nobody is there who could take over"
    assert await stage.trail(made.id) == ["created", "handed_over", "sent"]
    told = [one["scheduled_message"]["state"] for one in await stage.events()]
    assert told == ["scheduled", "due", "sent"]
    assert await stage.fire() == 0
    assert len(await stage.messages(made.id)) == 1


async def test_lateness_is_measured_from_its_time_to_the_hand_over(stage: Stage) -> None:
    made = await stage.schedule(await stage.world.conversation())
    await stage.come_due(made.id, timedelta(minutes=5))
    lateness = (await stage.row(made.id)).lateness_ms
    assert lateness is not None
    assert 300_000 <= lateness < 310_000
    assert [round(one) for one in stage.process.lateness] == [300]


async def block(stage: Stage, thread: Thread) -> None:
    """The column alone, as if the reaction had not been there: what the clock finds."""
    await stage.execute("UPDATE contacts SET blocked_at = now()")


async def close(stage: Stage, thread: Thread) -> None:
    await stage.world.node.conversations.change(
        stage.caller, thread.id, ConversationPatch(status="closed"), version=None
    )


async def shut(stage: Stage, thread: Thread) -> None:
    await stage.set_window(thread, timedelta(hours=30))


async def disable(stage: Stage, thread: Thread) -> None:
    await stage.execute("UPDATE channels SET state = 'disabled'")


async def lose(stage: Stage, thread: Thread) -> None:
    await stage.execute("UPDATE identities SET unreachable = 'blocked_us'")


async def stop(stage: Stage, thread: Thread) -> None:
    await stage.execute("UPDATE identities SET marketing_stopped_at = now()")


async def wrote(stage: Stage, thread: Thread) -> None:
    await stage.execute("UPDATE conversations SET last_inbound_number = 7")


async def nothing(stage: Stage, thread: Thread) -> None: ...


Change = Callable[[Stage, Thread], Awaitable[None]]
DAY = timedelta(days=1)
FOUND: list[tuple[str, dict[str, Any], Change, timedelta, tuple[str, str | None]]] = [
    ("nothing", {}, nothing, timedelta(0), ("due", None)),
    ("blocked", {}, block, timedelta(0), ("held", "blocked")),
    ("window closed", {}, shut, timedelta(0), ("held", "window_closed")),
    ("channel disabled", {}, disable, timedelta(0), ("held", "channel_disabled")),
    ("unreachable", {}, lose, timedelta(0), ("held", "unreachable")),
    ("opted out", {"purpose": "marketing"}, stop, timedelta(0), ("held", "opted_out")),
    ("opted out, no marketing", {}, stop, timedelta(0), ("due", None)),
    ("wrote, to be held", {"hold_on_reply": True}, wrote, timedelta(0), ("held", "replied")),
    ("wrote", {}, wrote, timedelta(0), ("due", None)),
    ("closed, send", {}, close, timedelta(0), ("due", None)),
    ("closed, skip", {"when_closed": "skip"}, close, timedelta(0), ("skipped", "conversation_closed")),
    ("closed, hold", {"when_closed": "hold"}, close, timedelta(0), ("held", "conversation_closed")),
    ("late, send", {"catch_up": {"policy": "send", "late_after": 60}}, nothing, DAY, ("due", None)),
    ("late, skip", {"catch_up": {"policy": "skip", "late_after": 60}}, nothing, DAY, ("skipped", "late")),
    ("late, hold", {"catch_up": {"policy": "hold", "late_after": 60}}, nothing, DAY, ("held", "late")),
    (
        "late within tolerance",
        {"catch_up": {"policy": "skip", "late_after": 60}},
        nothing,
        timedelta(seconds=30),
        ("due", None),
    ),
]


@pytest.mark.parametrize(
    ("given", "change", "late", "wanted"), [pytest.param(*row[1:], id=row[0].replace(" ", "-")) for row in FOUND]
)
async def test_what_the_clock_finds_decides(
    stage: Stage, given: dict[str, Any], change: Change, late: timedelta, wanted: tuple[str, str | None]
) -> None:
    thread = await stage.world.conversation()
    made = await stage.schedule(thread, **given)
    await change(stage, thread)
    assert await stage.come_due(made.id, late) == wanted
    assert len(await stage.messages(made.id)) == (wanted[0] == "due")
    assert not (await stage.thread(thread)).automated


QUEUED: list[tuple[str, dict[str, Any], Change, tuple[str, str | None]]] = [
    ("blocked", {}, block, ("held", "blocked")),
    ("window closed", {}, shut, ("held", "window_closed")),
    ("channel disabled", {}, disable, ("held", "channel_disabled")),
    ("unreachable", {}, lose, ("held", "unreachable")),
    ("opted out", {"purpose": "marketing"}, stop, ("held", "opted_out")),
    ("wrote", {"hold_on_reply": True}, wrote, ("held", "replied")),
    ("closed, skip", {"when_closed": "skip"}, close, ("skipped", "conversation_closed")),
    ("closed, hold", {"when_closed": "hold"}, close, ("held", "conversation_closed")),
]


@pytest.mark.parametrize(("given", "change", "wanted"), [pytest.param(*row[1:], id=row[0]) for row in QUEUED])
async def test_what_the_last_gate_refuses_shows_on_the_scheduled_message(
    stage: Stage, given: dict[str, Any], change: Change, wanted: tuple[str, str | None]
) -> None:
    thread = await stage.world.conversation()
    made = await stage.schedule(thread, **given)
    assert await stage.come_due(made.id) == ("due", None)
    await change(stage, thread)
    assert await stage.world.claim() == []
    assert await stage.state(made.id) == wanted
    assert stage.world.adapter.sent == []


async def test_a_reply_holds_it_at_once_and_a_person_lets_it_go_on(stage: Stage) -> None:
    thread = await stage.world.conversation()
    held = await stage.schedule(thread, hold_on_reply=True)
    other = await stage.schedule(thread)
    await stage.reply()
    assert await stage.state(held.id) == ("held", "replied")
    assert await stage.state(other.id) == ("scheduled", None)
    assert (await stage.thread(thread)).automated, "the other one still waits"
    resumed = await stage.room.changes.resume(stage.caller, held.id, ResumeIn())
    assert (resumed.state, resumed.due_at) == ("scheduled", held.due_at)
    assert await stage.come_due(held.id) == ("due", None), "what was known by then holds it no more"
    await stage.reply()
    assert await stage.world.claim() == []
    assert await stage.state(held.id) == ("held", "replied")


async def test_a_timer_of_what_was_held_meanwhile_does_nothing(stage: Stage) -> None:
    made = await stage.schedule(await stage.world.conversation(), hold_on_reply=True)
    await stage.reply()
    assert len(await stage.timers()) == 1, "a reaction touches no timer"
    assert await stage.come_due(made.id) == ("held", "replied")
    assert await stage.messages(made.id) == []
    assert await stage.timers() == []


async def test_a_block_holds_what_waits_and_it_stays_so(stage: Stage) -> None:
    thread = await stage.world.conversation()
    made = await stage.schedule(thread)
    await stage.blocks.block(stage.caller, thread.contact_id, BlockIn())
    assert await stage.state(made.id) == ("held", "blocked")
    await stage.blocks.unblock(stage.caller, thread.contact_id)
    assert await stage.come_due(made.id) == ("held", "blocked"), "nothing goes on by itself"


async def test_who_cannot_be_reached_any_more_holds_what_waits_there(stage: Stage) -> None:
    thread = await stage.world.conversation()
    made = await stage.schedule(thread)
    async with stage.world.node.database.transaction() as unit:
        await reachability.set_unreachable(unit, stage.world.workspace_id, thread.identity_id, "blocked_us")
    assert await stage.state(made.id) == ("held", "unreachable")


async def test_who_stops_marketing_holds_marketing_only(stage: Stage) -> None:
    thread = await stage.world.conversation()
    offer = await stage.schedule(thread, purpose="marketing")
    answer = await stage.schedule(thread)
    async with stage.world.node.database.transaction() as unit:
        await reachability.stop_marketing(unit, stage.world.workspace_id, thread.identity_id, "asked")
    assert await stage.state(offer.id) == ("held", "opted_out")
    assert await stage.state(answer.id) == ("scheduled", None)


async def test_what_can_never_be_sent_is_refused_now(stage: Stage) -> None:
    thread = await stage.world.conversation()
    await block(stage, thread)
    with pytest.raises(ComposerRefused) as refused:
        await stage.schedule(thread)
    assert refused.value.facts["reason"] == "contact_blocked"
    assert await stage.timers() == []
    assert not (await stage.thread(thread)).automated


async def test_a_closed_window_is_a_matter_of_its_time(stage: Stage) -> None:
    thread = await stage.world.conversation(window_opened=None)
    assert (await stage.schedule(thread)).state == "scheduled"


@pytest.mark.parametrize(
    ("when", "code"),
    [
        (at(-timedelta(minutes=2)), "in_the_past"),
        (at(timedelta(days=6 * 366)), "too_far"),
        ({"type": "local", "local": "2001-01-01T09:00"}, "in_the_past"),
    ],
)
async def test_times_that_make_no_sense_are_refused(stage: Stage, when: dict[str, Any], code: str) -> None:
    thread = await stage.world.conversation()
    with pytest.raises(Invalid) as refused:
        await stage.schedule(thread, when=when)
    assert refused.value.faults[0].code == code


async def test_a_recurrence_that_ended_is_refused(stage: Stage) -> None:
    thread = await stage.world.conversation()
    over = {"type": "recurring", "cron": "0 9 * * *", "until": at()["at"]}
    with pytest.raises(Invalid):
        await stage.schedule(thread, when=over)


# --- people -----------------------------------------------------------------------------------------------------------


async def test_the_same_key_schedules_once(stage: Stage) -> None:
    thread = await stage.world.conversation()
    given = order(client_token="k", when={"type": "at", "at": "2029-01-01T09:00:00Z"})
    first = await stage.room.service.create(stage.caller, thread.id, given)
    again = await stage.room.service.create(stage.caller, thread.id, given)
    assert (first.replayed, again.replayed) == (False, True)
    assert again.scheduled_message.id == first.scheduled_message.id
    assert len(await stage.timers()) == 1
    with pytest.raises(TokenReused):
        await stage.schedule(thread, client_token="k")


async def test_only_the_author_and_supervisors_change_it(stage: Stage) -> None:
    made = await stage.schedule(await stage.world.conversation())
    for change in (stage.room.changes.cancel, stage.room.changes.send_now):
        with pytest.raises(NotTheAuthor):
            await change(stage.colleague, made.id)
    with pytest.raises(NotTheAuthor):
        await stage.room.changes.edit(stage.colleague, made.id, SchedulePatch(when_closed="skip"), version=None)
    assert len(await stage.timers()) == 1, "what is refused changes nothing"
    seen = await stage.room.service.read(stage.colleague, made.id)
    assert seen.scheduled_message.id == made.id, "they may see it"
    assert (await stage.room.changes.cancel(stage.supervisor, made.id)).state == "cancelled"
    assert await stage.timers() == []


async def test_lists_show_agents_their_own_and_supervisors_everything(stage: Stage) -> None:
    thread, colleague = await stage.world.conversation(), stage.colleague
    mine = await stage.schedule(thread, when=at(timedelta(hours=2)))
    theirs = await stage.schedule(thread, by=colleague)
    service, everything = stage.room.service, ScheduledQuery()

    async def listed(by: Any, query: ScheduledQuery = everything) -> list[UUID]:
        return [one.id for one in (await service.page(by, query)).items]

    assert await listed(stage.caller) == [mine.id]
    assert await listed(stage.supervisor) == [theirs.id, mine.id], "by their times"
    assert await listed(stage.supervisor, ScheduledQuery(author_id=colleague.agent_id)) == [theirs.id]
    assert await listed(stage.supervisor, ScheduledQuery(due_before=mine.due_at)) == [theirs.id]
    assert await listed(stage.supervisor, ScheduledQuery(due_from=mine.due_at)) == [mine.id]
    assert await listed(stage.supervisor, ScheduledQuery(state=["sent"])) == []
    in_thread = await service.of_conversation(stage.caller, thread.id, everything)
    of_contact = await service.of_contact(stage.caller, thread.contact_id, everything)
    assert [one.id for one in in_thread.items] == [one.id for one in of_contact.items] == [theirs.id, mine.id]
    first = await service.page(stage.supervisor, ScheduledQuery(limit=1))
    assert [one.id for one in first.items] == [theirs.id]
    assert await listed(stage.supervisor, ScheduledQuery(limit=1, after=first.next)) == [mine.id]


async def test_an_edit_changes_what_is_sent_and_a_stale_one_is_refused(stage: Stage) -> None:
    made = await stage.schedule(await stage.world.conversation())
    patch = SchedulePatch.model_validate({"parts": [{"type": "text", "text": "How was it?"}]})
    edited = await stage.room.changes.edit(stage.caller, made.id, patch, version=1)
    assert (edited.preview, edited.version, edited.due_at) == ("How was it?", 2, made.due_at)
    with pytest.raises(VersionChanged):
        await stage.room.changes.edit(stage.caller, made.id, patch, version=1)
    assert await stage.come_due(made.id) == ("due", None)
    (message_id,) = await stage.messages(made.id)
    parts = await stage.world.node.fetchval("SELECT parts FROM messages WHERE id = $1", message_id)
    assert parts[0]["text"] == "How was it?"


async def test_it_is_moved_to_another_time(stage: Stage) -> None:
    made = await stage.schedule(await stage.world.conversation())
    patch = SchedulePatch.model_validate({"when": at(timedelta(hours=3))})
    moved = await stage.room.changes.edit(stage.caller, made.id, patch, version=None)
    ((_, due_at),) = await stage.timers()
    assert due_at == moved.due_at
    assert await stage.trail(made.id) == ["created", "rescheduled"]
    assert await stage.come_due(made.id) == ("due", None)


async def test_send_now_asks_no_conditions_but_what_no_composer_would_take(stage: Stage) -> None:
    thread = await stage.world.conversation()
    made = await stage.schedule(thread, hold_on_reply=True, when_closed="hold")
    await stage.reply()
    await close(stage, thread)
    before = (await stage.thread(thread)).epoch
    sent = await stage.room.changes.send_now(stage.supervisor, made.id)
    assert (sent.state, sent.lateness_ms) == ("due", None)
    assert (await stage.thread(thread)).epoch == before + 1, "a person is there"
    await stage.world.run_until_idle()
    assert await stage.state(made.id) == ("sent", None)
    assert await stage.fire() == 0
    second = await stage.schedule(thread)
    await disable(stage, thread)
    with pytest.raises(ComposerRefused):
        await stage.room.changes.send_now(stage.caller, second.id)
    assert await stage.state(second.id) == ("scheduled", None)
    assert len(await stage.timers()) == 1


async def test_cancelled_means_never_sent_also_when_it_is_due(stage: Stage) -> None:
    thread = await stage.world.conversation()
    waiting, due = await stage.schedule(thread), await stage.schedule(thread)
    assert await stage.come_due(due.id) == ("due", None)
    for one in (waiting, due):
        assert (await stage.room.changes.cancel(stage.caller, one.id)).state == "cancelled"
    await stage.fire()
    await stage.world.run_until_idle()
    assert stage.world.adapter.sent == []
    assert await stage.trail(due.id) == ["created", "handed_over", "cancelled"]
    with pytest.raises(TooLateToChange) as refused:
        await stage.room.changes.cancel(stage.caller, due.id)
    assert (refused.value.facts["state"], refused.value.facts["what_happened"]) == ("cancelled", "It was cancelled.")


async def test_what_has_left_cannot_be_cancelled_edited_or_sent_again(stage: Stage) -> None:
    made = await stage.schedule(await stage.world.conversation())
    await stage.come_due(made.id)
    assert len(await stage.world.claim()) == 1, "it is in the air"
    with pytest.raises(TooLateToChange) as refused:
        await stage.room.changes.cancel(stage.caller, made.id)
    assert refused.value.facts["state"] == "due"
    for change in (
        stage.room.changes.edit(stage.caller, made.id, SchedulePatch(when_closed="skip"), version=None),
        stage.room.changes.send_now(stage.caller, made.id),
        stage.room.changes.resume(stage.caller, made.id, ResumeIn()),
    ):
        with pytest.raises(TooLateToChange):
            await change


async def test_who_takes_the_message_back_has_cancelled_what_was_scheduled(stage: Stage) -> None:
    made = await stage.schedule(await stage.world.conversation())
    await stage.come_due(made.id)
    (message_id,) = await stage.messages(made.id)
    await stage.process.deliveries.cancel(stage.caller, message_id)
    assert await stage.state(made.id) == ("cancelled", None)


async def test_a_failed_one_that_is_tried_again_is_sent(stage: Stage) -> None:
    made = await stage.schedule(await stage.world.conversation())
    await stage.come_due(made.id)
    stage.world.adapter.script.append(Fault("policy", "Refused."))
    await stage.world.run_until_idle()
    assert await stage.state(made.id) == ("failed", "policy")
    (message_id,) = await stage.messages(made.id)
    await stage.process.deliveries.retry(stage.caller, message_id)
    assert await stage.state(made.id) == ("due", None)
    await stage.world.run_until_idle()
    assert await stage.state(made.id) == ("sent", None)


async def test_nobody_knows_is_shown_and_not_repeated(stage: Stage) -> None:
    made = await stage.schedule(await stage.world.conversation())
    await stage.come_due(made.id)
    await stage.world.claim()
    await stage.execute("UPDATE deliveries SET sending_since = now() - interval '1 hour'")
    await stage.world.sweeper(uncertain_after=1, send_timeout=1).sweep()
    row = await stage.row(made.id)
    assert (row.state, row.uncertain) == ("due", True)
    with pytest.raises(TooLateToChange) as refused:
        await stage.room.changes.cancel(stage.caller, made.id)
    assert "nobody knows" in str(refused.value.facts["what_happened"])
    assert await stage.fire() == 0


async def test_history_tells_who_did_what(stage: Stage) -> None:
    made = await stage.schedule(await stage.world.conversation())
    supervisor = stage.supervisor
    await stage.room.changes.cancel(supervisor, made.id)
    history = await stage.room.service.history(stage.caller, made.id)
    assert [(one.action, one.actor.name) for one in history.entries] == [
        ("scheduled.cancelled", "Grace"),
        ("scheduled.created", "Ada"),
    ]
    with pytest.raises(ScheduledUnknown):
        await stage.room.service.history(stage.caller, made.conversation_id)


async def test_it_shows_what_the_thread_would_show(stage: Stage) -> None:
    made = await stage.schedule(await stage.world.conversation())
    detail = await stage.room.service.read(stage.caller, made.id)
    assert detail.problem is None
    assert detail.parts is not None
    assert [part.text for part in detail.parts] == ["How did it go?"]


async def test_bots_schedule_nothing(stage: Stage) -> None:
    with pytest.raises(Forbidden):
        await stage.schedule(await stage.world.conversation(), by=replace(stage.caller, role="bot"))


async def test_its_files_are_kept_beyond_its_time(stage: Stage) -> None:
    file = stage.process.files.put("image/png")
    thread = await stage.world.conversation()
    picture = {"type": "media", "kind": "image", "media_id": str(file.id)}
    made = await stage.schedule(thread, parts=[picture])
    assert made.preview == "[image]"
    assert stage.process.files.kept == [({file.id}, made.due_at + timedelta(days=30))]
    patch = SchedulePatch.model_validate({"when": at(timedelta(days=9))})
    moved = await stage.room.changes.edit(stage.caller, made.id, patch, version=None)
    assert stage.process.files.kept[-1] == ({file.id}, moved.due_at + timedelta(days=30))
    stage.process.files.known.clear()
    with pytest.raises(Invalid) as gone:
        await stage.schedule(thread, parts=[picture])
    assert gone.value.faults[0].code == "media_unknown"
    assert (await stage.room.service.read(stage.caller, made.id)).problem is not None
    assert await stage.come_due(made.id) == ("failed", "invalid"), "the file is gone all the same"


async def test_who_is_confined_to_what_they_hold_finds_nothing_else(stage: Stage) -> None:
    thread = await stage.world.conversation()
    made = await stage.schedule(thread)
    bot = replace(stage.caller, agent_id=made.id, role="bot")
    assert (await stage.room.service.of_contact(bot, thread.contact_id, ScheduledQuery())).items == []
    for look in (
        stage.room.service.of_conversation(bot, thread.id, ScheduledQuery()),
        stage.room.service.read(bot, made.id),
        stage.room.service.history(bot, made.id),
    ):
        with pytest.raises(ConversationUnknown):
            await look


async def test_what_has_left_in_part_is_not_offered_again_from_the_beginning(stage: Stage) -> None:
    thread = await stage.world.conversation()
    parts = [{"type": "text", "text": text} for text in ("one", "two")]
    made = await stage.schedule(thread, parts=parts, hold_on_reply=True)
    await stage.come_due(made.id)
    claim = (await stage.world.claim())[0]
    await wrote(stage, thread)  # between the first piece and the second
    await stage.execute(
        "UPDATE deliveries SET state = 'sent', sent_at = now() WHERE message_id = $1 AND ordinal = 0", claim.message_id
    )
    await stage.execute("UPDATE deliveries SET due_at = now() WHERE message_id = $1 AND ordinal = 1", claim.message_id)
    assert await stage.world.claim() == []
    assert await stage.state(made.id) == ("failed", "replied")
    with pytest.raises(TooLateToChange):
        await stage.room.changes.resume(stage.caller, made.id, ResumeIn())
