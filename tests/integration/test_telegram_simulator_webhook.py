"""Setting a webhook, and how the simulated Telegram delivers to it (facts, 4.1)."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from telegram_stage import BOT, TOKEN, Hook, Json, Stage, open_stage

from channels.simulator import outbox as outbox_module
from channels.simulator.faults import Faults
from channels.simulator.outbox import Outbox
from channels.simulator.posts import Event
from channels.simulator.world import Account, World


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with open_stage(retry_scale=0.01) as stage:
        yield stage


async def info(stage: Stage) -> Json:
    found: Json = await stage.do("getWebhookInfo")
    return found


async def until(stage: Stage, count: int) -> list[Json]:
    async with asyncio.timeout(5):
        while len(stage.hook.updates) < count:
            await asyncio.sleep(0.005)
    return stage.hook.updates


BAD = "Bad Request: bad webhook: "
PORTS = BAD + "Webhook can be set up only on ports 80, 88, 443 or 8443"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": "http://bot.example.org/"}, BAD + "An HTTPS URL must be provided for webhook"),
        ({"url": "https://bot.example.org:8080/"}, PORTS),
        ({"url": "https://bot.example.org:99999/"}, PORTS),
        ({"url": "https://192.168.1.4/"}, BAD + "IP address 192.168.1.4 is reserved"),
        ({"url": "https://127.0.0.1/"}, BAD + "IP address 127.0.0.1 is reserved"),
        ({"url": "https://localhost/"}, BAD + "Failed to resolve host: Name or service not known"),
        ({"url": "https://bot.example.org/", "secret_token": "ä"},
         "Bad Request: secret token contains unallowed characters"),
        ({"url": "https://bot.example.org/", "secret_token": "x" * 257}, "Bad Request: secret token is too long"),
    ],
)  # fmt: skip
async def test_addresses_and_secrets_that_are_refused(fields: Json, words: str) -> None:
    async with open_stage(loopback_webhooks=False) as stage:
        assert await stage.refused("setWebhook", **fields) == words
        for port in ("", ":80", ":88", ":8443"):
            good = f"https://bot.example.org{port}/hook"
            assert await stage.do("setWebhook", url=good, secret_token="a_Z-9") is True


async def test_this_machine_is_allowed_by_a_setting(stage: Stage) -> None:
    answer = await stage.call("setWebhook", url=stage.hook.url, secret_token="another")
    assert answer == {"ok": True, "result": True, "description": "Webhook was set"}
    again = await stage.call("setWebhook", url=stage.hook.url, secret_token="another")
    assert again["description"] == "Webhook is already set"
    await stage.say(text="hi")
    await until(stage, 1)
    assert stage.hook.secrets == ["another"]
    assert await stage.do("setWebhook", url=stage.hook.url) is True  # without a secret there is no header
    await stage.say(text="hi")
    await until(stage, 2)
    assert stage.hook.secrets == ["another", None]
    assert (await stage.call("setWebhook", url=""))["description"] == "Webhook was deleted"
    assert (await stage.call("deleteWebhook"))["description"] == "Webhook is already deleted"


@pytest.mark.parametrize(("wanted", "kept"), [(None, 40), (0, 1), (7, 7), (500, 100)])
async def test_connections_are_clamped(stage: Stage, wanted: int | None, kept: int) -> None:
    more: dict[str, Any] = {} if wanted is None else {"max_connections": wanted}
    await stage.do("setWebhook", url=stage.hook.url, secret_token="s", **more)
    assert (await info(stage))["max_connections"] == kept


async def test_an_omitted_list_of_updates_keeps_the_old(stage: Stage) -> None:
    await stage.do("setWebhook", url=stage.hook.url, allowed_updates=["message_reaction", "Message", "nonsense"])
    assert (await info(stage))["allowed_updates"] == ["message", "message_reaction"]
    await stage.do("setWebhook", url=stage.hook.url, secret_token="new")
    assert (await info(stage))["allowed_updates"] == ["message", "message_reaction"]
    said = await stage.say(text="hi")
    await stage.say("callback", payload="x")
    await stage.say("reaction", message_id=said["id"])
    assert await stage.control.flush()
    assert sorted(key for update in stage.hook.updates for key in update if key != "update_id") == [
        "message", "message_reaction",
    ]  # fmt: skip
    await stage.do("setWebhook", url=stage.hook.url, allowed_updates=[])
    assert "allowed_updates" not in await info(stage)  # the default
    stage.hook.updates.clear()
    await stage.say("reaction", message_id=said["id"])
    await stage.say("callback", payload="x")
    assert await stage.control.flush()
    assert "callback_query" in stage.hook.updates[0]
    assert len(stage.hook.updates) == 1


async def test_webhook_and_polling_exclude_each_other(stage: Stage) -> None:
    words = (
        "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
    )
    assert await stage.refused("getUpdates") == words
    await stage.do("deleteWebhook")
    waiting = asyncio.create_task(stage.call("getUpdates", timeout=20))
    await asyncio.sleep(0.1)
    assert await stage.do("getUpdates") == []
    assert (await waiting)["description"].startswith("Conflict: terminated by other getUpdates request")
    waiting = asyncio.create_task(stage.call("getUpdates", timeout=20))
    await asyncio.sleep(0.1)
    await stage.do("setWebhook", url=stage.hook.url)
    assert (await waiting)["description"] == "Conflict: terminated by setWebhook request"


async def test_polling_acknowledges(stage: Stage) -> None:
    await stage.do("deleteWebhook")
    for text in "abc":
        await stage.say(text=text)
    updates = await stage.do("getUpdates", limit=2)
    assert [each["message"]["text"] for each in updates] == ["a", "b"]
    rest = await stage.do("getUpdates", offset=updates[1]["update_id"] + 1)
    assert [each["message"]["text"] for each in rest] == ["c"]
    assert [each["message"]["text"] for each in await stage.do("getUpdates", offset=-1)] == ["c"]
    assert await stage.do("getUpdates", offset=rest[0]["update_id"] + 1, timeout=0) == []


async def test_failures_are_seen_and_what_waits_can_be_pulled(stage: Stage) -> None:
    await stage.control.tune_outbox(retry_scale=1000)
    stage.hook.answers = [(503, {})] * 5
    for text in "abc":
        await stage.say(text=text)
    async with asyncio.timeout(5):
        while len(stage.hook.secrets) < 2:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    about = await info(stage)
    assert about["pending_update_count"] == 3
    assert about["last_error_message"] == "Wrong response from the webhook: 503 Service Unavailable"
    assert abs(about["last_error_date"] - time.time()) < 60
    await stage.do("deleteWebhook")
    about = await info(stage)
    assert (about["url"], about["pending_update_count"]) == ("", 3)
    pulled = await stage.do("getUpdates")
    assert [each["message"]["text"] for each in pulled] == ["a", "b", "c"]
    stage.hook.answers = []
    await stage.do("setWebhook", url=stage.hook.url, drop_pending_updates=True)
    assert (await info(stage))["pending_update_count"] == 0
    assert "last_error_message" not in await info(stage)
    await stage.say(text="d")
    assert [each["message"]["text"] for each in await until(stage, 1)] == ["d"]


async def test_a_failing_update_blocks_its_own_queue_only(stage: Stage) -> None:
    await stage.control.tune_outbox(retry_scale=1000)
    stage.hook.answers = [(500, {}), (500, {})]
    said = await stage.say(text="one")
    async with asyncio.timeout(5):
        while len(stage.hook.secrets) < 2:
            await asyncio.sleep(0.005)
    await stage.say("edit", "two", message_id=said["id"])
    await stage.say("reaction", message_id=said["id"])
    await stage.say("callback", payload="x")
    await stage.say(text="another chat", who={"id": "43"})
    overtook = await until(stage, 3)
    assert {key for update in overtook for key in update if key != "update_id"} == {
        "message_reaction", "callback_query", "message",
    }  # fmt: skip
    assert await stage.control.flush()
    assert [next(key for key in each if key != "update_id") for each in stage.hook.updates[3:]] == [
        "message", "edited_message",
    ]  # fmt: skip


async def test_no_more_connections_than_allowed(stage: Stage) -> None:
    await stage.do("setWebhook", url=stage.hook.url, secret_token="s", max_connections=3)
    stage.hook.pause = 0.02
    for number in range(20):
        await stage.say(text="hi", who={"id": str(100 + number)})
    assert await stage.control.flush()
    assert len(stage.hook.updates) == 20
    assert stage.hook.most_together == 3


# --- Waits, on a clock of their own -----------------------------------------------------------------------------------


async def waits(
    hook: Hook, answers: list[tuple[int, dict[str, str]]], clock: list[float], kind: str = "message"
) -> tuple[Account, list[float]]:
    """What the outbox would wait after each of these answers."""
    world = World(lambda: clock[0])
    chance = random.Random(1)
    outbox = Outbox(world, Faults(chance), chance)
    account = world.register(Account("telegram", BOT, TOKEN, secret="s", webhook_url=hook.url))
    hook.answers = list(answers)
    found: list[float] = []

    def at_once(seconds: float, act: Any, *, retry: bool = False) -> None:
        found.append(seconds)
        clock[0] += seconds
        asyncio.get_running_loop().call_soon(act)

    outbox.later = at_once  # type: ignore[method-assign]
    await outbox.start()
    try:
        outbox.enqueue(Event(account, "42", kind, {"update_id": 1, kind: {}}, "update"))
        async with asyncio.timeout(5):
            while outbox.pending and account.webhook_url is not None:
                await asyncio.sleep(0.001)
    finally:
        await outbox.stop()
    return account, found


async def test_back_off_and_retry_after(stage: Stage) -> None:
    refused: tuple[int, dict[str, str]] = (500, {})
    told = (500, {"Retry-After": "33"})
    _, found = await waits(stage.hook, [refused] * 4, [0.0])
    assert found == [2.0, 4.0, 8.0]  # the first repetition comes at once
    _, found = await waits(stage.hook, [refused, told, refused, (429, {"Retry-After": "99999"})], [0.0])
    assert found == [33.0, 4.0, 3600.0]
    _, found = await waits(stage.hook, [refused] * 12, [0.0])
    assert found[:5] == [2.0, 4.0, 8.0, 16.0, 32.0]
    assert all(60 <= wait <= 120 for wait in found[6:])


async def test_who_is_gone_for_most_of_a_day_loses_the_webhook(stage: Stage) -> None:
    clock = [0.0]
    account, _ = await waits(stage.hook, [(410, {"Retry-After": "3600"})] * 40, clock)
    assert account.webhook_url is None
    assert outbox_module.GONE_FOR <= clock[0] <= outbox_module.GONE_FOR + 3600


async def test_a_tap_is_dropped_after_150_seconds_and_a_message_after_a_day(stage: Stage) -> None:
    refused = (500, {"Retry-After": "100"})
    _, found = await waits(stage.hook, [refused] * 10, [0.0], kind="callback_query")
    assert found == [100.0, 100.0]
    _, found = await waits(stage.hook, [(500, {"Retry-After": "3600"})] * 40, [0.0])
    assert found == [3600.0] * 25
