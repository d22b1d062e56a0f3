"""Outgoing webhooks over a real PostgreSQL and real receivers: what arrives, in which order, for whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import uuid4

import orjson
import pytest
from aiohttp import web
from clock import FakeClock
from subscription_world import Node, Received, Receivers, eventually, node, receivers, until, verify

from inbox.kernel.eventlog import SUPERVISORS
from inbox.subscriptions.schemas import EnableIn, ReplayIn, RotateIn, SubscriptionPatch


@pytest.fixture
async def hooks() -> AsyncIterator[Receivers]:
    async with receivers() as made:
        yield made


@pytest.fixture
async def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def one(database_url: str, clock: FakeClock) -> AsyncIterator[Node]:
    async with node(database_url, clock=clock) as made:
        yield made


async def test_an_event_arrives_signed_and_whole(one: Node, hooks: Receivers, clock: FakeClock) -> None:
    caller, receiver, conversation = await one.workspace(), hooks.add(), uuid4()
    subscription_id, secret = await one.subscribe(caller, receiver)

    [position] = await one.append(caller.workspace_id, conversation)
    [received] = await receiver.gets(1)

    assert verify(secret, received.headers, received.body)
    assert not verify("whsec_" + "A" * 44, received.headers, received.body)
    assert not verify(secret, received.headers, received.body + b" ")
    assert received.headers["content-type"] == "application/json"
    assert received.headers["webhook-timestamp"] == str(int(clock.now().timestamp()))
    epoch = await one.fetchval("SELECT epoch FROM event_logs WHERE workspace_id = $1", caller.workspace_id)
    assert received.id == f"msg_{subscription_id.hex}_{epoch.hex[:8]}_{position}"
    event = received.event
    assert datetime.fromisoformat(event.pop("at")).tzinfo is not None
    assert event == {
        "workspace_id": str(caller.workspace_id),
        "epoch": str(epoch),
        "position": position,
        "kind": "message.created",
        "conversation_id": str(conversation),
        "data": {"text": "Grüße", "of": str(conversation)},
    }


async def test_conversations_keep_their_order_and_run_beside_each_other(one: Node, hooks: Receivers) -> None:
    caller, receiver = await one.workspace(), hooks.add()
    busy: set[str] = set()
    overlaps: list[str] = []

    async def slowly(received: Received) -> web.Response:
        conversation = received.event["conversation_id"]
        if conversation in busy:
            overlaps.append(conversation)
        busy.add(conversation)
        await asyncio.sleep(0.002)
        busy.discard(conversation)
        return web.Response()

    receiver.behave = slowly
    await one.subscribe(caller, receiver)
    conversations = [uuid4() for _ in range(20)]
    for _ in range(30):
        await one.append(caller.workspace_id, *conversations)
    await receiver.gets(600)

    assert overlaps == []
    assert 1 < receiver.most_in_the_air <= 8
    for conversation in conversations:
        own = [one.position for one in receiver.accepted if one.event["conversation_id"] == str(conversation)]
        assert len(own) == 30
        assert own == sorted(own)


async def test_a_failing_conversation_waits_alone_and_keeps_its_order(
    one: Node, hooks: Receivers, clock: FakeClock
) -> None:
    caller, receiver = await one.workspace(), hooks.add()
    ill, well = uuid4(), uuid4()
    healed = False

    def behave(received: Received) -> web.Response:
        return web.Response(status=500 if received.event["conversation_id"] == str(ill) and not healed else 200)

    receiver.behave = behave
    subscription_id, _ = await one.subscribe(caller, receiver)
    positions = [await one.append(caller.workspace_id, ill, well) for _ in range(30)]

    await receiver.gets(30)
    assert {received.event["conversation_id"] for received in receiver.accepted} == {str(well)}
    refused = [received for received in receiver.received if received.event["conversation_id"] == str(ill)]
    assert [received.position for received in refused] == [positions[0][0]], "only the first of the lane was tried"
    lanes = await one.fetch("SELECT lane, position, attempts FROM subscription_lanes")
    assert [tuple(lane) for lane in lanes] == [(ill, positions[0][0], 1)], "one row, whatever waits"

    healed = True
    clock.advance(5)
    await receiver.gets(60)
    own = [one.position for one in receiver.accepted if one.event["conversation_id"] == str(ill)]
    assert own == [pair[0] for pair in positions]
    await eventually(lambda: one.fetchval("SELECT count(*) FROM subscription_lanes"), 0)
    await eventually(
        lambda: one.fetchval("SELECT cursor FROM subscriptions WHERE id = $1", subscription_id), positions[-1][1]
    )


async def test_retries_follow_the_table_with_one_id_and_an_entry_each(
    one: Node, hooks: Receivers, clock: FakeClock
) -> None:
    caller, receiver = await one.workspace(), hooks.add()
    receiver.answer(500)
    subscription_id, secret = await one.subscribe(caller, receiver)
    await one.append(caller.workspace_id, uuid4())
    began = clock.now()
    for attempt, wait in enumerate((5, 30, 120, 600, 1800), 2):
        await until(lambda attempt=attempt: len(receiver.received) == attempt - 1)  # type: ignore[misc]
        clock.advance(wait - 1)
        await asyncio.sleep(0.3)
        assert len(receiver.received) == attempt - 1, "not a second before its time"
        clock.advance(1)
    receiver.answer(204)
    await receiver.gets(1)

    assert len({received.id for received in receiver.received}) == 1
    assert all(verify(secret, received.headers, received.body) for received in receiver.received)
    stamps = [int(received.headers["webhook-timestamp"]) for received in receiver.received]
    assert [stamp - int(began.timestamp()) for stamp in stamps] == [0, 5, 35, 155, 755, 2555]
    await eventually(lambda: one.fetchval("SELECT count(*) FROM subscription_attempts"), 6)
    log = await one.service.deliveries(caller, subscription_id, outcome=None, before=None, limit=10)
    assert [(entry.attempt, entry.outcome, entry.status) for entry in log] == [
        (6, "delivered", 204),
        *((attempt, "failed", 500) for attempt in (5, 4, 3, 2, 1)),
    ]
    assert log[-1].next_at is not None
    assert (log[-1].next_at - log[-1].attempted_at).total_seconds() == 5


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_pauses_the_whole_receiver(
    one: Node, hooks: Receivers, clock: FakeClock, status: int
) -> None:
    caller, receiver = await one.workspace(), hooks.add()
    receiver.answer(status, Retry_After="900")
    await one.subscribe(caller, receiver)
    await one.append(caller.workspace_id, uuid4())
    await until(lambda: receiver.received)
    receiver.answer(200)
    await one.append(caller.workspace_id, uuid4(), uuid4())
    for seconds in (60, 600, 239):
        clock.advance(seconds)
        await asyncio.sleep(0.3)
        assert len(receiver.received) == 1
    clock.advance(1)
    await receiver.gets(3)


async def test_a_slow_receiver_delays_only_itself(one: Node, hooks: Receivers) -> None:
    caller, slow, quick = await one.workspace(), hooks.add(), hooks.add()

    async def stall(received: Received) -> web.Response:
        await asyncio.sleep(4)
        return web.Response()

    slow.behave = stall
    await one.subscribe(caller, slow)
    await one.subscribe(caller, quick)
    for _ in range(10):
        await one.append(caller.workspace_id, *(uuid4() for _ in range(40)))
    await quick.gets(400, within=3.5)
    assert slow.accepted == []
    assert slow.most_in_the_air == 8


async def test_a_dead_receiver_is_asked_seldom_and_catches_up_in_order(
    one: Node, hooks: Receivers, clock: FakeClock
) -> None:
    """Hours of outage: few requests meanwhile, a bounded number of rows, then everything in order."""
    caller, receiver = await one.workspace(), hooks.add()
    receiver.answer(502)
    subscription_id, _ = await one.subscribe(caller, receiver)
    conversations = [uuid4() for _ in range(400)]
    for _ in range(5):
        await one.append(caller.workspace_id, *conversations)
    await until(lambda: len(receiver.received) >= 256, within=20)
    for _ in range(60):
        clock.advance(60)
        await asyncio.sleep(0.05)
    asked = len(receiver.received)
    assert asked < 256 + 256 + 60 * 35, "about the table of waits"
    assert await one.fetchval("SELECT count(*) FROM subscription_lanes") <= 512
    assert await one.fetchval("SELECT cursor FROM subscriptions WHERE id = $1", subscription_id) < 2000

    receiver.answer(200)
    for _ in range(40):
        if len(receiver.positions()) == 2000:
            break
        clock.advance(300)
        await asyncio.sleep(0.2)
    await receiver.gets(2000, within=30)
    seen: dict[str, list[int]] = {}
    for received in receiver.accepted:
        seen.setdefault(received.event["conversation_id"], []).append(received.position)
    assert len(seen) == 400
    assert all(own == sorted(set(own)) and len(own) == 5 for own in seen.values())
    await eventually(lambda: one.fetchval("SELECT failures FROM subscriptions WHERE id = $1", subscription_id), 0)


async def test_gone_disables_at_once_with_a_notice(one: Node, hooks: Receivers) -> None:
    caller, receiver = await one.workspace(), hooks.add()
    receiver.answer(410)
    subscription_id, _ = await one.subscribe(caller, receiver)
    await one.append(caller.workspace_id, *(uuid4() for _ in range(20)))
    await eventually(lambda: one.fetchval("SELECT reason FROM subscriptions"), "gone")
    assert (await one.service.get(caller, subscription_id)).state == "disabled"
    assert (await one.kinds_logged(caller.workspace_id)).count("subscription.disabled") == 1
    asked = len(receiver.received)
    assert asked <= 8
    await one.append(caller.workspace_id, uuid4())
    await asyncio.sleep(0.5)
    assert len(receiver.received) == asked


async def test_days_of_failure_disable_and_enabling_goes_on_where_it_stopped(
    one: Node, hooks: Receivers, clock: FakeClock
) -> None:
    caller, receiver = await one.workspace(), hooks.add()
    receiver.answer(500)
    subscription_id, _ = await one.subscribe(caller, receiver)
    positions = await one.append(caller.workspace_id, uuid4(), uuid4(), uuid4())
    began = clock.now()
    for _ in range(80):
        clock.advance(3600)
        await asyncio.sleep(0.05)
        if (await one.service.get(caller, subscription_id)).state == "disabled":
            break
    view = await one.service.get(caller, subscription_id)
    assert (view.state, view.reason) == ("disabled", "failing")
    assert timedelta(days=3) <= clock.now() - began < timedelta(days=3, hours=8)
    assert "subscription.disabled" in await one.kinds_logged(caller.workspace_id)

    receiver.answer(200)
    await one.service.enable(caller, subscription_id, EnableIn())
    await receiver.gets(3)
    assert sorted(receiver.positions()) == positions
    view = await one.service.get(caller, subscription_id)
    assert (view.state, view.failures) == ("enabled", 0)


async def test_an_event_that_fails_for_days_is_given_up_and_its_conversation_goes_on(
    one: Node, hooks: Receivers, clock: FakeClock
) -> None:
    caller, receiver, ill = await one.workspace(), hooks.add(), uuid4()
    subscription_id, _ = await one.subscribe(caller, receiver)
    receiver.behave = lambda _: web.Response(status=503)  # nothing is taken before we know which is the poison
    poison, *_ = await one.append(caller.workspace_id, ill)
    receiver.behave = lambda received: web.Response(status=422 if received.position == poison else 200)
    [after] = await one.append(caller.workspace_id, ill)
    for hour in range(120):
        clock.advance(3600)
        await one.append(caller.workspace_id, uuid4())  # the receiver is well otherwise
        await receiver.gets(hour + 1)
        await asyncio.sleep(0.02)
        if after in receiver.positions():
            break
    assert after in receiver.positions()
    assert poison not in receiver.positions()
    assert 96 <= hour < 119
    await eventually(lambda: one.fetchval("SELECT count(*) FROM subscription_attempts WHERE outcome = 'abandoned'"), 1)
    [entry] = await one.service.deliveries(caller, subscription_id, outcome="abandoned", before=None, limit=5)
    assert (entry.position, entry.status) == (poison, 422)
    assert (await one.service.get(caller, subscription_id)).state == "enabled"


async def test_kinds_filter(one: Node, hooks: Receivers) -> None:
    caller, exact, group = await one.workspace(), hooks.add(), hooks.add()
    await one.subscribe(caller, exact, kinds=["message.updated"])
    await one.subscribe(caller, group, kinds=["message.*"])
    conversation = uuid4()
    for kind in ("message.created", "contact.updated", "message.updated", "messages.created"):
        await one.append(caller.workspace_id, conversation, kind=kind)
    await group.gets(2)
    await exact.gets(1)
    await asyncio.sleep(0.2)
    assert [received.event["kind"] for received in group.accepted] == ["message.created", "message.updated"]
    assert [received.event["kind"] for received in exact.accepted] == ["message.updated"]


async def test_a_subscription_sees_what_its_owner_sees(one: Node, hooks: Receivers) -> None:
    admin, for_admin, for_agent = await one.workspace(), hooks.add(), hooks.add()
    agent = await one.agent(admin.workspace_id, uuid4(), "agent")
    await one.subscribe(admin, for_admin)
    subscription_id, _ = await one.subscribe(admin, for_agent, agent_id=agent.agent_id)
    [hidden] = await one.append(admin.workspace_id, uuid4(), audience=SUPERVISORS)
    [open_to_all] = await one.append(admin.workspace_id, uuid4())
    await for_admin.gets(2)
    await for_agent.gets(1)
    assert for_agent.positions() == [open_to_all]
    assert for_admin.positions() == [hidden, open_to_all]

    await one.fetchval("UPDATE agents SET role = 'supervisor' WHERE id = $1 RETURNING 1", agent.agent_id)
    await asyncio.sleep(0.5)
    [shown] = await one.append(admin.workspace_id, uuid4(), audience=SUPERVISORS)
    await for_agent.gets(2)
    assert for_agent.positions()[-1] == shown

    await one.fetchval("UPDATE agents SET disabled_at = now() WHERE id = $1 RETURNING 1", agent.agent_id)
    await asyncio.sleep(0.5)
    await one.append(admin.workspace_id, uuid4())
    await eventually(
        lambda: one.fetchval("SELECT reason FROM subscriptions WHERE id = $1", subscription_id), "owner_disabled"
    )
    assert len(for_agent.received) == 2


async def test_workspaces_do_not_see_each_other(one: Node, hooks: Receivers) -> None:
    ours, theirs = await one.workspace(), await one.workspace()
    our_hook, their_hook = hooks.add(), hooks.add()
    await one.subscribe(ours, our_hook)
    await one.subscribe(theirs, their_hook)
    conversation = uuid4()
    await one.append(ours.workspace_id, conversation, conversation)
    await one.append(theirs.workspace_id, conversation)
    await our_hook.gets(2)
    await their_hook.gets(1)
    await asyncio.sleep(0.2)
    assert {received.event["workspace_id"] for received in our_hook.received} == {str(ours.workspace_id)}
    assert {received.event["workspace_id"] for received in their_hook.received} == {str(theirs.workspace_id)}


async def test_a_rotated_secret_overlaps_with_the_one_before(one: Node, hooks: Receivers, clock: FakeClock) -> None:
    caller, receiver, conversation = await one.workspace(), hooks.add(), uuid4()
    subscription_id, old = await one.subscribe(caller, receiver)
    await one.append(caller.workspace_id, conversation)
    await receiver.gets(1)
    rotated = await one.service.rotate(caller, subscription_id, RotateIn(overlap_hours=2))
    await asyncio.sleep(0.4)
    await one.append(caller.workspace_id, conversation)
    await receiver.gets(2)
    clock.advance(2 * 3600)
    await one.append(caller.workspace_id, conversation)
    await receiver.gets(3)

    first, both, last = receiver.accepted
    new = rotated.secret
    fits = [[verify(secret, one.headers, one.body) for secret in (old, new)] for one in (first, both, last)]
    assert fits == [[True, False], [True, True], [False, True]]
    assert len(both.headers["webhook-signature"].split(" ")) == 2


async def test_replay_sends_the_same_bytes_under_the_same_ids(one: Node, hooks: Receivers) -> None:
    caller, receiver, conversation = await one.workspace(), hooks.add(), uuid4()
    subscription_id, _ = await one.subscribe(caller, receiver)
    positions = await one.append(caller.workspace_id, *[conversation] * 50)
    await receiver.gets(50)
    once = {received.id: received.body for received in receiver.accepted}

    await one.service.replay(caller, subscription_id, ReplayIn(first=positions[10], last=positions[39]))
    await receiver.gets(80)
    again = receiver.accepted[50:]
    assert [received.position for received in again] == positions[10:40]
    assert all(once[received.id] == received.body for received in again)

    await one.service.replay(caller, subscription_id, ReplayIn(position=positions[3]))
    await receiver.gets(81)
    assert receiver.accepted[80].position == positions[3]
    await eventually(lambda: one.fetchval("SELECT count(*) FROM subscription_lanes"), 0)
    purposes = await one.fetchval("SELECT count(*) FROM subscription_attempts WHERE purpose = 'replay'")
    assert purposes == 31


async def test_a_replay_that_fails_is_tried_again(one: Node, hooks: Receivers, clock: FakeClock) -> None:
    caller, receiver, conversation = await one.workspace(), hooks.add(), uuid4()
    subscription_id, _ = await one.subscribe(caller, receiver)
    positions = await one.append(caller.workspace_id, conversation, conversation)
    await receiver.gets(2)
    receiver.answer(500)
    await one.service.replay(caller, subscription_id, ReplayIn(first=positions[0], last=positions[1]))
    await until(lambda: len(receiver.received) == 3)
    receiver.answer(200)
    await one.append(caller.workspace_id, conversation)
    await receiver.gets(3)
    clock.advance(5)
    await receiver.gets(5)
    assert [received.position for received in receiver.accepted[3:]] == positions


async def test_paused_by_a_person_it_keeps_its_place(one: Node, hooks: Receivers) -> None:
    caller, receiver = await one.workspace(), hooks.add()
    subscription_id, _ = await one.subscribe(caller, receiver)
    await one.service.change(caller, subscription_id, SubscriptionPatch(state="disabled"))
    await until(lambda: one.worker.held == 0)
    missed = await one.append(caller.workspace_id, uuid4(), uuid4())
    await asyncio.sleep(0.4)
    assert receiver.received == []
    await one.service.enable(caller, subscription_id, EnableIn())
    await receiver.gets(2)
    await one.service.change(caller, subscription_id, SubscriptionPatch(state="disabled"))
    await until(lambda: one.worker.held == 0)
    await one.append(caller.workspace_id, uuid4())
    await one.service.enable(caller, subscription_id, EnableIn(skip=True))
    [after] = await one.append(caller.workspace_id, uuid4())
    await receiver.gets(3)
    assert sorted(receiver.positions()) == sorted([*missed, after])


async def test_a_new_address_is_tried_at_once(one: Node, hooks: Receivers) -> None:
    caller, wrong, right = await one.workspace(), hooks.add(), hooks.add()
    wrong.answer(404, Retry_After="3600")
    subscription_id, secret = await one.subscribe(caller, wrong)
    positions = await one.append(caller.workspace_id, uuid4(), uuid4())
    await until(lambda: len(wrong.received) == 2)
    await eventually(lambda: one.fetchval("SELECT count(*) FROM subscription_lanes"), 2)
    await one.service.change(caller, subscription_id, SubscriptionPatch(url=right.url))
    await right.gets(2)
    assert sorted(right.positions()) == positions
    assert all(verify(secret, received.headers, received.body) for received in right.accepted)
    assert len(wrong.received) == 2


async def test_ping(one: Node, hooks: Receivers, database_url: str) -> None:
    caller, receiver = await one.workspace(), hooks.add()
    receiver.behave = lambda received: web.Response(status=200, text="thanks")
    subscription_id, secret = await one.subscribe(caller, receiver)
    entry = await one.service.ping(caller, subscription_id)
    assert (entry.purpose, entry.outcome, entry.status, entry.answer) == ("ping", "delivered", 200, "thanks")
    [received] = receiver.accepted
    assert verify(secret, received.headers, received.body)
    assert received.event["kind"] == "ping"
    receiver.answer(500)
    entry = await one.service.ping(caller, subscription_id)
    assert (entry.outcome, entry.status) == ("failed", 500)
    assert (await one.service.get(caller, subscription_id)).failures == 0


async def test_a_ping_that_arrives_lets_what_waits_be_tried(one: Node, hooks: Receivers, clock: FakeClock) -> None:
    caller, receiver = await one.workspace(), hooks.add()
    receiver.answer(500)
    subscription_id, _ = await one.subscribe(caller, receiver)
    await one.append(caller.workspace_id, uuid4())
    for wait in (0, 5, 30, 120):
        clock.advance(wait)
        asked = len(receiver.received)
        await until(lambda asked=asked, wait=wait: len(receiver.received) > asked or not wait)  # type: ignore[misc]
    await asyncio.sleep(0.2)
    receiver.answer(200)
    await one.service.ping(caller, subscription_id)
    await receiver.gets(2)


async def test_the_log_shows_the_request_and_how_the_answer_began(one: Node, hooks: Receivers) -> None:
    caller, receiver, conversation = await one.workspace(), hooks.add("a-path-that-is-a-secret"), uuid4()
    text = "Cannot POST /hook/a-path-that-is-a-secret \x00" + "x" * 4000
    receiver.behave = lambda received: web.Response(status=404, text=text)
    subscription_id, _ = await one.subscribe(caller, receiver)
    await one.append(caller.workspace_id, conversation)
    await until(lambda: receiver.received)
    await eventually(lambda: one.fetchval("SELECT count(*) FROM subscription_attempts"), 1)
    [entry] = await one.service.deliveries(caller, subscription_id, outcome=None, before=None, limit=5)
    assert entry.answer.startswith("Cannot POST *** \ufffdxxx")
    assert len(entry.answer) == 512
    detail = await one.service.attempt(caller, subscription_id, entry.id)
    [received] = receiver.received
    assert detail.request.body is not None
    assert detail.request.body.encode() == received.body
    assert {name: received.headers[name] for name in detail.request.headers} == detail.request.headers


async def test_nothing_is_sent_to_private_networks(database_url: str, hooks: Receivers) -> None:
    receiver = hooks.add()
    clock = FakeClock()
    async with node(database_url, clock=clock) as one:
        caller = await one.workspace()
        await one.subscribe(caller, receiver)
    async with node(database_url, clock=clock, allow_private=()) as strict:
        await strict.append(caller.workspace_id, uuid4())
        await eventually(lambda: strict.fetchval("SELECT error FROM subscription_attempts"), "loopback address")
        assert receiver.received == []


async def test_no_answer_in_time_is_a_failure(database_url: str, hooks: Receivers) -> None:
    receiver = hooks.add()

    async def stall(received: Received) -> web.Response:
        await asyncio.sleep(1)
        return web.Response()

    receiver.behave = stall
    async with node(database_url, timeout=0.3) as one:
        caller = await one.workspace()
        await one.subscribe(caller, receiver)
        await one.append(caller.workspace_id, uuid4())
        await eventually(lambda: one.fetchval("SELECT error FROM subscription_attempts"), "no answer in time")


async def test_a_cursor_below_retention_says_so(one: Node, hooks: Receivers) -> None:
    caller, receiver, conversation = await one.workspace(), hooks.add(), uuid4()
    subscription_id, _ = await one.subscribe(caller, receiver)
    await one.service.change(caller, subscription_id, SubscriptionPatch(state="disabled"))
    await until(lambda: one.worker.held == 0)
    positions = await one.append(caller.workspace_id, *[conversation] * 10)
    gone = positions[6]
    await one.fetch("DELETE FROM events WHERE workspace_id = $1 AND position <= $2", caller.workspace_id, gone)
    await one.fetch("UPDATE event_logs SET floor = $2 WHERE workspace_id = $1", caller.workspace_id, gone)
    await one.service.enable(caller, subscription_id, EnableIn())
    await receiver.gets(4)
    kept = [received for received in receiver.accepted if received.event["kind"] == "message.created"]
    assert [received.position for received in kept] == positions[7:]
    [notice] = [received for received in receiver.accepted if received.event["kind"] == "subscription.reset"]
    assert notice.event["data"]["reason"] == "beyond_retention"
    assert notice.event["data"]["position"] == gone
    assert orjson.loads(notice.body)["data"]["subscription"]["url"] is None


async def test_a_rebuilt_log_says_so(one: Node, hooks: Receivers) -> None:
    caller, receiver, conversation = await one.workspace(), hooks.add(), uuid4()
    await one.subscribe(caller, receiver)
    await one.append(caller.workspace_id, conversation)
    await receiver.gets(1)
    epoch = uuid4()
    await one.fetch("DELETE FROM events")
    await one.fetch("UPDATE event_logs SET epoch = $1, head = 0", epoch)
    await eventually(lambda: one.fetchval("SELECT epoch FROM subscriptions"), epoch)
    await one.append(caller.workspace_id, conversation)
    await receiver.gets(3)
    assert [received.event["kind"] for received in receiver.accepted[1:]].count("subscription.reset") == 1
    assert len({received.id for received in receiver.accepted}) == 3
