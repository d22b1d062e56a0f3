"""How channels stand, on a real PostgreSQL: aspects that come and go, throttles, silence, tokens that end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import orjson
import pytest
from delivery_world import ScriptedAdapter, World, make_world
from prometheus_client import CollectorRegistry

from channels.abilities import NewToken
from channels.adapter import Http
from channels.errors import FetchError
from channels.inbound import AccountChanged, ChannelNotice, Inbound, TemplateChanged
from channels.types import Account, Fault
from inbox.connections.health import ChannelHealth
from inbox.connections.upkeep import QUEUE, ChannelUpkeep
from inbox.ingest.metrics import IngestMetrics
from inbox.ingest.processor import Processor
from inbox.ingest.repository import RawDelivery
from inbox.kernel.ids import new_id
from inbox.kernel.jobs import Job, Jobs
from inbox.kernel.jobs_worker import GiveUp, RetryLater
from inbox.kernel.wakeup import Wakeup


class Renewing(ScriptedAdapter):
    """Its tokens end unless they are exchanged."""

    outcome: NewToken | Fault | None = None

    async def renew(self, http: Http, account: Account) -> NewToken | None:
        self.renewed = account.token
        if isinstance(self.outcome, Fault):
            raise FetchError(self.outcome)
        return self.outcome


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with make_world(database_url, plays=Renewing) as world:
        yield world


async def standing(world: World, channel_id: UUID | None = None) -> tuple[str, str | None]:
    query = "SELECT health, health_reason FROM channels WHERE id = $1"
    (row,) = await world.node.fetch(query, channel_id or world.channel.id)
    return row[0], row[1]


async def told(world: World) -> list[dict[str, Any]]:
    rows = await world.node.fetch("SELECT payload FROM events WHERE kind = 'channel.updated' ORDER BY position")
    return [orjson.loads(row[0])["channel"] for row in rows]


def account(aspect: str, health: Any, reason: str | None = None, *, minutes: int = 0) -> AccountChanged:
    return AccountChanged("111", aspect, datetime.now(UTC) + timedelta(minutes=minutes), health, reason)


# --- what providers say -----------------------------------------------------------------------------------------------


async def test_the_worst_aspect_is_the_health_and_each_ends_on_its_own(world: World) -> None:
    await world.receive(account("quality", "degraded", "Quality is low."))
    await world.receive(account("restriction", "paused", "Sending is restricted."))
    assert await standing(world) == ("paused", "Sending is restricted.")
    assert [one["aspect"] for one in (await told(world))[-1]["health_reasons"]] == ["quality", "restriction"]
    await world.receive(account("restriction", "ok", minutes=1))
    assert await standing(world) == ("degraded", "Quality is low.")
    await world.receive(account("restriction", "paused", "Sending is restricted.", minutes=-1))
    assert await standing(world) == ("degraded", "Quality is low."), "an older word does not bring it back"
    await world.receive(account("quality", "ok", minutes=1))
    assert await standing(world) == ("ok", None)
    assert [one["health"] for one in await told(world)] == ["degraded", "paused", "degraded", "ok"]


async def test_what_was_said_twice_is_told_once_and_all_of_it_is_kept(world: World) -> None:
    said = account("quality", "degraded", "Quality is low.")
    await world.receive(said)
    await world.receive(said)
    await world.receive(account("limit", None, "The limit is 1000 now."))
    assert len(await told(world)) == 1
    kept = await world.node.fetch("SELECT what FROM unsupported_events ORDER BY id")
    assert [row[0] for row in kept] == ["account.quality", "account.quality", "account.limit"]


class Says:
    """A provider app whose bodies say what the test wants."""

    name = "meta"

    def __init__(self, *items: Inbound) -> None:
        self.items = list(items)

    def parse(self, body: bytes, *, account_id: str | None = None) -> list[Inbound]:
        return self.items


async def feed(world: World, app_id: UUID, *items: Inbound) -> None:
    node = world.node
    metrics = IngestMetrics(CollectorRegistry())
    providers = cast(Any, {"meta": Says(*items)})
    processor = Processor(node.database, node.directory, providers, node.receiver, metrics)
    async with node.database.session() as connection:
        raw_id, received_at = new_id(), datetime.now(UTC)
        await connection.execute(
            "INSERT INTO raw_deliveries (id, received_at, app_id, body) VALUES ($1, $2, $3, $4)",
            raw_id,
            received_at,
            app_id,
            b"{}",
        )
    await processor.process([RawDelivery(raw_id, received_at, app_id, b"{}")])


async def test_what_is_said_of_an_owner_concerns_all_of_its_channels_and_nobody_elses(world: World) -> None:
    numbers = [await world.add_channel("whatsapp", number, options={"waba_id": "WABA"}) for number in ("501", "502")]
    async with world.node.database.session() as connection:
        app_id = numbers[0].app_id
        await connection.execute("UPDATE channels SET provider_app_id = $1 WHERE account_id IN ('501', '502')", app_id)
    world.node.directory.forget()
    now = datetime.now(UTC)
    await feed(
        world,
        app_id,
        AccountChanged("WABA", "review", now, "paused", "The account is under review."),
        TemplateChanged("WABA", "order", "en", now, status="approved"),
        ChannelNotice("WABA", "something", {}, now),
    )
    for number in numbers:
        assert await standing(world, number.id) == ("paused", "The account is under review.")
    assert await standing(world) == ("ok", None)
    assert await world.node.fetchval("SELECT count(*) FROM unsupported_events WHERE what = 'something'") == 1


# --- what sending finds out -------------------------------------------------------------------------------------------


async def test_a_late_refusal_of_an_old_token_says_nothing_about_the_new_one(world: World) -> None:
    async def replaced_meanwhile(*_: object) -> Fault:
        async with world.node.database.session() as connection:
            await connection.execute("UPDATE channels SET token_version = token_version + 1")
        return Fault("token_invalid", "Expired.", reauthorise=True)

    world.adapter.play = replaced_meanwhile
    await world.queue(await world.conversation())
    await world.run_until_idle()
    assert await standing(world) == ("ok", None)


async def test_a_throttle_of_the_channel_is_shown_with_its_end_and_reason(world: World) -> None:
    throttle = Fault("rate_limited", "Too many messages.", retryable=True, retry_after=600, pauses="channel")
    world.adapter.script = [throttle, throttle]
    await world.queue(await world.conversation())
    async with world.running():
        await world.wait_for("SELECT sending_paused_until IS NOT NULL FROM channels")
    (shown,) = await told(world)
    until = datetime.fromisoformat(shown["sending_paused_until"])
    assert timedelta(seconds=590) < until - datetime.now(UTC) < timedelta(seconds=730)
    assert (shown["sending_paused_reason"], shown["health"]) == ("Too many messages.", "ok")


async def test_a_pause_of_a_moment_is_not_worth_an_event(world: World) -> None:
    world.adapter.script = [Fault("rate_limited", "Slower.", retryable=True, retry_after=0.1, pauses="channel")]
    await world.queue(await world.conversation())
    await world.run_until_idle()
    assert await told(world) == []


# --- silence ----------------------------------------------------------------------------------------------------------


def upkeep(world: World) -> ChannelUpkeep:
    node = world.node
    return ChannelUpkeep(
        node.database,
        node.directory,
        node.box,
        cast(Http, None),
        ChannelHealth(node.directory, lambda: None),
        Jobs(Wakeup()),
        {"whatsapp": world.adapter},
        silent_after=timedelta(hours=72),
    )


async def heard(world: World, hours_ago: int, days: int) -> None:
    """Of the channel: last so long ago, and on so many days in a row until then."""
    async with world.node.database.session() as connection:
        await connection.execute(
            """
            INSERT INTO channel_traffic (workspace_id, channel_id, last_at, days)
            SELECT workspace_id, id, now() - make_interval(hours => $1), ARRAY(
                SELECT (now() - make_interval(hours => $1))::date - n FROM generate_series($2::int - 1, 0, -1) AS n)
            FROM channels
            ON CONFLICT (workspace_id, channel_id) DO UPDATE SET last_at = excluded.last_at, days = excluded.days
            """,
            hours_ago,
            days,
        )


async def test_a_busy_channel_that_falls_silent_says_so_until_something_comes(world: World) -> None:
    await heard(world, hours_ago=73, days=5)
    for _ in range(2):
        await upkeep(world).watch()
    health, reason = await standing(world)
    assert health == "degraded"
    assert "No webhook has come since" in (reason or "")
    await world.receive(ChannelNotice("111", "hello", {}, datetime.now(UTC)))
    assert await standing(world) == ("ok", None)
    assert [one["health"] for one in await told(world)] == ["degraded", "ok"]


@pytest.mark.parametrize(("hours_ago", "days"), [(71, 5), (73, 2), (500, 2)])
async def test_a_channel_that_was_never_busy_or_is_quiet_for_a_while_is_not_silent(
    world: World, hours_ago: int, days: int
) -> None:
    await heard(world, hours_ago, days)
    await upkeep(world).watch()
    assert await standing(world) == ("ok", None)


async def test_traffic_is_noted_once_a_minute_and_keeps_a_fortnight(world: World) -> None:
    await heard(world, hours_ago=24, days=14)
    for _ in range(5):
        await world.receive(ChannelNotice("111", "hello", {}, datetime.now(UTC)))
    row = (
        await world.node.fetch("SELECT last_at, cardinality(days), days[14] = current_date, xmin FROM channel_traffic")
    )[0]
    assert datetime.now(UTC) - row[0] < timedelta(minutes=1)
    assert (row[1], row[2]) == (14, True)
    await world.receive(ChannelNotice("111", "hello", {}, datetime.now(UTC)))
    assert await world.node.fetchval("SELECT last_at FROM channel_traffic") == row[0], "the row was not written again"


# --- tokens that end --------------------------------------------------------------------------------------------------


async def token(world: World, *, ends_in_days: float | None, days_old: float = 30) -> None:
    ends = None if ends_in_days is None else datetime.now(UTC) + timedelta(days=ends_in_days)
    async with world.node.database.session() as connection:
        await connection.execute(
            "UPDATE channels SET token_expires_at = $1, token_set_at = now() - $2::interval",
            ends,
            timedelta(days=days_old),
        )


@pytest.mark.parametrize(
    ("days", "health", "word"), [(6, "degraded", "ends on"), (-1, "degraded", "ended on"), (8, "ok", "")]
)
async def test_an_end_that_is_near_is_a_reason_to_look(world: World, days: float, health: str, word: str) -> None:
    await token(world, ends_in_days=days)
    await upkeep(world).watch()
    found, reason = await standing(world)
    assert found == health
    assert word in (reason or "")


@pytest.mark.parametrize(
    ("ends", "old", "asked"),
    [(13, 30, True), (15, 30, False), (13, 0.5, False), (None, 30, True), (None, 0, True)],
)
async def test_tokens_are_renewed_in_time_and_not_too_young(
    world: World, ends: float | None, old: float, asked: bool
) -> None:
    await token(world, ends_in_days=ends, days_old=old)
    for _ in range(2):
        await upkeep(world).ask_for_renewals()
    assert await world.node.fetchval("SELECT count(*) FROM jobs WHERE queue = $1", QUEUE) == int(asked)


@pytest.mark.parametrize(("hours", "asked"), [(23, False), (25, True)])
async def test_a_token_whose_end_nobody_knows_is_asked_every_day(world: World, hours: int, asked: bool) -> None:
    await token(world, ends_in_days=None, days_old=2)
    async with world.node.database.session() as connection:
        await connection.execute("UPDATE channels SET renewal_tried_at = now() - make_interval(hours => $1)", hours)
    await upkeep(world).ask_for_renewals()
    assert await world.node.fetchval("SELECT count(*) FROM jobs WHERE queue = $1", QUEUE) == int(asked)


@pytest.mark.parametrize(("ends", "asked"), [(None, True), (50, False)])
async def test_connecting_asks_at_once_where_nobody_knows_the_end(
    world: World, ends: float | None, asked: bool
) -> None:
    await token(world, ends_in_days=ends, days_old=0)
    async with world.node.database.transaction() as unit:
        await upkeep(world).ask_on_connecting(unit, world.channel)
    assert await world.node.fetchval("SELECT count(*) FROM jobs WHERE queue = $1", QUEUE) == int(asked)


async def test_a_token_that_is_too_young_is_no_trouble_and_one_that_stays_refused_is(world: World) -> None:
    cast(Renewing, world.adapter).outcome = Fault("parameter_invalid", "Not before it is 24 hours old.", "100")
    await token(world, ends_in_days=None, days_old=0)
    await renew(world)
    assert await standing(world) == ("ok", None)
    assert await world.node.fetchval("SELECT renewal_tried_at > now() - interval '1 minute' FROM channels")
    await token(world, ends_in_days=None, days_old=2)
    with pytest.raises(GiveUp):
        await renew(world)
    assert (await standing(world))[0] == "degraded"
    ends = datetime.now(UTC) + timedelta(days=60)
    cast(Renewing, world.adapter).outcome = NewToken("a brand new token", ends)
    await renew(world)
    assert await standing(world) == ("ok", None)
    assert await world.node.fetchval("SELECT token_expires_at FROM channels") == ends


async def renew(world: World) -> None:
    payload = {"channel_id": str(world.channel.id)}
    job = Job(world.workspace_id, new_id(), QUEUE, None, payload, 1, 5, 1, "lease", datetime.now(UTC))
    await upkeep(world).renew(job)


async def test_a_renewed_token_is_sealed_used_and_ends_the_troubles_of_the_old_one(world: World) -> None:
    await token(world, ends_in_days=2)
    await upkeep(world).watch()
    ends = datetime.now(UTC) + timedelta(days=60)
    cast(Renewing, world.adapter).outcome = NewToken("a brand new token", ends)
    await renew(world)
    channel = await world.node.directory.get(world.workspace_id, world.channel.id)
    assert (channel.account.token, channel.token_version) == ("a brand new token", 2)
    stored = await world.node.fetchval("SELECT token FROM channels WHERE id = $1", world.channel.id)
    assert b"brand new" not in stored
    assert await standing(world) == ("ok", None)
    assert datetime.fromisoformat((await told(world))[-1]["token_expires_at"]) == ends
    assert "brand new" not in str(await told(world))


async def test_a_renewal_that_fails_is_a_reason_and_one_that_is_refused_wants_a_person(world: World) -> None:
    await token(world, ends_in_days=5)
    cast(Renewing, world.adapter).outcome = Fault("unavailable", "Try later.", retryable=True)
    with pytest.raises(RetryLater):
        await renew(world)
    health, reason = await standing(world)
    assert (health, "could not be renewed: Try later" in (reason or "")) == ("degraded", True)
    cast(Renewing, world.adapter).outcome = Fault("token_invalid", "Revoked.", reauthorise=True)
    with pytest.raises(GiveUp):
        await renew(world)
    assert (await standing(world))[0] == "reauthorise"


async def test_a_token_that_a_person_gave_meanwhile_is_not_replaced(world: World) -> None:
    adapter = cast(Renewing, world.adapter)
    original = adapter.renew

    async def slow(http: Http, account: Account) -> NewToken | None:
        async with world.node.database.session() as connection:
            await connection.execute("UPDATE channels SET token_version = 7")
        return await original(http, account)

    adapter.outcome = NewToken("too late", None)
    adapter.renew = slow  # type: ignore[method-assign]
    await renew(world)
    world.node.directory.forget()
    assert (await world.node.directory.get(world.workspace_id, world.channel.id)).account.token == "token-of-111"
