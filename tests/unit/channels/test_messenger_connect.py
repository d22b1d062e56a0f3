"""Subscribing a Page, and what a look at it finds: each finding with a remedy that a person can follow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from fake_http import FakeHttp

from channels.abilities import Connects, Endpoint, Moderates, RenewsToken
from channels.errors import FetchError
from channels.messenger.adapter import MessengerAdapter
from channels.meta.graph import API_VERSION
from channels.meta.messaging_connect import PAGE_EXTRAS, PAGE_FIELDS
from channels.types import Account

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
adapter = MessengerAdapter(now=lambda: NOW)
BASE = f"https://graph.facebook.com/{API_VERSION}"
ACCOUNT = Account("messenger", "1001", "T0KEN")
ENDPOINT = Endpoint("https://inbox.example/v1/hooks/abc", verify_token="open sesame")
PAGE = {"id": "1001", "name": "Shoe shop"}
SCOPES = ["pages_messaging", "pages_manage_metadata"]
EVENTS: list[Any] = [*PAGE_FIELDS]
UNTIL_2027 = 1_798_761_600


def token(**changes: Any) -> Any:
    return {"data": {"app_id": "77", "is_valid": True, "expires_at": 0, "scopes": SCOPES, **changes}}


def apps(*subscribed: Any) -> Any:
    return {"data": list(subscribed)}


def error(code: int, subcode: int | None = None) -> Any:
    return {"error": {"message": "no", "code": code, **({"error_subcode": subcode} if subcode else {})}}


def answering(*answers: Any) -> FakeHttp:
    http = FakeHttp()
    for answer in answers:
        http.answer(answer, 400 if "error" in answer else 200)
    return http


def test_what_the_adapter_can() -> None:
    assert isinstance(adapter, Connects)
    assert isinstance(adapter, Moderates)
    assert not isinstance(adapter, RenewsToken)


async def test_every_event_is_subscribed_and_the_rest_is_told() -> None:
    http = answering({"success": True})
    done, by_hand = await adapter.subscribe(http, ACCOUNT, ENDPOINT)
    assert (http.last.method, http.last.url) == ("POST", f"{BASE}/1001/subscribed_apps")
    assert http.last.query["subscribed_fields"].split(",") == [*PAGE_FIELDS, *PAGE_EXTRAS]
    assert {"messages", "message_echoes", "standby", "message_edits"} <= set(PAGE_FIELDS)
    assert (done.code, done.state) == ("subscription", "ok")
    assert (by_hand.code, by_hand.state) == ("webhook", "warning")
    assert ENDPOINT.url in (by_hand.remedy or "")
    assert all(one in (by_hand.remedy or "") for one in (*PAGE_FIELDS, *PAGE_EXTRAS))
    assert "sesame" not in repr(by_hand)


async def test_events_that_meta_does_not_know_are_done_without() -> None:
    http = answering(error(100), {"success": True})
    done, _ = await adapter.subscribe(http, ACCOUNT, ENDPOINT)
    assert http.last.query["subscribed_fields"].split(",") == [*PAGE_FIELDS]
    assert (done.code, done.state) == ("subscription", "warning")


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([error(200)], "permission_missing"),
        ([error(190, 463)], "token_invalid"),
        ([error(100), error(100)], "parameter_invalid"),
        ([{"success": False}], "temporary"),
    ],
    ids=["permission", "token", "fields", "no success"],
)
async def test_a_subscription_that_fails_is_an_error(answers: list[Any], code: str) -> None:
    http = answering(*answers)
    with pytest.raises(FetchError) as caught:
        await adapter.subscribe(http, ACCOUNT, ENDPOINT)
    assert caught.value.fault.code == code
    http.assert_used_up()


async def test_a_page_without_fault() -> None:
    http = answering(PAGE, token(), apps({"id": "77", "name": "Inbox", "subscribed_fields": EVENTS}))
    found = await adapter.inspect(http, ACCOUNT, ENDPOINT)
    assert [(finding.code, finding.state) for finding in found] == [
        ("account", "ok"),
        ("token", "ok"),
        ("subscription", "ok"),
    ]
    assert [request.method for request in http.requests] == ["GET"] * 3
    assert http.last.url == f"{BASE}/1001/subscribed_apps"


FAULTY: list[tuple[str, list[Any], str, str, str]] = [
    ("token expired", [error(190, 463)], "token", "broken", "expired"),
    ("app removed", [error(190, 458)], "token", "broken", "removed"),
    ("permission gone", [error(10)], "token_scope", "broken", "permission"),
    ("Meta is down", [error(2)], "unanswered", "warning", "temporary"),
    ("another Page's token", [{"id": "1002", "name": "Hat shop"}, token(), apps()], "account", "broken", "Hat shop"),
    ("scope missing", [PAGE, token(scopes=SCOPES[:1]), apps()], "token_scope", "broken", "pages_manage_metadata"),
    ("token ends soon", [PAGE, token(expires_at=1_795_780_800), apps()], "token", "warning", "2026-11-27"),
    ("token refused by its own account", [PAGE, token(is_valid=False), apps()], "token", "broken", "no longer valid"),
    ("not subscribed", [PAGE, token(), apps()], "subscription", "broken", "no message arrives"),
    (
        "another app subscribed",
        [PAGE, token(), apps({"id": "88", "subscribed_fields": EVENTS})],
        "subscription",
        "broken",
        "no message arrives",
    ),
    (
        "events missing",
        [PAGE, token(), apps({"id": "77", "subscribed_fields": EVENTS[:-1]})],
        "subscription",
        "warning",
        "standby",
    ),
    (
        "messages missing",
        [PAGE, token(), apps({"id": "77", "subscribed_fields": EVENTS[1:]})],
        "subscription",
        "broken",
        "messages",
    ),
    ("subscription not shown", [PAGE, token(), error(200)], "token_scope", "broken", "permission"),
]


@pytest.mark.parametrize(("label", "answers", "code", "state", "words"), FAULTY, ids=[case[0] for case in FAULTY])
async def test_a_fault_is_found_and_a_way_out_named(
    label: str, answers: list[Any], code: str, state: str, words: str
) -> None:
    http = answering(*answers)
    found = await adapter.inspect(http, ACCOUNT, None)
    http.assert_used_up()
    (fault,) = [finding for finding in found if (finding.code, finding.state) == (code, state)]
    assert words in fault.reason
    assert fault.remedy
    assert "T0KEN" not in repr(found)


async def test_a_token_that_ends_later_and_a_meta_that_does_not_tell() -> None:
    later = answering(PAGE, token(expires_at=UNTIL_2027), apps({"id": "77"}))
    untold = answering(PAGE, error(100), apps({"id": "77", "subscribed_fields": EVENTS}))
    for http in (later, untold):
        found = await adapter.inspect(http, ACCOUNT, None)
        assert {finding.state for finding in found} == {"ok"}
        assert [finding.code for finding in found] == ["account", "token", "subscription"]
