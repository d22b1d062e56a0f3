"""A refusal means the same whether the provider answers with it or tells it later, and it means it once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from delivery_world import World, customer_address, make_world

from channels.adapter import AccountFacts
from channels.capabilities import Receipts
from channels.content import TextPart
from channels.inbound import AccountChanged, MessageReceived, StatusReported
from channels.meta.messaging_faults import MESSAGING
from channels.types import Fault, Person
from channels.whatsapp.errors import fault_of_webhook
from inbox.connections.connecting import _reports
from inbox.connections.health import ChannelHealth
from inbox.conversations.repository import Thread
from inbox.messages import consequences

WINDOW = 131047
UNDELIVERABLE = 131026
OPTED_OUT = 131050
PAIR_RATE = 131056
THROTTLED = 130429


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url) as world:
        yield world


def fault(code: int) -> Fault:
    return fault_of_webhook([{"code": code}])


async def fails(world: World, external_id: str, code: int, **more: Any) -> None:
    at = more.pop("at", None) or datetime.now(UTC)
    await world.receive(StatusReported("111", external_id, "failed", at, fault(code), **more))


async def sent(world: World, thread: Thread) -> tuple[Any, str]:
    """A message that the provider accepted, and its id there."""
    message_id = await world.queue(thread)
    await world.run_until_idle()
    return message_id, (await world.delivery(message_id))["external_id"]


async def events(world: World, kind: str) -> list[dict[str, Any]]:
    rows = await world.node.fetch("SELECT payload FROM events WHERE kind = $1 ORDER BY position", kind)
    return [orjson.loads(row[0]) for row in rows]


async def buckets(world: World) -> dict[str, float]:
    """Seconds that buckets still rest, by key."""
    rows = await world.node.fetch(
        """SELECT key, extract(epoch FROM paused_until - clock_timestamp()) FROM rate_buckets
           WHERE paused_until > clock_timestamp()"""
    )
    return {row[0]: float(row[1]) for row in rows}


async def test_a_window_that_the_provider_holds_for_closed_closes(world: World) -> None:
    thread = await world.conversation()
    message_id, external_id = await sent(world, thread)
    await fails(world, external_id, WINDOW)
    assert (await world.fault(message_id))["code"] == "window_closed"
    (told,) = await events(world, "conversation.updated")
    assert datetime.fromisoformat(told["conversation"]["window_expires_at"]) <= datetime.now(UTC)
    following = await world.queue(thread)
    await world.run_until_idle()
    assert (await world.fault(following))["code"] == "window_closed"
    assert len(world.adapter.sent) == 1


async def test_a_refusal_that_comes_again_does_not_close_what_the_customer_opened(world: World) -> None:
    thread = await world.conversation()
    _, external_id = await sent(world, thread)
    refused_at = datetime.now(UTC)
    await fails(world, external_id, WINDOW, at=refused_at)
    person = Person((customer_address(world.channel, 1),))
    later = refused_at + timedelta(seconds=2)
    await world.receive(MessageReceived("111", "in.1", person, (TextPart("Hello?"),), later))
    for _ in range(2):
        await fails(world, external_id, WINDOW, at=later + timedelta(seconds=2))
    row = (await world.node.fetch("SELECT window_opened_at, window_closed_at FROM conversations"))[0]
    assert row[0] == later > row[1]


async def test_what_was_sent_before_the_customer_wrote_closes_nothing(world: World) -> None:
    thread = await world.conversation()
    _, external_id = await sent(world, thread)
    person = Person((customer_address(world.channel, 1),))
    opened = datetime.now(UTC) + timedelta(seconds=1)
    await world.receive(MessageReceived("111", "in.1", person, (TextPart("Hello?"),), opened))
    await fails(world, external_id, WINDOW, at=opened + timedelta(seconds=5))
    assert await world.node.fetchval("SELECT window_closed_at FROM conversations") is None


async def test_the_clock_of_the_provider_may_be_coarse(world: World) -> None:
    """Seconds without a fraction put the refusal before the message that it answers."""
    thread = await world.conversation(window_opened=timedelta(0))
    _, external_id = await sent(world, thread)
    await fails(world, external_id, WINDOW, at=datetime.now(UTC) - timedelta(seconds=1))
    row = (await world.node.fetch("SELECT window_opened_at, window_closed_at FROM conversations"))[0]
    assert row[1] > row[0]


@pytest.mark.parametrize(
    ("code", "column", "value"),
    [(UNDELIVERABLE, "unreachable", "unreachable"), (OPTED_OUT, "marketing_stopped_reason", "refused")],
)
async def test_who_cannot_or_does_not_want_to_be_reached_is_noted_once(
    world: World, code: int, column: str, value: str
) -> None:
    _, external_id = await sent(world, await world.conversation())
    for _ in range(2):
        await fails(world, external_id, code)
    (told,) = await events(world, "contact.reachability")
    assert told["reach"][column] == value
    dated = {"unreachable": "unreachable_at", "marketing_stopped_reason": "marketing_stopped_at"}[column]
    assert told["reach"][dated] is not None


async def test_a_failure_after_the_delivery_means_nothing(world: World) -> None:
    _, external_id = await sent(world, await world.conversation())
    await world.receive(StatusReported("111", external_id, "delivered", datetime.now(UTC)))
    await fails(world, external_id, UNDELIVERABLE)
    assert await events(world, "contact.reachability") == []


@pytest.mark.parametrize("known", [True, False], ids=["by its correlation", "parked until the id is known"])
async def test_a_refusal_may_overtake_our_record_of_the_send(world: World, known: bool) -> None:
    thread = await world.conversation()
    message_id = await world.queue(thread)
    delivery_id = (await world.delivery(message_id))["id"]
    before = world.adapter.play

    async def refused_meanwhile(*_: Any) -> None:
        await fails(world, "whatsapp.111.1", UNDELIVERABLE, correlation=str(delivery_id) if known else None)

    world.adapter.play = refused_meanwhile
    await world.run_until_idle()
    world.adapter.play = before
    assert await world.status(message_id) == "failed"
    assert await world.node.fetchval("SELECT unreachable FROM identities") == "unreachable"
    assert len(await events(world, "contact.reachability")) == 1


async def test_a_throttle_told_later_rests_the_right_bucket_alone(world: World) -> None:
    thread, other = await world.conversation(), await world.conversation()
    _, external_id = await sent(world, thread)
    await fails(world, external_id, PAIR_RATE)
    assert list(await buckets(world)) == [f"recipient:{thread.id}"]
    await world.queue(other)
    await world.run_until_idle()
    assert len(world.adapter.sent) == 2
    first = (await buckets(world))[f"recipient:{thread.id}"]
    await fails(world, external_id, PAIR_RATE)
    assert (await buckets(world))[f"recipient:{thread.id}"] <= first


async def test_a_throttle_of_the_channel_shows_on_the_channel(world: World) -> None:
    _, external_id = await sent(world, await world.conversation())
    await fails(world, external_id, THROTTLED)
    assert list(await buckets(world)) == ["channel"]
    assert await world.node.fetchval("SELECT sending_paused_until > now() FROM channels")
    assert len(await events(world, "channel.updated")) == 1


async def test_a_dead_token_told_later_marks_the_channel(world: World) -> None:
    _, external_id = await sent(world, await world.conversation())
    await fails(world, external_id, 190)
    assert await world.node.fetchval("SELECT health FROM channels") == "reauthorise"


async def test_what_is_wrong_with_the_payment_shows_on_the_channel_until_a_check_finds_it_in_order(
    world: World,
) -> None:
    for _ in range(2):
        _, external_id = await sent(world, await world.conversation())
        await fails(world, external_id, 131042)
    (told,) = await events(world, "channel.updated")
    assert (told["channel"]["health"], told["channel"]["health_reasons"][0]["aspect"]) == ("degraded", "billing")
    assert "payment" in told["channel"]["health_reason"]
    checked = _reports(AccountFacts("111", "Shop"), [])
    async with world.node.database.transaction() as unit:
        health = ChannelHealth(world.node.directory, lambda: None)
        await health.report(unit, world.workspace_id, world.channel.id, *checked)
    assert await world.node.fetchval("SELECT health FROM channels") == "ok"


async def delivered(world: World, external_id: str) -> None:
    """Told to the channel as it is known now, as the webhooks' processor does."""
    world.node.directory.forget()
    channel = await world.node.directory.get(world.workspace_id, world.channel.id)
    report = StatusReported("111", external_id, "delivered", datetime.now(UTC))
    await world.receive(report, channel=channel)


