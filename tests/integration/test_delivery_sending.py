"""Queued deliveries through a dispatcher on a real PostgreSQL: order, retries, what follows from a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from delivery_world import World, make_world

from channels.adapter import OutboundFile
from channels.outbound import Accepted
from channels.types import Address, Fault
from inbox.delivery import outcomes
from inbox.kernel.http_errors import Broken, ConnectFailed, HttpError, Refused

RETRYABLE = Fault("temporary", "A passing trouble.", retryable=True)
FINAL = Fault("policy", "Not like this.")


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url) as world:
        yield world


@pytest.fixture
def no_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "BACK_OFF", (0.01,) * 5)


async def test_a_queued_message_is_sent_and_says_so_step_by_step(world: World) -> None:
    thread = await world.conversation()
    message_id = await world.queue(thread, "Hello")

    await world.run_until_idle()

    (envelope,) = world.adapter.sent
    delivery = await world.delivery(message_id)
    assert envelope.piece.text == "Hello"
    assert envelope.correlation == str(delivery["id"])
    assert [address.value for address in envelope.recipient] == ["15551230001"]
    assert (delivery["state"], delivery["external_id"], delivery["attempts"]) == ("sent", "whatsapp.111.1", 1)
    assert await world.history(message_id) == ["sending", "sent"]
    (attempt,) = await world.node.fetch("SELECT * FROM delivery_attempts")
    assert (attempt["number"], attempt["outcome"], attempt["external_id"]) == (1, "accepted", "whatsapp.111.1")
    assert attempt["finished_at"] >= attempt["started_at"]


async def test_pieces_and_messages_of_a_conversation_go_one_after_the_other(world: World) -> None:
    async def slow(_: Any, __: Any) -> None:
        await asyncio.sleep(0.005)

    world.adapter.play = slow
    thread = await world.conversation()
    for message in range(4):
        await world.queue(thread, *[f"{message}.{piece}" for piece in range(3)])

    await world.run_until_idle()

    assert world.adapter.words == [f"{message}.{piece}" for message in range(4) for piece in range(3)]
    assert world.adapter.most_in_air == 1


async def test_conversations_are_sent_at_the_same_time(world: World) -> None:
    all_there = asyncio.Event()

    async def wait_for_the_others(_: Any, __: Any) -> None:
        if world.adapter.in_air == 5:
            all_there.set()
        await asyncio.wait_for(all_there.wait(), 5)

    world.adapter.play = wait_for_the_others
    for _ in range(5):
        await world.queue(await world.conversation())

    await world.run_until_idle()
    assert world.adapter.most_in_air == 5


async def test_replies_go_before_bulk(world: World) -> None:
    for number in range(6):
        await world.queue(await world.conversation(), f"bulk {number}", priority=1, purpose="bulk")
    await world.queue(await world.conversation(), "reply")

    await world.run_until_idle(world.dispatcher(most=1))

    assert world.adapter.words[0] == "reply"
    assert world.adapter.words[1:] == [f"bulk {number}" for number in range(6)]


async def test_the_first_piece_carries_the_quote(world: World) -> None:
    thread = await world.conversation()
    message_id = await world.queue(thread, "one", "two")
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE messages SET reply_to_external_id = 'wamid.q' WHERE id = $1", message_id)

    await world.run_until_idle()
    assert [envelope.reply_to for envelope in world.adapter.sent] == ["wamid.q", None]


# --- Refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_back_off")
async def test_a_passing_trouble_is_tried_again_and_shown_meanwhile(world: World) -> None:
    world.adapter.script = [RETRYABLE, RETRYABLE]
    message_id = await world.queue(await world.conversation())

    await world.run_until_idle()

    assert await world.history(message_id) == ["sending", "queued", "sending", "queued", "sending", "sent"]
    attempts = await world.node.fetch("SELECT number, outcome FROM delivery_attempts ORDER BY number")
    assert [tuple(row) for row in attempts] == [(1, "refused"), (2, "refused"), (3, "accepted")]


@pytest.mark.usefixtures("no_back_off")
async def test_six_tries_are_enough(world: World) -> None:
    world.adapter.play = lambda _, __: RETRYABLE
    message_id = await world.queue(await world.conversation())

    await world.run_until_idle()

    assert len(world.adapter.sent) == 6
    assert await world.status(message_id) == "failed"
    assert (await world.fault(message_id))["code"] == "temporary"


@pytest.mark.usefixtures("no_back_off")
async def test_no_retry_is_planned_for_after_the_deadline(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "BACK_OFF", (3600.0,) * 5)
    world.adapter.script = [RETRYABLE]
    message_id = await world.queue(await world.conversation(), expires_at=datetime.now(UTC) + timedelta(minutes=5))

    await world.run_until_idle()
    assert await world.status(message_id) == "failed"


async def test_a_refused_piece_takes_the_rest_of_its_message_with_it_and_nothing_else(world: World) -> None:
    thread = await world.conversation()
    world.adapter.script = [None, FINAL]
    broken = await world.queue(thread, "one", "two", "three")
    following = await world.queue(thread, "next")

    await world.run_until_idle()

    assert world.adapter.words == ["one", "two", "next"]
    assert await world.states(broken) == ["sent", "failed", "cancelled"]
    assert (await world.delivery(broken, 2))["fault"]["code"] == "piece_skipped"
    assert await world.status(broken) == "failed"
    assert (await world.fault(broken))["code"] == "policy"
    assert await world.status(following) == "sent"


def _no_connection() -> HttpError:
    return ConnectFailed("https://graph", "no connection")


@pytest.mark.usefixtures("no_back_off")
async def test_what_never_left_is_sent_again(world: World) -> None:
    world.adapter.script = [_no_connection(), _no_connection()]
    message_id = await world.queue(await world.conversation())

    await world.run_until_idle()

    assert await world.status(message_id) == "sent"
    outcomes = [row[0] for row in await world.node.fetch("SELECT outcome FROM delivery_attempts ORDER BY number")]
    assert outcomes == ["not_sent", "not_sent", "accepted"]


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(Broken("https://graph", "ServerDisconnectedError", sent=True), id="connection lost"),
        pytest.param(TimeoutError(), id="time-out"),
        pytest.param(KeyError("message_id"), id="a bug of the adapter"),
        pytest.param(Fault("outcome_unknown", "The answer does not tell."), id="answer does not tell"),
    ],
)
async def test_what_may_have_left_is_uncertain_and_never_sent_again(world: World, outcome: Exception | Fault) -> None:
    thread = await world.conversation()
    world.adapter.script = [outcome]
    message_id = await world.queue(thread, "one", "two")
    following = await world.queue(thread, "next")

    await world.run_until_idle()

    assert world.adapter.words == ["one", "next"]
    assert await world.states(message_id) == ["uncertain", "cancelled"]
    assert await world.status(message_id) == "uncertain"
    assert (await world.fault(message_id))["code"] == "outcome_unknown"
    assert await world.status(following) == "sent"


async def test_a_slow_request_is_given_up_as_uncertain(world: World) -> None:
    async def hang(_: Any, __: Any) -> None:
        await asyncio.sleep(30)

    world.adapter.play = hang
    message_id = await world.queue(await world.conversation())

    await world.run_until_idle(world.dispatcher(timeout=0.1))
    assert await world.status(message_id) == "uncertain"


async def test_a_forbidden_address_fails_at_once(world: World) -> None:
    world.adapter.script = [Refused("http://10.0.0.1", "private address")]
    message_id = await world.queue(await world.conversation())

    await world.run_until_idle()
    assert await world.status(message_id) == "failed"
    assert (await world.fault(message_id))["code"] == "forbidden_address"


async def test_a_missing_file_fails_before_anything_is_sent(world: World) -> None:
    message_id = await world.queue(await world.conversation())
    async with world.node.database.session() as connection:
        await connection.execute("""UPDATE deliveries SET piece = piece || '{"media_id": "gone"}'""")

    await world.run_until_idle()
    assert world.adapter.sent == []
    assert (await world.fault(message_id))["code"] == "media_missing"


class _HangingFiles:
    async def outbound(self, workspace_id: UUID, media_id: str) -> OutboundFile:
        await asyncio.sleep(30)
        raise AssertionError("nobody waits that long")


async def test_a_file_that_does_not_come_is_given_up_before_the_sweeper_calls_the_send_lost(world: World) -> None:
    message_id = await world.queue(await world.conversation())
    async with world.node.database.session() as connection:
        await connection.execute("""UPDATE deliveries SET piece = piece || '{"media_id": "slow"}'""")

    await world.run_until_idle(world.dispatcher(timeout=0.1, files=_HangingFiles()))
    assert world.adapter.sent == []
    assert await world.status(message_id) == "queued"
    assert (await world.fault(message_id))["code"] == "media_unavailable"


# --- What a refusal says about more than its message ------------------------------------------------------------------


async def test_a_closed_window_is_remembered(world: World) -> None:
    thread = await world.conversation()
    world.adapter.script = [Fault("window_closed", "Too late.", closes_window=True)]
    await world.queue(thread, "first")
    second = await world.queue(thread, "second")

    await world.run_until_idle()

    assert world.adapter.words == ["first"]
    assert (await world.fault(second))["code"] == "window_closed"
    kinds = [row[0] for row in await world.node.fetch("SELECT kind FROM events ORDER BY position")]
    assert kinds.count("conversation.updated") == 1


async def test_an_ended_contact_is_remembered(world: World) -> None:
    thread = await world.conversation()
    world.adapter.script = [Fault("blocked_us", "They blocked us.", ends_contact="blocked_us")]
    await world.queue(thread, "first")
    second = await world.queue(thread, "second")

    await world.run_until_idle()

    assert world.adapter.words == ["first"]
    assert (await world.fault(second))["code"] == "recipient_unreachable"
    assert await world.node.fetchval("SELECT unreachable FROM identities") == "blocked_us"
    assert await world.node.fetchval("SELECT count(*) FROM events WHERE kind = 'contact.updated'") == 1


async def test_an_opt_out_stops_bulk_but_no_replies(world: World) -> None:
    thread = await world.conversation()
    world.adapter.script = [Fault("opted_out", "They stopped marketing.", ends_contact="opted_out")]
    await world.queue(thread, "first", purpose="bulk", priority=1)
    await world.run_until_idle()
    bulk = await world.queue(thread, "bulk", purpose="bulk", priority=1)
    reply = await world.queue(thread, "reply")

    await world.run_until_idle()
    assert (await world.fault(bulk))["code"] == "opted_out"
    assert await world.status(reply) == "sent"


async def test_a_dead_token_marks_the_channel_and_stops_the_others_until_it_is_repaired(world: World) -> None:
    world.adapter.script = [Fault("token_invalid", "Expired.", pauses="channel", reauthorise=True)]
    first = await world.queue(await world.conversation(), "first")
    await world.run_until_idle(world.dispatcher(most=1))
    second = await world.queue(await world.conversation(), "second")

    await world.run_until_idle()
    assert world.adapter.words == ["first"]
    assert await world.status(first) == "failed"
    assert await world.node.fetchval("SELECT health || ': ' || health_reason FROM channels") == "reauthorise: Expired."
    assert (await world.fault(second))["code"] == "channel_unauthorised"

    async with world.node.database.session() as connection:
        await connection.execute("UPDATE channels SET health = 'ok'")
    await world.queue(await world.conversation(), "third")
    await world.run_until_idle()
    assert world.adapter.words == ["first", "third"]


@pytest.mark.usefixtures("no_back_off")
async def test_a_group_that_moved_is_reached_at_its_new_address(database_url: str) -> None:
    async with make_world(database_url, kind="telegram", window=None) as world:
        world.adapter.script = [Fault("recipient_unavailable", "Moved.", retryable=True, moved_to="-1007")]
        message_id = await world.queue(await world.conversation())

        await world.run_until_idle()

        assert [[address.value for address in envelope.recipient] for envelope in world.adapter.sent] == [
            ["-1"],
            ["-1007"],
        ]
        assert await world.status(message_id) == "sent"


async def test_addresses_that_an_answer_reveals_are_kept(world: World) -> None:
    bsuid = Address("whatsapp_user", "", "US.123")
    world.adapter.script = [Accepted(("wamid.1",), addresses=(bsuid,))]
    await world.queue(await world.conversation())

    await world.run_until_idle()
    found = await world.node.fetch("SELECT kind, value FROM addresses ORDER BY kind")
    assert [tuple(row) for row in found] == [("whatsapp_phone", "15551230001"), ("whatsapp_user", "US.123")]
    assert await world.node.fetchval("SELECT count(DISTINCT identity_id) FROM addresses") == 1
