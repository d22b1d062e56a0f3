"""Telling Telegram where to deliver, and what is found when somebody asks why nothing comes (channel facts, 4.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fake_http import FakeHttp

from channels.abilities import Connects, EditsMessages, Endpoint
from channels.errors import FetchError
from channels.telegram.adapter import TelegramAdapter
from channels.types import Account, JsonObject

TOKEN = "777:AAsecretsecret"
ACCOUNT = Account("telegram", "777", TOKEN)
API = f"https://api.telegram.org/bot{TOKEN}"
URL = "https://inbox.test/webhooks/telegram/unguessable"
HERE = Endpoint(URL, secret="s3cret")
ADAPTER = TelegramAdapter()
BOT: JsonObject = {"id": 777, "is_bot": True, "first_name": "Helper", "username": "helper_bot"}
UPDATES = [
    "message",
    "business_message",
    "edited_message",
    "edited_business_message",
    "deleted_business_messages",
    "callback_query",
    "message_reaction",
    "my_chat_member",
    "business_connection",
]
WORKING: JsonObject = {"url": URL, "pending_update_count": 0, "allowed_updates": [*UPDATES, "chat_boost"]}


@pytest.fixture
async def http() -> AsyncIterator[FakeHttp]:
    client = FakeHttp()
    yield client
    client.assert_used_up()


def ok(result: JsonObject | bool) -> JsonObject:
    return {"ok": True, "result": result}


def error(code: int, description: str) -> JsonObject:
    return {"ok": False, "error_code": code, "description": description}


def test_what_the_adapter_is_able_to_do() -> None:
    assert isinstance(ADAPTER, Connects)
    assert isinstance(ADAPTER, EditsMessages)
    assert ADAPTER.capabilities.edit
    assert ADAPTER.capabilities.delete


async def test_subscribing_names_everything_that_is_understood(http: FakeHttp) -> None:
    http.answer(ok(True))
    http.answer(ok(BOT))
    findings = await ADAPTER.subscribe(http, ACCOUNT, HERE)
    assert http.requests[0].url == f"{API}/setWebhook"
    assert http.requests[0].json == {
        "url": URL,
        "secret_token": "s3cret",
        "allowed_updates": UPDATES,
        "max_connections": 100,
    }
    assert [(one.code, one.state) for one in findings] == [("webhook", "ok"), ("token", "ok")]


async def test_a_subscription_without_a_secret_is_not_made(http: FakeHttp) -> None:
    with pytest.raises(FetchError) as refused:
        await ADAPTER.subscribe(http, ACCOUNT, Endpoint(URL))
    assert refused.value.fault.ours
    assert http.requests == []


@pytest.mark.parametrize(
    ("status", "description", "code"),
    [
        (400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook", "parameter_invalid"),
        (401, "Unauthorized", "token_invalid"),
        (502, "Bad Gateway", "temporary"),
    ],
)
async def test_a_refused_subscription_says_why(http: FakeHttp, status: int, description: str, code: str) -> None:
    http.answer(error(status, description), status=status)
    with pytest.raises(FetchError) as refused:
        await ADAPTER.subscribe(http, ACCOUNT, HERE)
    assert refused.value.fault.code == code
    assert "unguessable" not in str(refused.value)


async def test_a_channel_that_works_has_nothing_to_mend(http: FakeHttp) -> None:
    http.answer(ok({**BOT, "can_join_groups": True, "can_read_all_group_messages": True}))
    http.answer(ok(WORKING))
    findings = await ADAPTER.inspect(http, ACCOUNT, HERE)
    assert {one.code for one in findings} == {"token", "group_privacy", "webhook", "delivery"}
    assert {(one.state, one.remedy) for one in findings} == {("ok", None)}


async def test_privacy_mode_is_explained_and_no_fault(http: FakeHttp) -> None:
    http.answer(ok({**BOT, "can_join_groups": True, "can_read_all_group_messages": False}))
    http.answer(ok(WORKING))
    [found] = [one for one in await ADAPTER.inspect(http, ACCOUNT, HERE) if one.code == "group_privacy"]
    assert found.state == "ok"
    assert "/setprivacy" in (found.remedy or "")


TROUBLES: list[tuple[str, JsonObject, str, str, str]] = [
    ("no webhook", {"url": ""}, "webhook", "broken", "Stop the other program"),
    ("another server", {"url": "https://else.test/hook/s3cr3t"}, "webhook", "broken", "Stop the other program"),
    ("an older path", {"url": "https://inbox.test/older"}, "webhook", "broken", "Connect the channel again"),
    ("a strange address", {"url": "https://[::"}, "webhook", "broken", "Stop the other program"),
    ("too few kinds", {"allowed_updates": ["message"]}, "updates", "warning", "Connect the channel again"),
    ("the default kinds", {"allowed_updates": []}, "updates", "warning", "Connect the channel again"),
    ("a backlog", {"pending_update_count": 100}, "delivery", "warning", "keeps up"),
    (
        "trouble at Telegram", {"pending_update_count": 1, "last_synchronization_error_date": 1749416383},
        "telegram", "warning", "Wait",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("label", "info", "code", "state", "remedy"), TROUBLES, ids=[label for label, *_ in TROUBLES])
async def test_what_is_wrong_is_found_with_its_remedy(
    http: FakeHttp, label: str, info: JsonObject, code: str, state: str, remedy: str
) -> None:
    http.answer(ok(BOT))
    http.answer(ok({**WORKING, **info}))
    [found] = [one for one in await ADAPTER.inspect(http, ACCOUNT, HERE) if one.state != "ok"]
    assert (found.code, found.state) == (code, state)
    assert remedy in (found.remedy or "")
    assert not any(secret in repr(found) for secret in ("unguessable", "s3cr3t", TOKEN))


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("SSL error {error:0A000086:SSL routines::certificate verify failed}", "certificate"),
        ("Failed to resolve host: Name or service not known", "host name"),
        ("IP address 10.0.0.1 is reserved", "public address"),
        ("Connection refused", "Start the service"),
        ("Connection timed out", "149.154.160.0/20"),
        ("Read timeout expired", "load"),
        ("Wrong response from the webhook: 401 Unauthorized", "log-in"),
        ("Wrong response from the webhook: 403 Forbidden", "Connect the channel again"),
        ("Wrong response from the webhook: 404 Not Found", "Connect the channel again"),
        ("Wrong response from the webhook: 413 Request Entity Too Large", "3 MB"),
        ("Wrong response from the webhook: 502 Bad Gateway", "logs"),
        ("Something of tomorrow", "reached from outside"),
    ],
)
async def test_a_failing_delivery_tells_what_to_do(http: FakeHttp, said: str, remedy: str) -> None:
    failing: JsonObject = {"last_error_date": 1749416383, "last_error_message": said}
    http.answer(ok(BOT))
    http.answer(ok({**WORKING, **failing, "pending_update_count": 3}))
    [found] = [one for one in await ADAPTER.inspect(http, ACCOUNT, HERE) if one.state != "ok"]
    assert (found.code, found.state) == ("delivery", "broken")
    assert said in found.reason
    assert "2025-06-08 20:59" in found.reason
    assert remedy in (found.remedy or "")


@pytest.mark.parametrize(
    ("label", "waiting", "date", "state"),
    [
        ("nothing waits any more", 0, "Sun, 08 Jun 2025 21:00:00 GMT", "ok"),
        ("something waits a minute later", 1, "Sun, 08 Jun 2025 21:00:00 GMT", "broken"),
        ("something waits, a day later", 1, "Mon, 09 Jun 2025 21:00:00 GMT", "ok"),
        ("no date", 1, None, "broken"),
        ("no such date", 1, "yesterday", "broken"),
    ],
)
async def test_a_failure_that_was_made_good_is_no_news(
    http: FakeHttp, label: str, waiting: int, date: str | None, state: str
) -> None:
    """Telegram remembers the last one for ever, and while people write there is always something on its way."""
    failing: JsonObject = {"last_error_date": 1749416383, "last_error_message": "Connection refused"}
    http.answer(ok(BOT))
    http.answer(
        ok({**WORKING, **failing, "pending_update_count": waiting}), headers={} if date is None else {"date": date}
    )
    [found] = [one for one in await ADAPTER.inspect(http, ACCOUNT, HERE) if one.code == "delivery"]
    assert found.state == state


async def test_without_an_endpoint_any_address_is_fine(http: FakeHttp) -> None:
    http.answer(ok(BOT))
    http.answer(ok({**WORKING, "url": "https://else.test/hook"}))
    assert {one.state for one in await ADAPTER.inspect(http, ACCOUNT, None)} == {"ok"}


@pytest.mark.parametrize(
    ("status", "description", "code", "state", "remedy"),
    [
        (401, "Unauthorized", "token", "broken", "@BotFather"),
        (404, "Not Found", "token", "broken", "@BotFather"),
        (409, "Conflict: terminated by other getUpdates request", "conflict", "broken", "Stop the other program"),
        (429, "Too Many Requests: retry after 5", "unanswered", "warning", "Try again"),
        (500, "Internal Server Error", "unanswered", "warning", "Try again"),
    ],
)
async def test_a_bot_that_does_not_answer_is_a_finding(
    http: FakeHttp, status: int, description: str, code: str, state: str, remedy: str
) -> None:
    http.answer(error(status, description), status=status)
    [found] = await ADAPTER.inspect(http, ACCOUNT, HERE)
    assert (found.code, found.state) == (code, state)
    assert remedy in (found.remedy or "")
    http.answer(ok(BOT))
    http.answer(error(status, description), status=status)
    token, second = await ADAPTER.inspect(http, ACCOUNT, HERE)
    assert (token.state, second) == ("ok", found)


async def test_a_token_of_another_bot_is_found(http: FakeHttp) -> None:
    http.answer(ok({**BOT, "id": 778}))
    http.answer(ok(WORKING))
    found = (await ADAPTER.inspect(http, ACCOUNT, HERE))[0]
    assert (found.code, found.state) == ("token", "broken")
    assert "@helper_bot" in found.reason
