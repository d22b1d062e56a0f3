"""Time in the room itself: zones that change, hours that are quiet, recurrences, windows, threads that become one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from scheduled_world import Stage, at, make_stage

import inbox.conversations.service
import inbox.messages.sending
import scheduler.clock
from channels.inbound import StatusReported
from channels.types import Fault
from contacts.schemas import ContactIn
from contacts.service import Contacts
from inbox.agents.principal import Principal
from inbox.agents.schemas import WorkspacePatch
from inbox.agents.workspaces import Workspaces
from inbox.blocking.pausable import APART, Slots
from inbox.blocking.schemas import BlockIn
from inbox.conversations.repository import Thread
from inbox.kernel.secrets import Passwords
from inbox.messages.joining import ThreadJoiner
from scheduler.scheduled.repository import Scheduled
from scheduler.scheduled.schemas import ResumeIn, SchedulePatch

TEMPLATE = {"type": "template", "name": "hello", "language": "en", "components": [{"type": "body", "parameters": []}]}
SHUT = Fault("window_closed", "The window is closed.", "131047")
DAILY = {"type": "recurring", "cron": "0 9 * * *", "zone": "Europe/Berlin"}


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with make_stage(database_url) as stage:
        yield stage


async def live_in(stage: Stage, thread: Thread, zone: str | None) -> None:
    fields = ContactIn.model_validate({"time_zone": zone})
    await Contacts(stage.world.node.database).change(stage.world.workspace_id, thread.contact_id, fields, version=None)


async def patch_workspace(stage: Stage, **given: Any) -> None:
    admin = Principal(stage.world.workspace_id, stage.caller.agent_id, "Ada", "admin", stage.caller.token_id)
    patch = WorkspacePatch.model_validate(given)
    await Workspaces(stage.world.node.database, Passwords()).change(admin, patch)


def wall(days: int, clock: str = "09:00") -> str:
    """This time of the day in some days."""
    return f"{datetime.now(UTC).date() + timedelta(days=days)}T{clock}"


def instant(local: str, zone: str) -> datetime:
    return datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


# --- zones ------------------------------------------------------------------------------------------------------------


async def test_a_wall_time_is_the_contacts_or_else_the_workspaces(stage: Stage) -> None:
    thread, local = await stage.world.conversation(), wall(3)
    await patch_workspace(stage, time_zone="Asia/Tokyo")
    made = await stage.schedule(thread, when={"type": "local", "local": local})
    assert (made.zone, made.due_at) == ("Asia/Tokyo", instant(local, "Asia/Tokyo"))
    named = await stage.schedule(thread, when={"type": "local", "local": local, "zone": "America/New_York"})
    assert (named.zone, named.due_at) == ("America/New_York", instant(local, "America/New_York"))
    await live_in(stage, thread, "Europe/Berlin")
    theirs = await stage.schedule(thread, when={"type": "local", "local": local})
    assert theirs.due_at == instant(local, "Europe/Berlin")


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"], ids=["earlier", "later"])
async def test_a_zone_that_changes_moves_what_follows_it(stage: Stage, zone: str) -> None:
    thread, local = await stage.world.conversation(), wall(3)
    follows = await stage.schedule(thread, when={"type": "local", "local": local})
    named = await stage.schedule(thread, when={"type": "local", "local": local, "zone": "UTC"})
    fixed = await stage.schedule(thread, when={"type": "at", "at": f"{local}:00Z"})
    await live_in(stage, thread, zone)
    assert await stage.fire() == 1, "the clock reckons anew"
    row = await stage.row(follows.id)
    assert (row.zone, row.due_at) == (zone, instant(local, zone))
    assert dict(await stage.timers())[row.timer_key] == row.due_at
    for other in (named, fixed):
        assert (await stage.row(other.id)).version == 1
    await live_in(stage, thread, None)
    await stage.fire()
    assert (await stage.row(follows.id)).due_at == instant(local, "UTC"), "back to the workspace's"


async def test_a_workspace_that_moves_takes_those_along_who_have_no_zone_of_their_own(stage: Stage) -> None:
    local = wall(3)
    here, there = await stage.world.conversation(), await stage.world.conversation()
    await live_in(stage, there, "Europe/Berlin")
    ours = await stage.schedule(here, when={"type": "local", "local": local})
    theirs = await stage.schedule(there, when={"type": "local", "local": local})
    await patch_workspace(stage, time_zone="Asia/Tokyo")
    assert await stage.fire() == 1
    assert (await stage.row(ours.id)).due_at == instant(local, "Asia/Tokyo")
    assert (await stage.row(theirs.id)).due_at == instant(local, "Europe/Berlin")


async def test_the_zone_at_its_time_counts_even_where_nobody_told(stage: Stage) -> None:
    """The column alone is changed: the clock that comes at the old time finds the new one."""
    thread = await stage.world.conversation()
    now = datetime.now(UTC)
    local = f"{now:%Y-%m-%dT%H:%M}"
    made = await stage.schedule(thread, when={"type": "local", "local": local, "zone": None})
    west = "Etc/GMT+3"
    await stage.execute("UPDATE contacts SET time_zone = $1", west)
    await stage.fire()
    row = await stage.row(made.id)
    assert (row.state, row.due_at) == ("scheduled", instant(local, west))
    assert await stage.messages(made.id) == []


@pytest.mark.parametrize(
    ("policy", "wanted"), [("send", ("due", None)), ("skip", ("skipped", "late")), ("hold", ("held", "late"))]
)
async def test_a_zone_by_which_its_time_has_passed_makes_it_late(
    stage: Stage, policy: str, wanted: tuple[str, str | None]
) -> None:
    thread, now = await stage.world.conversation(), datetime.now(UTC)
    await live_in(stage, thread, "Etc/GMT+3")
    local = f"{now + timedelta(hours=1):%Y-%m-%dT%H:%M}"
    made = await stage.schedule(thread, when={"type": "local", "local": local}, catch_up={"policy": policy})
    await live_in(stage, thread, "Etc/GMT-14")
    await stage.fire()
    await stage.fire()
    assert await stage.state(made.id) == wanted
    assert all(late < 10 for late in stage.process.lateness), "it counts from the change on, not from the time before"
    assert len(stage.process.lateness) == (1 if policy == "send" else 0)


async def test_a_zone_found_at_its_time_counts_from_then_on(stage: Stage) -> None:
    """The column alone is changed, and the timer of the old time fires."""
    thread, now = await stage.world.conversation(), datetime.now(UTC)
    await live_in(stage, thread, "UTC")
    made = await stage.schedule(thread, when={"type": "local", "local": f"{now:%Y-%m-%dT%H:%M}"})
    await stage.execute("UPDATE contacts SET time_zone = 'Etc/GMT-14'")
    await stage.fire()
    assert await stage.state(made.id) == ("due", None)
    (late,) = stage.process.lateness
    assert late < 70


async def test_a_person_who_moved_it_is_not_overruled_by_a_zone(stage: Stage) -> None:
    thread = await stage.world.conversation()
    made = await stage.schedule(thread, when={"type": "local", "local": wall(3)})
    patch = SchedulePatch.model_validate({"when": at(timedelta(hours=2))})
    moved = await stage.room.changes.edit(stage.caller, made.id, patch, version=None)
    await live_in(stage, thread, "Asia/Tokyo")
    await stage.fire()
    assert (await stage.row(made.id)).due_at == moved.due_at


class Slow(datetime):
    """The clock of a node that is minutes behind."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) - timedelta(minutes=7)


