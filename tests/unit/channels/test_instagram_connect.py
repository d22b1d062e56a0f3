"""Connecting an Instagram account on either stack, and the token of the one that ends."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fake_http import FakeHttp

from channels.abilities import Connects, Endpoint, Moderates, NewToken, RenewsToken
from channels.errors import ChannelError, FetchError
from channels.instagram.adapter import InstagramAdapter
from channels.meta.graph import API_VERSION
from channels.meta.messaging_connect import PAGE_FIELDS
from channels.types import Account, Address

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
adapter = InstagramAdapter(now=lambda: NOW)
LOGIN = Account("instagram", "17841", "T0KEN", options={"stack": "login"})
PAGE = Account("instagram", "17841", "T0KEN", options={"stack": "page", "page_id": "1001"})
LOGIN_BASE = f"https://graph.instagram.com/{API_VERSION}"
PAGE_BASE = f"https://graph.facebook.com/{API_VERSION}"
ENDPOINT = Endpoint("https://inbox.example/v1/hooks/abc", verify_token="open sesame")
SHOP = {"user_id": "17841", "id": "998", "username": "shop"}
LINKED = {"id": "1001", "name": "Page", "instagram_business_account": {"id": "17841", "username": "shop"}}
SCOPES = ["instagram_basic", "instagram_manage_messages", "pages_manage_metadata"]


def answering(*answers: Any) -> FakeHttp:
    http = FakeHttp()
    for answer in answers:
        http.answer(answer, 400 if "error" in answer else 200)
    return http


def test_what_the_adapter_can() -> None:
    assert isinstance(adapter, Connects)
    assert isinstance(adapter, Moderates)
    assert isinstance(adapter, RenewsToken)


@pytest.mark.parametrize(
    ("account", "url", "some"),
    [
        (LOGIN, f"{LOGIN_BASE}/me/subscribed_apps", {"messages", "messaging_seen", "message_reactions", "standby"}),
        (PAGE, f"{PAGE_BASE}/1001/subscribed_apps", set(PAGE_FIELDS)),
    ],
    ids=["login", "page"],
)
async def test_each_stack_is_subscribed_where_it_delivers(account: Account, url: str, some: set[str]) -> None:
    http = answering({"success": True})
    done, by_hand = await adapter.subscribe(http, account, ENDPOINT)
    assert (http.last.method, http.last.url) == ("POST", url)
    assert some <= set(http.last.query["subscribed_fields"].split(","))
    assert (done.state, by_hand.state) == ("ok", "warning")
    assert "object Instagram" in (by_hand.remedy or "")
    for chosen in ("messages", "messaging_seen", "message_edit", "standby", "messaging_handover"):
        assert chosen in re.findall(r"\w+", by_hand.remedy or "")
    assert "message_deliveries" not in (by_hand.remedy or ""), "that is a field of Pages"


async def test_a_page_without_an_instagram_account() -> None:
    (finding,) = await adapter.inspect(answering({"id": "1001", "name": "Page"}), PAGE, ENDPOINT)
    assert (finding.code, finding.state) == ("token", "broken")
    assert "Instagram account" in finding.reason
    assert finding.remedy


STATUSES = [200, 301, 400, 401, 403, 404, 408, 429, 500, 503]
BODIES: list[Any] = [
    b"",
    b"<html>",
    b"{}",
    b"[1]",
    b'{"data":[1,{"id":7}]}',
    b'{"error":{"code":190,"message":"T0KEN"}}',
]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("account", [LOGIN, PAGE], ids=["login", "page"])
async def test_no_answer_breaks_a_connection_and_none_tells_the_token(account: Account, status: int) -> None:
    peer = (Address("instagram_user", "17841", "5005"),)
    for body in BODIES:
        http = FakeHttp()
        for _ in range(6):
            http.answer(body, status)
        found = await adapter.inspect(http, account, None)
        assert found
        told = [repr(found)]
        for call in (
            lambda http=http: adapter.subscribe(http, account, ENDPOINT),
            lambda http=http: adapter.renew(http, account),
            lambda http=http: adapter.block(http, account, peer),
        ):
            try:
                await call()
            except ChannelError as error:
                told.append(f"{error!r} {error.__cause__!r}")
        assert not [words for words in told if "T0KEN" in words]


async def test_a_login_account_without_fault() -> None:
    fields: Any = ["messages", "messaging_postbacks", "messaging_seen", "message_reactions", "messaging_referral"]
    http = answering(SHOP, {"data": [{"subscribed_fields": fields}]})
    found = await adapter.inspect(http, LOGIN, ENDPOINT)
    assert [(finding.code, finding.state) for finding in found] == [
        ("account", "ok"),
        ("token", "ok"),
        ("subscription", "ok"),
    ]
    assert [request.url for request in http.requests] == [f"{LOGIN_BASE}/me", f"{LOGIN_BASE}/me/subscribed_apps"]


async def test_a_page_that_is_linked_to_another_account_or_was_exchanged() -> None:
    token: Any = {"data": {"is_valid": True, "expires_at": 0, "scopes": SCOPES}}
    other = {**LINKED, "instagram_business_account": {"id": "17842", "username": "other"}}
    moved = {**LINKED, "id": "1002"}
    for facts, words in ((other, "other (17842)"), (moved, "Page 1002")):
        found = await adapter.inspect(answering(facts, token, {"data": []}), PAGE, None)
        (fault,) = [finding for finding in found if finding.code == "account"]
        assert fault.state == "broken"
        assert words in fault.reason
        assert fault.remedy


async def test_a_login_token_is_exchanged() -> None:
    http = answering({"access_token": "N3W", "token_type": "bearer", "expires_in": 5_183_944})
    renewed = await adapter.renew(http, LOGIN)
    assert renewed == NewToken("N3W", NOW + timedelta(seconds=5_183_944))
    assert "N3W" not in repr(renewed)
    assert (http.last.method, http.last.url) == ("GET", f"{LOGIN_BASE}/refresh_access_token")
    assert http.last.query == {"grant_type": "ig_refresh_token"}
    assert http.last.headers["authorization"] == "Bearer T0KEN"


async def test_the_token_of_a_page_does_not_end() -> None:
    http = FakeHttp()
    assert await adapter.renew(http, PAGE) is None
    assert http.requests == []


@pytest.mark.parametrize(
    ("answer", "code", "again"),
    [
        ({"error": {"message": "x", "code": 190}}, "token_invalid", True),
        ({"error": {"message": "x", "code": 100}}, "parameter_invalid", False),
        ({"access_token": "N3W"}, "temporary", False),
        ({"access_token": "N3W", "expires_in": 10**18}, "temporary", False),
        ({"expires_in": 60}, "temporary", False),
    ],
)
async def test_a_token_that_is_not_exchanged_is_an_error(answer: Any, code: str, again: bool) -> None:
    with pytest.raises(FetchError) as caught:
        await adapter.renew(answering(answer), LOGIN)
    assert (caught.value.fault.code, caught.value.fault.reauthorise) == (code, again)