async def restriction(world: World) -> list[tuple[str, str]]:
    world.node.directory.forget()
    rows = await world.node.fetch("SELECT health, health_aspects FROM channels")
    return [(rows[0][0], aspect) for aspect, entry in rows[0][1].items() if entry["health"] != "ok"]


@pytest.mark.parametrize("code", [131031, 131037, 131045, 368])
async def test_an_account_that_may_not_send_says_so_until_something_arrives(world: World, code: int) -> None:
    thread = await world.conversation()
    _, before = await sent(world, thread)
    _, external_id = await sent(world, thread)
    await fails(world, external_id, code)
    assert await restriction(world) == [("degraded", "restriction")]
    await delivered(world, before)
    assert await restriction(world) == [("degraded", "restriction")], "it had left before"
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE rate_buckets SET paused_until = NULL")
    _, later = await sent(world, thread)
    assert await restriction(world) == [("degraded", "restriction")], "taking it is not the last word"
    await delivered(world, later)
    assert await restriction(world) == []
    told = [one["channel"] for one in await events(world, "channel.updated")]
    assert (told[-1]["health"], told[-1]["health_reasons"]) == ("ok", [])
    assert [reason["aspect"] for one in told for reason in one["health_reasons"]][-1:] == ["restriction"]


async def test_where_the_answer_is_the_last_word_the_next_send_that_is_taken_ends_a_restriction(
    database_url: str,
) -> None:
    answers = Receipts(delivered="watermark", read="watermark", correlation=True, echoes=True)
    async with make_world(database_url, receipts=answers) as world:
        world.adapter.script = [MESSAGING[(10, 1893063)]]
        thread = await world.conversation()
        await world.queue(thread)
        await world.run_until_idle()
        assert await restriction(world) == [("degraded", "restriction")]
        async with world.node.database.session() as connection:
            await connection.execute("UPDATE rate_buckets SET paused_until = NULL")
        await sent(world, thread)
        assert await restriction(world) == []