class Fast(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) + timedelta(minutes=7)


@pytest.mark.parametrize("clock", [Slow, Fast])
async def test_the_clock_of_a_node_does_not_count(
    stage: Stage, clock: type[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = await stage.world.conversation(window_opened=timedelta(hours=23, minutes=55))
    soon, due = await stage.schedule(thread, when=at(timedelta(minutes=3))), await stage.schedule(thread)
    for module in (inbox.messages.sending, inbox.conversations.service, scheduler.clock):
        monkeypatch.setattr(module, "datetime", clock)
    assert await stage.come_due(due.id) == ("due", None), "the window is open for five minutes yet"
    assert await stage.state(soon.id) == ("scheduled", None), "three minutes too early"
    lateness = (await stage.row(due.id)).lateness_ms
    assert lateness is not None
    assert lateness < 5_000
    await stage.world.run_until_idle()
    assert await stage.state(due.id) == ("sent", None), "and it leaves at once"
    made = await stage.schedule(thread, when=at(timedelta(minutes=1)))
    assert made.created_at < made.due_at


# --- hours ------------------------------------------------------------------------------------------------------------


def around(now: datetime, before: int, after: int) -> dict[str, str]:
    return {
        "from": f"{now + timedelta(minutes=before):%H:%M}",
        "to": f"{now + timedelta(minutes=after):%H:%M}",
    }


async def test_quiet_hours_postpone_where_they_are_asked_for(stage: Stage) -> None:
    now = datetime.now(ZoneInfo("Asia/Tokyo"))
    thread = await stage.world.conversation()
    await live_in(stage, thread, "Asia/Tokyo")
    await patch_workspace(stage, quiet_hours=around(now, -60, 60))
    careful, careless = await stage.schedule(thread, quiet_hours=True), await stage.schedule(thread)
    assert await stage.come_due(careless.id) == ("due", None)
    assert await stage.come_due(careful.id) == ("scheduled", "quiet_hours")
    row = await stage.row(careful.id)
    end = (now + timedelta(minutes=60)).replace(second=0, microsecond=0)
    assert row.due_at == end
    assert dict(await stage.timers())[row.timer_key] == end
    assert (await stage.thread(thread)).automated
    await patch_workspace(stage, quiet_hours=None)
    assert await stage.come_due(careful.id) == ("due", None)
    assert (await stage.row(careful.id)).lateness_ms is not None


async def test_business_hours_postpone_to_their_opening(stage: Stage) -> None:
    thread = await stage.world.conversation()
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    weekday = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[tomorrow.weekday()]
    await patch_workspace(stage, business_hours={"weekly": {weekday: [{"from": "09:00", "to": "17:00"}]}})
    made = await stage.schedule(thread, business_hours=True)
    assert await stage.come_due(made.id) == ("scheduled", "business_hours")
    assert (await stage.row(made.id)).due_at == datetime(tomorrow.year, tomorrow.month, tomorrow.day, 9, tzinfo=UTC)


async def test_a_quiet_time_that_began_after_it_was_handed_over_holds_it_at_the_gate(stage: Stage) -> None:
    thread = await stage.world.conversation()
    now = datetime.now(UTC)
    await patch_workspace(stage, quiet_hours=around(now, 120, 240))
    made = await stage.schedule(thread, quiet_hours=True)
    assert await stage.come_due(made.id) == ("due", None)
    stored = await stage.world.node.fetchval("SELECT quiet FROM deliveries")
    assert stored["from"] == around(now, 120, 240)["from"]


# --- the window -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"], ids=["at its time", "after it was queued"])
async def test_the_template_goes_where_the_window_is_closed(database_url: str, when: str) -> None:
    async with make_stage(database_url, templates="given") as stage:
        thread = await stage.world.conversation()
        made = await stage.schedule(thread, fallback=TEMPLATE)
        if when == "before":
            await stage.set_window(thread, timedelta(hours=30))
            assert await stage.come_due(made.id) == ("due", None)
        else:
            assert await stage.come_due(made.id) == ("due", None)
            await stage.set_window(thread, timedelta(hours=30))
        await stage.world.run_until_idle()
        row = await stage.row(made.id)
        assert (row.state, row.fell_back) == ("sent", True)
        (sent,) = stage.world.adapter.sent
        assert len(await stage.messages(made.id)) == (1 if when == "before" else 2)
        shown = await stage.world.node.fetchval("SELECT parts FROM messages WHERE id = $1", row.message_id)
        assert (shown[0]["type"], shown[0]["name"]) == ("template", "hello")
        assert sent.correlation in await _deliveries(stage, row)


async def _deliveries(stage: Stage, row: Scheduled) -> list[str]:
    found = await stage.world.node.fetch("SELECT id FROM deliveries WHERE message_id = $1", row.message_id)
    return [str(one[0]) for one in found]


async def test_a_window_that_is_closed_by_the_providers_word_holds_it(stage: Stage) -> None:
    """It had taken the message, and told later that it did not deliver it."""
    thread = await stage.world.conversation()
    made = await stage.schedule(thread)
    assert await stage.come_due(made.id) == ("due", None)
    await stage.world.run_until_idle()
    assert await stage.state(made.id) == ("sent", None)
    external_id = await stage.world.node.fetchval("SELECT external_id FROM deliveries")
    await stage.world.receive(StatusReported("111", external_id, "failed", datetime.now(UTC), SHUT))
    assert await stage.state(made.id) == ("held", "window_closed")
    await stage.reply()
    resumed = await stage.room.changes.resume(stage.caller, made.id, ResumeIn())
    assert resumed.state == "scheduled"
    await stage.fire()
    await stage.world.run_until_idle()
    assert await stage.state(made.id) == ("sent", None)
    assert len(stage.world.adapter.sent) == 2


# --- recurrences ------------------------------------------------------------------------------------------------------


async def occurrences(stage: Stage, scheduled_id: UUID) -> list[tuple[str, str | None]]:
    history = await stage.room.service.history(stage.caller, scheduled_id)
    return [(one.state, one.reason) for one in reversed(history.occurrences)]


async def turn(stage: Stage, scheduled_id: UUID, days: int = 1) -> None:
    """As if its next occurrence were ``days`` back, and due by now."""
    await stage.execute(
        """UPDATE scheduled_messages SET due_at = now(), by_hand = true,
               local = to_char(local::timestamp - make_interval(days => $2), 'YYYY-MM-DD"T"HH24:MI') WHERE id = $1""",
        scheduled_id,
        days,
    )
    await stage.execute(
        "UPDATE timers SET due_at = now(), next_at = now() WHERE key LIKE $1 || '/%'", str(scheduled_id)
    )
    await stage.fire()


async def test_a_recurring_one_goes_out_each_time_until_its_last(stage: Stage) -> None:
    made = await stage.schedule(await stage.world.conversation(), when={**DAILY, "count": 3})
    for number in (3, 2):
        await turn(stage, made.id, number)
        row = await stage.row(made.id)
        assert (row.state, row.reason) == ("scheduled", None)
        assert dict(await stage.timers()) == {row.timer_key: row.due_at}
        await stage.world.run_until_idle()
    await turn(stage, made.id)
    assert await stage.state(made.id) == ("due", None)
    await stage.world.run_until_idle()
    assert await stage.state(made.id) == ("sent", None)
    assert await occurrences(stage, made.id) == [("sent", None)] * 3
    assert len(stage.world.adapter.sent) == 3
    assert await stage.timers() == []


async def test_an_occurrence_that_is_skipped_does_not_end_it_and_one_that_is_held_does_stop_it(stage: Stage) -> None:
    thread = await stage.world.conversation()
    made = await stage.schedule(thread, when=DAILY, when_closed="skip", hold_on_reply=True)
    await stage.execute("UPDATE conversations SET status = 'closed'")
    await turn(stage, made.id, 2)
    assert await stage.state(made.id) == ("scheduled", None)
    await stage.execute("UPDATE conversations SET status = 'open', last_inbound_number = 5")
    await turn(stage, made.id)
    assert await stage.state(made.id) == ("held", "replied")
    assert await occurrences(stage, made.id) == [("skipped", "conversation_closed"), ("held", "replied")]
    assert await stage.timers() == []
    resumed = await stage.room.changes.resume(stage.caller, made.id, ResumeIn())
    assert resumed.state == "scheduled"
    assert resumed.due_at > datetime.now(UTC)
    assert dict(await stage.timers()) == {f"{made.id}/{(await stage.row(made.id)).timer_number}": resumed.due_at}


async def test_resuming_loses_no_occurrence_that_is_still_to_come(stage: Stage) -> None:
    thread = await stage.world.conversation()
    made = await stage.schedule(thread, when=DAILY)
    await stage.blocks.block(stage.caller, thread.contact_id, BlockIn())
    await stage.blocks.unblock(stage.caller, thread.contact_id)
    soon = datetime.now(UTC) + timedelta(seconds=20)
    await stage.execute("UPDATE scheduled_messages SET due_at = $1, by_hand = true", soon)
    resumed = await stage.room.changes.resume(stage.caller, made.id, ResumeIn())
    assert (resumed.state, resumed.local) == ("scheduled", made.local), "later, but the same"
    assert resumed.due_at > soon
    assert await stage.come_due(made.id) == ("scheduled", None)
    assert await occurrences(stage, made.id) == [("due", None)]


async def test_what_a_held_one_has_missed_is_written_down_as_skipped(stage: Stage) -> None:
    made = await stage.schedule(await stage.world.conversation(), when={**DAILY, "count": 20}, hold_on_reply=True)
    await stage.reply()
    await stage.execute(
        """UPDATE scheduled_messages SET due_at = due_at - interval '3 days',
               local = to_char(local::timestamp - interval '3 days', 'YYYY-MM-DD"T"HH24:MI')"""
    )
    resumed = await stage.room.changes.resume(stage.caller, made.id, ResumeIn())
    assert (resumed.local, resumed.due_at) == (made.local, made.due_at), "the next one, and none is lost"
    assert await occurrences(stage, made.id) == [("skipped", "held")] * 3
    assert resumed.occurrences == 3


async def test_who_moves_west_while_an_occurrence_is_held_does_not_get_it_again(stage: Stage) -> None:
    thread, now = await stage.world.conversation(), datetime.now(UTC)
    await live_in(stage, thread, "UTC")
    when = {"type": "recurring", "cron": f"{now.minute} {now.hour} * * *"}
    made = await stage.schedule(thread, when=when, when_closed="hold")
    local = f"{now:%Y-%m-%dT%H:%M}"
    await stage.execute("UPDATE conversations SET status = 'closed'")
    await stage.execute("UPDATE scheduled_messages SET local = $1, due_at = now()", local)
    await stage.execute("UPDATE timers SET due_at = now(), next_at = now()")
    await stage.fire()
    assert await stage.state(made.id) == ("held", "conversation_closed")
    await stage.execute("UPDATE conversations SET status = 'open'")
    await live_in(stage, thread, "Etc/GMT+5")
    resumed = await stage.room.changes.resume(stage.caller, made.id, ResumeIn())
    assert str(resumed.local) > local
    assert await occurrences(stage, made.id) == [("held", "conversation_closed")]


async def test_one_more_in_between_leaves_the_next_where_it_is(stage: Stage) -> None:
    made = await stage.schedule(await stage.world.conversation(), when=DAILY)
    sent = await stage.room.changes.send_now(stage.caller, made.id)
    assert (sent.state, sent.due_at, sent.occurrences) == ("scheduled", made.due_at, 1)
    ((_, due_at),) = await stage.timers()
    assert due_at == made.due_at
    await stage.world.run_until_idle()
    assert await occurrences(stage, made.id) == [("sent", None)]


async def test_a_held_one_that_is_sent_by_hand_goes_on(stage: Stage) -> None:
    made = await stage.schedule(await stage.world.conversation(), when=DAILY, hold_on_reply=True)
    await stage.reply()
    assert await stage.state(made.id) == ("held", "replied")
    sent = await stage.room.changes.send_now(stage.caller, made.id)
    assert (sent.state, sent.due_at) == ("scheduled", made.due_at)


async def test_cancelling_takes_the_occurrence_along_that_has_not_left(stage: Stage) -> None:
    made = await stage.schedule(await stage.world.conversation(), when=DAILY)
    await turn(stage, made.id)
    assert (await stage.room.changes.cancel(stage.caller, made.id)).state == "cancelled"
    await stage.world.run_until_idle()
    assert stage.world.adapter.sent == []
    assert await occurrences(stage, made.id) == [("cancelled", None)]
    assert await stage.timers() == []


async def test_the_last_gate_holds_the_series_with_its_occurrence(stage: Stage) -> None:
    made = await stage.schedule(await stage.world.conversation(), when=DAILY, hold_on_reply=True)
    await turn(stage, made.id)
    await stage.execute("UPDATE conversations SET last_inbound_number = 5")
    assert await stage.world.claim() == []
    assert await stage.state(made.id) == ("held", "replied")
    assert await occurrences(stage, made.id) == [("held", "replied")]
    assert await stage.come_due(made.id) == ("held", "replied"), "the timer that stands does nothing"


async def test_the_same_local_occurrence_cannot_be_written_down_twice(stage: Stage) -> None:
    made = await stage.schedule(await stage.world.conversation(), when=DAILY)
    await turn(stage, made.id)
    with pytest.raises(Exception, match="uq_scheduled_occurrences_local"):
        await stage.execute(
            """INSERT INTO scheduled_occurrences (workspace_id, scheduled_id, number, plan_number, local, due_at, state)
               SELECT workspace_id, scheduled_id, 9, plan_number, local, due_at, state FROM scheduled_occurrences"""
        )


# --- threads and people that become one -------------------------------------------------------------------------------


async def test_what_was_scheduled_follows_to_the_joined_thread_and_replies_still_count(stage: Stage) -> None:
    first, second = await stage.world.conversation(), await stage.world.conversation()
    await stage.reply(1)
    careful = await stage.schedule(first, hold_on_reply=True)
    careless = await stage.schedule(first)
    later = await stage.schedule(second, hold_on_reply=True, when=at(timedelta(hours=3)))
    await stage.reply(1)
    assert await stage.state(careful.id) == ("held", "replied")
    async with stage.world.node.database.transaction() as unit:
        join = ThreadJoiner(stage.world.node.conversations).join
        await join(unit, stage.world.workspace_id, second.identity_id, [first.identity_id])
    row = await stage.row(careless.id)
    assert (row.conversation_id, row.state) == (second.id, "scheduled")
    assert await stage.state(later.id) == ("held", "replied"), "it was theirs, from the other thread"
    assert (await stage.thread(second)).automated
    assert await stage.come_due(careless.id) == ("due", None)


async def test_a_block_shows_what_it_held_and_people_decide_without_a_burst(stage: Stage) -> None:
    thread = await stage.world.conversation()
    overdue = [await stage.schedule(thread) for _ in range(3)]
    ahead = await stage.schedule(thread, when=at(timedelta(days=2)))
    replied = await stage.schedule(thread, hold_on_reply=True)
    await stage.reply()
    await stage.blocks.block(stage.caller, thread.contact_id, BlockIn())
    for one in overdue:
        await stage.bring_forward(one.id, timedelta(hours=1))
    await stage.fire()
    await stage.blocks.unblock(stage.caller, thread.contact_id)
    paused = stage.room.paused
    async with stage.world.node.database.transaction(readonly=True) as unit:
        items = await paused.list(unit, stage.world.workspace_id, thread.contact_id)
    assert {one.id for one in items} == {*(one.id for one in overdue), ahead.id}
    now = datetime.now(UTC) + timedelta(seconds=60)
    settled = await paused.resume(
        stage.supervisor, thread.contact_id, [overdue[0].id, overdue[1].id, ahead.id, replied.id], Slots(now)
    )
    assert [(one.outcome, one.due_at) for one in settled if one.outcome == "resumed"] == [
        ("resumed", now),
        ("resumed", now + timedelta(seconds=60)),
        ("resumed", ahead.due_at),
    ]
    assert [(one.id, one.state) for one in settled if one.outcome == "refused"] == [(replied.id, "held")]
    cancelled = await paused.cancel(stage.supervisor, thread.contact_id, None)
    assert [(one.id, one.outcome) for one in cancelled] == [(overdue[2].id, "cancelled")]
    await stage.fire()
    assert stage.world.adapter.sent == []
    with_block = cast(Any, [await stage.state(one.id) for one in (*overdue, ahead)])
    assert with_block == [("scheduled", None), ("scheduled", None), ("cancelled", None), ("scheduled", None)]


async def test_what_a_block_held_gets_a_time_of_its_own_at_any_door(stage: Stage) -> None:
    thread = await stage.world.conversation()
    made = [await stage.schedule(thread) for _ in range(3)]
    ahead = await stage.schedule(thread, when=at(timedelta(days=2)))
    await stage.blocks.block(stage.caller, thread.contact_id, BlockIn())
    for one in made:
        await stage.bring_forward(one.id, timedelta(hours=1))
    await stage.blocks.unblock(stage.caller, thread.contact_id)
    before = datetime.now(UTC)
    due = [(await stage.room.changes.resume(stage.caller, one.id, ResumeIn())).due_at for one in made]
    assert due[0] >= before + APART
    assert [later - earlier >= APART for earlier, later in pairwise(due)] == [True, True]
    kept = await stage.room.changes.resume(stage.caller, ahead.id, ResumeIn())
    assert kept.due_at == ahead.due_at
    await stage.fire()
    assert stage.world.adapter.sent == []


NIGHTS: list[tuple[str, dict[str, Any], str | None, str, str]] = [
    ("spring", {"type": "local", "local": "2027-03-28T02:30"}, "Europe/Berlin", "2027-03-28T02:30", "03-28T01:00"),
    ("autumn", {"type": "local", "local": "2027-10-31T02:30"}, "Europe/Berlin", "2027-10-31T02:30", "10-31T00:30"),
    (
        "spring, again and again",
        {"type": "recurring", "cron": "30 2 * * *", "start": "2027-03-27T12:00:00Z"},
        "Europe/Berlin",
        "2027-03-28T02:30",
        "03-28T01:00",
    ),
    (
        "autumn, again and again",
        {"type": "recurring", "cron": "30 2 * * *", "start": "2027-10-31T00:30:00Z"},
        "Europe/Berlin",
        "2027-11-01T02:30",
        "11-01T01:30",
    ),
    (
        "no 31st",
        {"type": "recurring", "cron": "0 9 31 * *", "zone": "UTC", "start": "2027-02-01T00:00:00Z"},
        None,
        "2027-03-31T09:00",
        "03-31T09:00",
    ),
    (
        "leap day",
        {"type": "recurring", "cron": "0 9 29 2 *", "zone": "Asia/Tokyo"},
        "Europe/Berlin",
        "2028-02-29T09:00",
        "02-29T00:00",
    ),
]


@pytest.mark.parametrize(("when", "zone", "local", "wanted"), [pytest.param(*row[1:], id=row[0]) for row in NIGHTS])
async def test_nights_with_too_few_or_too_many_hours_and_days_that_not_every_month_has(
    stage: Stage, when: dict[str, Any], zone: str | None, local: str, wanted: str
) -> None:
    thread = await stage.world.conversation()
    await live_in(stage, thread, zone)
    made = await stage.schedule(thread, when=when)
    assert (made.local, f"{made.due_at:%m-%dT%H:%M}") == (local, wanted)
    assert dict(await stage.timers()) == {f"{made.id}/1": made.due_at}


async def test_who_moves_west_between_two_occurrences_gets_the_next_day(stage: Stage) -> None:
    """In the room: the zone changes while the occurrence is being handed over."""
    thread = await stage.world.conversation()
    now = datetime.now(UTC)
    await live_in(stage, thread, "UTC")
    made = await stage.schedule(thread, when={"type": "recurring", "cron": f"{now.minute} {now.hour} * * *"})
    local = f"{now:%Y-%m-%dT%H:%M}"
    await stage.execute("UPDATE scheduled_messages SET local = $1, due_at = now(), by_hand = true", local)
    await stage.execute("UPDATE contacts SET time_zone = 'Etc/GMT+5'")
    await stage.execute("UPDATE timers SET next_at = now()")
    await stage.fire()
    row = await stage.row(made.id)
    assert (row.state, row.occurrences, row.zone) == ("scheduled", 1, "Etc/GMT+5")
    tomorrow = datetime.fromisoformat(local) + timedelta(days=1)
    assert row.local == f"{tomorrow:%Y-%m-%dT%H:%M}"
    assert row.due_at == instant(row.local, "Etc/GMT+5")
