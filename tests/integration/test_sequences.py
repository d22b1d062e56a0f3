"""What contacts in a sequence get, and what ends it, on a real PostgreSQL with a scripted channel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sequence_world import Json, Stage, make_stage, step

from channels.types import Fault
from contacts import reachability
from inbox.blocking.schemas import BlockIn
from inbox.conversations.repository import Thread
from inbox.conversations.schemas import ConversationPatch
from inbox.kernel.errors import Conflict, Invalid
from scheduler.sequences.leading import EnrollmentState
from scheduler.sequences.schemas import EnrolIn, SequenceIn

NOT_THERE = Fault("invalid_recipient", "Nobody there.")


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with make_stage(database_url) as stage:
        yield stage


async def test_steps_come_one_after_the_other_and_then_it_is_finished(stage: Stage) -> None:
    thread = await stage.world.conversation()
    sequence = await stage.sequence(step("one", "Hello"), step("two", "Still there?", days=2))
    enrollment = await stage.enrol(sequence, thread)
    assert (await stage.thread(thread)).automated
    await stage.fire()
    under_way = await stage.read(enrollment)
    assert under_way.next is not None
    assert (under_way.next.step_key, under_way.next.due_at) == ("one", None)
    assert [one.message_id for one in under_way.steps] == [under_way.next.message_id]
    await stage.deliver()
    waits = await stage.read(enrollment)
    assert waits.next is not None
    assert waits.next.due_at is not None
    assert (waits.next.step_key, waits.next.position) == ("two", 1)
    assert timedelta(hours=47) < waits.next.due_at - waits.state_at < timedelta(hours=49)
    assert await stage.fire() == 0
    await stage.come_due(enrollment)
    await stage.deliver()
    assert stage.world.adapter.words == ["", ""]
    assert await stage.texts(thread.contact_id) == ["Hello", "Still there?"]
    assert await stage.state(enrollment) == ("finished", None)
    assert await stage.steps(enrollment) == [("one", 1, "sent", None), ("two", 1, "sent", None)]
    assert not (await stage.thread(thread)).automated
    assert await stage.timers(enrollment) == []
    assert len(stage.process.lateness) == 2
    told = [event["enrollment"]["state"] for event in await stage.events()]
    assert (told[0], told[-1]) == ("active", "finished")
    assert (await stage.trail(enrollment))[0] == "enrolled"


Change = Callable[[Stage, Thread], Awaitable[None]]


async def assign(stage: Stage, thread: Thread) -> None:
    agent = uuid4()
    await stage.execute(
        "INSERT INTO agents (workspace_id, id, name, role, email) VALUES ($1, $2, 'Kay', 'agent', 'kay@example.com')",
        stage.world.workspace_id,
        agent,
    )
    patch = ConversationPatch(assignee_id=agent)
    await stage.world.node.conversations.change(stage.caller, thread.id, patch, version=None)


async def opt_out(stage: Stage, thread: Thread) -> None:
    async with stage.world.node.database.transaction() as unit:
        await reachability.stop_marketing(unit, stage.world.workspace_id, thread.identity_id, "asked")


async def block(stage: Stage, thread: Thread) -> None:
    await stage.blocks.block(stage.caller, thread.contact_id, BlockIn(reason="rude"))


STOPS: list[tuple[str, Json, Change, tuple[str, str | None]]] = [
    ("they write", {}, lambda stage, thread: stage.reply(), ("stopped", "reply")),
    ("they write, nobody minds", {"reply": False}, lambda stage, thread: stage.reply(), ("active", None)),
    ("closed", {"closed": True}, lambda stage, thread: stage.close(thread), ("stopped", "closed")),
    ("closed, nobody minds", {}, lambda stage, thread: stage.close(thread), ("active", None)),
    ("assigned", {"assigned": True}, assign, ("stopped", "assigned")),
    ("assigned, nobody minds", {}, assign, ("active", None)),
    ("answered", {"agent_reply": True}, lambda stage, thread: stage.answer(thread), ("stopped", "agent_reply")),
    ("answered, nobody minds", {}, lambda stage, thread: stage.answer(thread), ("active", None)),
    ("tagged", {"tags": ["vip"]}, lambda stage, thread: stage.tag(thread, "vip"), ("stopped", "tag")),
    ("tagged otherwise", {"tags": ["vip"]}, lambda stage, thread: stage.tag(thread, "new"), ("active", None)),
    ("event", {"events": ["order"]}, lambda stage, thread: stage.happen(thread, "order"), ("stopped", "event")),
    ("other event", {"events": ["order"]}, lambda stage, thread: stage.happen(thread, "visit"), ("active", None)),
    ("opted out", {}, opt_out, ("stopped", "opt_out")),
    ("opted out, nobody minds", {"opt_out": False}, opt_out, ("active", None)),
    ("blocked", {}, block, ("paused", "blocked")),
    ("blocked for good", {"block": "stop"}, block, ("stopped", "block")),
    ("blocked, and closed by that", {"closed": True}, block, ("paused", "blocked")),
]


@pytest.mark.parametrize(("stop", "change", "expected"), [pytest.param(*row[1:], id=row[0]) for row in STOPS])
@pytest.mark.parametrize("queued", [False, True], ids=["while it waits", "while a message is queued"])
async def test_what_stops_it(
    stage: Stage, stop: Json, change: Change, expected: tuple[str, str | None], queued: bool
) -> None:
    thread = await stage.world.conversation()
    sequence = await stage.sequence(step("one"), step("two", days=1), stop=stop)
    enrollment = await stage.enrol(sequence, thread, conversation_id=thread.id)
    if queued:
        await stage.fire()
    await change(stage, thread)
    assert await stage.state(enrollment) == expected
    await stage.come_due(enrollment)
    await stage.deliver()
    sent = await stage.texts(thread.contact_id)
    assert sent == (["one"] if expected[0] == "active" else [])
    if expected[0] == "stopped":
        assert not (await stage.thread(thread)).automated
        for state in (("one", 1, "cancelled"),) if queued else ():
            assert [one[:3] for one in await stage.steps(enrollment)] == [state]


async def test_a_reply_in_another_conversation_takes_back_what_is_queued(stage: Stage) -> None:
    telegram = await stage.world.add_channel("telegram", "222")
    thread = await stage.world.conversation()
    other = await stage.second(thread, telegram)
    enrollment = await stage.enrol(await stage.sequence(), thread, conversation_id=thread.id)
    await stage.fire()
    assert (await stage.thread(other)).automated
    await stage.reply(2, channel=telegram)
    assert await stage.state(enrollment) == ("stopped", "reply")
    assert await stage.steps(enrollment) == [("one", 1, "cancelled", "withdrawn")]
    await stage.deliver()
    assert stage.world.adapter.sent == []


async def test_a_reply_in_a_conversation_that_begins_with_it_counts(stage: Stage) -> None:
    second = await stage.world.add_channel("whatsapp", "112")
    thread = await stage.world.conversation()
    enrollment = await stage.enrol(await stage.sequence(), thread)
    await stage.reply(1, channel=second)  # the same person writes to the other number for the first time
    assert len(await stage.conversations(thread.contact_id)) == 2
    assert await stage.state(enrollment) == ("stopped", "reply")


async def test_a_reply_that_does_not_stop_is_remembered(stage: Stage) -> None:
    met: Json = {"conditions": [{"type": "replied", "replied": False}]}
    sequence = await stage.sequence(step("one", seconds=60, **met), step("two"), stop={"reply": False})
    thread = await stage.world.conversation()
    enrollment = await stage.enrol(sequence, thread)
    await stage.reply()
    assert (await stage.read(enrollment)).replied_at is not None
    await stage.come_due(enrollment)
    await stage.fire()
    assert await stage.steps(enrollment) == [("one", 1, "skipped", "condition"), ("two", 1, "queued", None)]


# --- enrolling --------------------------------------------------------------------------------------------------------


async def test_enrolling_again_changes_nothing_unless_several_are_allowed(stage: Stage) -> None:
    thread = await stage.world.conversation()
    sequence = await stage.sequence()
    enrollment = await stage.enrol(sequence, thread)
    again = await stage.verdict(sequence, thread.contact_id)
    assert (again.outcome, again.enrollment_id) == ("already_enrolled", enrollment)
    await stage.room.enrollments.leave(stage.caller, enrollment)
    assert (await stage.verdict(sequence, thread.contact_id)).outcome == "enrolled"
    generous = await stage.sequence(several=True)
    assert [(await stage.verdict(generous, thread.contact_id)).outcome for _ in range(2)] == ["enrolled"] * 2


async def test_each_contact_has_a_verdict(stage: Stage) -> None:
    fine, blocked, tagged, out = [await stage.world.conversation() for _ in range(4)]
    sequence = await stage.sequence(stop={"tags": ["customer"]})
    await block(stage, blocked)
    await stage.tag(tagged, "customer")
    await opt_out(stage, out)
    unknown = uuid4()
    wanted = [fine.contact_id, blocked.contact_id, unknown, tagged.contact_id, out.contact_id, fine.contact_id]
    answer = await stage.room.enrolling.enrol(
        stage.caller, sequence.id, _enrol(contact_ids=[str(one) for one in wanted])
    )
    assert [one.contact_id for one in answer] == wanted
    outcomes = ["enrolled", "contact_blocked", "contact_unknown", "tagged", "opted_out", "enrolled"]
    assert [one.outcome for one in answer] == outcomes
    assert answer[0] == answer[-1]


async def test_a_thousand_are_taken_in_at_once(stage: Stage) -> None:
    async with stage.world.node.database.session() as connection:
        ids = await connection.fetch(
            """INSERT INTO contacts (workspace_id, id, name) SELECT $1, gen_random_uuid(), 'Somebody ' || n
               FROM generate_series(1, 1000) AS n RETURNING id""",
            stage.world.workspace_id,
        )
    sequence = await stage.sequence(step("one", seconds=3600))
    order = _enrol(contact_ids=[str(row[0]) for row in ids])
    first = await stage.room.enrolling.enrol(stage.caller, sequence.id, order)
    again = await stage.room.enrolling.enrol(stage.caller, sequence.id, order)
    assert {one.outcome for one in first} == {"enrolled"}
    assert {one.outcome for one in again} == {"already_enrolled"}
    assert [one.enrollment_id for one in first] == [one.enrollment_id for one in again]
    counts = await stage.room.sequences.counts(stage.supervisor, sequence.id)
    assert counts.enrollments == {"active": 1000}
    assert [(one.key, one.waiting) for one in counts.steps] == [("one", 1000)]


async def test_nobody_is_taken_into_a_draft_or_an_archived_one(stage: Stage) -> None:
    thread = await stage.world.conversation()
    sequence = await stage.sequence()
    enrollment = await stage.enrol(sequence, thread)
    await stage.room.sequences.archive(stage.supervisor, sequence.id, version=None)
    with pytest.raises(Conflict):
        await stage.verdict(sequence, thread.contact_id)
    await stage.come_due(enrollment)
    assert await stage.state(enrollment) == ("stopped", "archived")
    assert await stage.texts(thread.contact_id) == []


# --- what people decide -----------------------------------------------------------------------------------------------


async def test_pausing_takes_back_and_resuming_sends_it_again_once(stage: Stage) -> None:
    thread = await stage.world.conversation()
    enrollment = await stage.enrol(await stage.sequence(), thread)
    await stage.fire()
    paused = await stage.room.enrollments.pause(stage.caller, enrollment)
    assert (paused.state, paused.reason) == ("paused", "by_hand")
    await stage.deliver()
    assert stage.world.adapter.sent == []
    with pytest.raises(EnrollmentState) as refused:
        await stage.room.enrollments.pause(stage.caller, enrollment)
    assert refused.value.facts["state"] == "paused"
    await stage.room.enrollments.resume(stage.caller, enrollment, now=False)
    await stage.fire()
    await stage.deliver()
    assert await stage.steps(enrollment) == [("one", 1, "cancelled", "withdrawn"), ("one", 2, "sent", None)]
    assert await stage.texts(thread.contact_id) == ["one"]
    assert await stage.trail(enrollment) == [
        "enrolled", "step_queued", "paused", "step_cancelled", "resumed", "step_queued", "step_sent",
    ]  # fmt: skip


async def test_what_is_due_later_keeps_its_time_and_what_is_overdue_waits_anew(stage: Stage) -> None:
    thread = await stage.world.conversation()
    enrollment = await stage.enrol(await stage.sequence(step("one", days=1)), thread)
    before = await stage.read(enrollment)
    await stage.room.enrollments.pause(stage.caller, enrollment)
    kept = await stage.room.enrollments.resume(stage.caller, enrollment, now=False)
    assert before.next is not None
    assert kept.next is not None
    assert kept.next.due_at == before.next.due_at
    await stage.room.enrollments.pause(stage.caller, enrollment)
    await stage.execute("UPDATE enrollments SET due_at = now() - interval '1 hour' WHERE id = $1", enrollment)
    anew = await stage.room.enrollments.resume(stage.caller, enrollment, now=False)
    assert anew.next is not None
    assert anew.next.due_at is not None
    assert anew.next.due_at - anew.state_at > timedelta(hours=22)
    await stage.room.enrollments.pause(stage.caller, enrollment)
    await stage.room.enrollments.resume(stage.caller, enrollment, now=True)
    assert await stage.fire() == 1
    assert await stage.texts(thread.contact_id) == ["one"]


async def test_a_step_can_be_skipped_waiting_or_queued(stage: Stage) -> None:
    thread = await stage.world.conversation()
    enrollment = await stage.enrol(await stage.sequence(step("one"), step("two"), step("three")), thread)
    await stage.room.enrollments.skip(stage.caller, enrollment)
    await stage.fire()
    skipped = await stage.room.enrollments.skip(stage.caller, enrollment)
    assert skipped.next is not None
    assert skipped.next.step_key == "three"
    await stage.fire()
    await stage.deliver()
    assert await stage.texts(thread.contact_id) == ["three"]
    assert await stage.steps(enrollment) == [
        ("one", 1, "skipped", "by_hand"),
        ("two", 1, "cancelled", "withdrawn"),
        ("three", 1, "sent", None),
    ]


async def test_leaving_ends_it(stage: Stage) -> None:
    thread = await stage.world.conversation()
    enrollment = await stage.enrol(await stage.sequence(), thread)
    await stage.fire()
    left = await stage.room.enrollments.leave(stage.caller, enrollment)
    assert (left.state, left.next) == ("left", None)
    await stage.deliver()
    assert stage.world.adapter.sent == []
    assert not (await stage.thread(thread)).automated
    with pytest.raises(EnrollmentState):
        await stage.room.enrollments.resume(stage.caller, enrollment, now=False)


# --- failures and lateness --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "texts", "expected"),
    [
        pytest.param({}, ["one"], ("stopped", "failed"), id="it stops"),
        pytest.param({"policy": "skip"}, ["one", "two"], ("finished", None), id="the next one comes"),
        pytest.param({"policy": "retry", "retries": 1}, ["one", "one", "two"], ("finished", None), id="again"),
    ],
)
async def test_when_a_message_fails(
    stage: Stage, failure: Json, texts: list[str], expected: tuple[str, str | None]
) -> None:
    thread = await stage.world.conversation()
    sequence = await stage.sequence(step("one"), step("two"), failure=failure)
    enrollment = await stage.enrol(sequence, thread)
    stage.world.adapter.script = [NOT_THERE]
    for _ in range(4):
        await stage.come_due(enrollment)
        await stage.deliver()
    assert await stage.texts(thread.contact_id) == texts
    assert await stage.state(enrollment) == expected
    assert (await stage.steps(enrollment))[0] == ("one", 1, "failed", "invalid_recipient")


async def test_retries_come_to_an_end(stage: Stage) -> None:
    thread = await stage.world.conversation()
    sequence = await stage.sequence(step("one"), failure={"policy": "retry", "retries": 2})
    enrollment = await stage.enrol(sequence, thread)
    stage.world.adapter.script = [NOT_THERE] * 9
    for _ in range(6):
        await stage.come_due(enrollment)
        await stage.deliver()
    assert await stage.steps(enrollment) == [("one", n, "failed", "invalid_recipient") for n in (1, 2, 3)]
    assert await stage.state(enrollment) == ("stopped", "failed")


async def test_one_whose_fate_is_unknown_counts_as_sent_and_is_never_repeated(stage: Stage) -> None:
    thread = await stage.world.conversation()
    sequence = await stage.sequence(step("one"), step("two"), failure={"policy": "retry"})
    enrollment = await stage.enrol(sequence, thread)
    stage.world.adapter.script = [ConnectionResetError("the line went dead")]
    for _ in range(3):
        await stage.fire()
        await stage.deliver()
    assert await stage.steps(enrollment) == [("one", 1, "uncertain", "outcome_unknown"), ("two", 1, "sent", None)]


@pytest.mark.parametrize(
    ("policy", "texts", "expected"),
    [
        ("send", ["one"], ("active", None)),
        ("skip", [], ("active", None)),
        ("hold", [], ("paused", "late")),
    ],
)
async def test_after_a_downtime(stage: Stage, policy: str, texts: list[str], expected: tuple[str, str | None]) -> None:
    late = {"policy": policy, "after": {"value": 1, "unit": "hours"}}
    thread = await stage.world.conversation()
    enrollment = await stage.enrol(await stage.sequence(step("one"), step("two", days=1), late=late), thread)
    await stage.come_due(enrollment, timedelta(hours=2))
    assert await stage.texts(thread.contact_id) == texts
    assert await stage.state(enrollment) == expected
    assert [round(one / 3600) for one in stage.process.lateness] == [2] * len(texts)


# --- versions ---------------------------------------------------------------------------------------------------------


async def test_who_runs_stays_on_the_version_of_enrolment_unless_they_follow_or_are_moved(stage: Stage) -> None:
    stays, follows, moved = [await stage.world.conversation() for _ in range(3)]
    sequence = await stage.sequence(step("one"), step("two"), step("three"))
    first, second, third = [
        await stage.enrol(sequence, stays),
        await stage.enrol(sequence, follows, follows=True),
        await stage.enrol(sequence, moved),
    ]
    await stage.fire()
    await stage.deliver()
    await stage.publish(sequence, step("one", "first"), step("new"), step("two", "second"))
    await stage.room.enrollments.move(stage.caller, third, follows=None)
    for _ in range(4):
        await stage.fire()
        await stage.deliver()
    assert await stage.texts(stays.contact_id) == ["one", "two", "three"]
    assert await stage.texts(follows.contact_id) == ["one", "second"]
    assert await stage.texts(moved.contact_id) == ["one", "second"]
    assert [(await stage.read(one)).sequence_version for one in (first, second, third)] == [1, 2, 2]


async def test_a_kind_of_channel_that_nobody_has_is_refused(stage: Stage) -> None:
    channels = [{"channel_id": str(stage.world.channel.id)}, {"kind": "fax"}]
    draft = {"draft": {"steps": [step("one"), step("two", channels=channels)]}, "name": "By fax"}
    made = await stage.room.sequences.create(stage.supervisor, SequenceIn.model_validate(draft))
    with pytest.raises(Invalid) as refused:
        await stage.room.sequences.publish(stage.supervisor, made.id, version=None)
    assert [fault.pointer for fault in refused.value.faults] == ["/body/draft/steps/1/channels/1/kind"]


async def test_a_version_is_published_once_and_never_changed(stage: Stage) -> None:
    sequence = await stage.sequence(step("one"))
    same = await stage.room.sequences.publish(stage.supervisor, sequence.id, version=None)
    assert same == sequence
    await stage.publish(sequence, step("two"))
    versions = await stage.room.sequences.versions(stage.supervisor, sequence.id)
    assert [(one.number, one.definition["steps"][0]["key"]) for one in versions] == [(2, "two"), (1, "one")]


def _enrol(**given: Any) -> Any:

    return EnrolIn.model_validate(given, strict=False)