async def test_what_a_webhook_said_of_the_account_ends_neither_by_a_check_nor_by_a_send(world: World) -> None:
    thread = await world.conversation()
    reason = "Only answers may be sent."
    await world.receive(AccountChanged("111", "restriction", datetime.now(UTC), "degraded", reason))
    _, external_id = await sent(world, thread)
    await delivered(world, external_id)
    async with world.node.database.transaction() as unit:
        health = ChannelHealth(world.node.directory, lambda: None)
        await health.report(unit, world.workspace_id, world.channel.id, *_reports(AccountFacts("111", "Shop"), []))
    assert await restriction(world) == [("degraded", "restriction")]


async def test_receipts_without_a_fault_ask_the_database_nothing_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, because receipts are three quarters of all webhooks."""
    _, external_id = await sent(world, await world.conversation())

    async def never(*_: object) -> None:
        raise AssertionError("nothing was refused")

    monkeypatch.setattr(consequences.Consequences, "_draw", never)
    await world.receive(StatusReported("111", external_id, "delivered", datetime.now(UTC)))


# --- How long --------------------------------------------------------------------------------------------------------


async def rest_of(world: World, key: str) -> tuple[float, int]:
    """Seconds that the newest pause takes, and the strikes counted; the pause is then over."""
    row = (
        await world.node.fetch(
            "SELECT extract(epoch FROM paused_until - clock_timestamp()), strikes FROM rate_buckets WHERE key = $1", key
        )
    )[0]
    async with world.node.database.session() as connection:
        await connection.execute(
            "UPDATE rate_buckets SET paused_until = clock_timestamp(), filled_at = '2020-01-01' WHERE key = $1", key
        )
        await connection.execute("UPDATE deliveries SET due_at = now() WHERE state = 'queued'")
    return float(row[0]), row[1]


async def give_up(world: World) -> None:
    """What waits for its next try is not tried again."""
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE deliveries SET state = 'cancelled' WHERE state = 'queued'")


@pytest.mark.parametrize("later", [False, True], ids=["as the answer", "by a webhook"])
async def test_throttles_one_after_the_other_rest_four_times_as_long(world: World, later: bool) -> None:
    thread = await world.conversation()
    rests = []
    for number in range(1, 6):
        if not later:
            world.adapter.script = [fault(PAIR_RATE)]
        await world.queue(thread, f"message {number}")
        await world.run_until_idle()
        if later:
            row = (await world.node.fetch("SELECT external_id FROM deliveries ORDER BY id DESC LIMIT 1"))[0]
            await fails(world, row[0], PAIR_RATE)
        rests.append(await rest_of(world, f"recipient:{thread.id}"))
    assert [strikes for _, strikes in rests] == [1, 2, 3, 4, 5]
    for (seconds, _), least in zip(rests, (4, 16, 64, 256, 600), strict=True):
        assert least - 2 <= seconds <= least * 1.2


async def test_a_success_in_between_starts_the_count_again(world: World) -> None:
    key = "channel"
    for throttled, strikes in ((True, 1), (True, 2), (False, 2), (True, 1)):
        world.adapter.script = [fault(THROTTLED)] if throttled else []
        await world.queue(await world.conversation())
        await world.run_until_idle(world.dispatcher(most=1))
        await give_up(world)
        if throttled:
            assert (await rest_of(world, key))[1] == strikes


async def test_a_crowd_that_runs_into_one_wall_is_one_strike(world: World) -> None:
    waiting = [await sent(world, await world.conversation()) for _ in range(5)]
    for _, external_id in waiting:
        await fails(world, external_id, THROTTLED)
    assert await world.node.fetchval("SELECT strikes FROM rate_buckets WHERE key = 'channel'") == 1


async def test_a_time_that_the_provider_names_is_taken_as_it_is(world: World) -> None:
    named = Fault("rate_limited", "In 7.", retryable=True, retry_after=7.0, pauses="channel")
    for _ in range(3):
        world.adapter.script = [named]
        await world.queue(await world.conversation())
        await world.run_until_idle(world.dispatcher(most=1))
        seconds, _ = await rest_of(world, "channel")
        await give_up(world)
        assert 6 <= seconds <= 8.5
