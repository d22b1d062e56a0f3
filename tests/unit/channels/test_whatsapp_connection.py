"""Connecting a WhatsApp number: what is asked of Meta, and what a person is told of the answers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fake_http import FakeHttp

from channels.abilities import Connects, Endpoint, Finding
from channels.errors import FetchError
from channels.types import Account, JsonObject, JsonValue
from channels.whatsapp.adapter import WhatsAppAdapter

TOKEN = "EAAsecret0123456789"
ACCOUNT = Account("whatsapp", "111", TOKEN, options={"waba_id": "900"})
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ADAPTER = WhatsAppAdapter(now=lambda: NOW)
GRAPH = "https://graph.facebook.com/v26.0"
HOOK = Endpoint("https://inbox.example/webhooks/abc", verify_token="shake")
SCOPES = ["whatsapp_business_management", "whatsapp_business_messaging"]
NUMBER: JsonObject = {
    "id": "111",
    "display_phone_number": "+1 555-000-0001",
    "verified_name": "Shop",
    "quality_rating": "GREEN",
    "name_status": "APPROVED",
    "status": "CONNECTED",
    "throughput": {"level": "STANDARD"},
}
GONE: JsonObject = {"error": {"code": 100, "message": "Nonexisting field."}}


def token(**facts: JsonValue) -> JsonObject:
    return {"data": {"is_valid": True, "app_id": "77", "expires_at": 0, "scopes": [*SCOPES], **facts}}


def test_it_connects() -> None:
    assert isinstance(ADAPTER, Connects)


# --- check ------------------------------------------------------------------------------------------------------------


async def test_check_tells_whose_number_it_is_and_how_long_the_token_lives() -> None:
    http = FakeHttp()
    http.answer(NUMBER)
    granted: JsonValue = [{"scope": SCOPES[0], "target_ids": ["900"]}, {"scope": "public_profile"}]
    http.answer(token(expires_at=1798761600, data_access_expires_at=1806537600, granular_scopes=granted))
    facts = await ADAPTER.check(http, ACCOUNT)
    assert (facts.account_id, facts.name) == ("111", "Shop")
    assert facts.expires_at == datetime(2027, 1, 1, tzinfo=UTC)
    assert facts.options == {
        "display_phone_number": "+1 555-000-0001",
        "quality_rating": "GREEN",
        "name_status": "APPROVED",
        "throughput": "STANDARD",
        "waba_id": "900",
    }
    number, debug = http.requests
    assert (number.method, number.url) == ("GET", f"{GRAPH}/111")
    assert (debug.url, debug.query) == (f"{GRAPH}/debug_token", {"input_token": TOKEN})


@pytest.mark.parametrize("answer", [GONE, {}, {"data": []}, {"data": {"is_valid": "maybe"}}])
async def test_check_does_without_what_meta_does_not_tell_of_the_token(answer: JsonObject) -> None:
    http = FakeHttp()
    http.answer({"display_phone_number": "+1 555-000-0001"})
    http.answer(answer)
    facts = await ADAPTER.check(http, ACCOUNT)
    assert (facts.account_id, facts.name, facts.expires_at) == ("111", "+1 555-000-0001", None)
    assert facts.options == {"display_phone_number": "+1 555-000-0001"}


async def test_the_account_is_not_guessed_where_the_token_reaches_several() -> None:
    http = FakeHttp()
    http.answer(NUMBER)
    http.answer(token(granular_scopes=[{"scope": SCOPES[0], "target_ids": ["900", "901"]}]))
    assert "waba_id" not in (await ADAPTER.check(http, ACCOUNT)).options


async def test_check_with_a_dead_token() -> None:
    http = FakeHttp()
    http.answer({"error": {"code": 190, "error_subcode": 463, "message": f"Expired {TOKEN}"}}, status=401)
    with pytest.raises(FetchError) as refused:
        await ADAPTER.check(http, ACCOUNT)
    assert (refused.value.fault.code, refused.value.fault.provider_code) == ("token_invalid", "190/463")
    assert refused.value.fault.reauthorise
    assert TOKEN not in str(refused.value)


# --- subscribe --------------------------------------------------------------------------------------------------------


async def test_subscribing_points_the_account_at_our_endpoint() -> None:
    http = FakeHttp()
    http.answer({"success": True})
    found = await ADAPTER.subscribe(http, ACCOUNT, HOOK)
    [request] = http.requests
    assert (request.method, request.url) == ("POST", f"{GRAPH}/900/subscribed_apps")
    assert request.json == {"override_callback_uri": HOOK.url, "verify_token": "shake"}
    assert [(one.code, one.state) for one in found] == [("subscription", "ok"), ("webhook_fields", "warning")]
    assert "message_template_status_update" in (found[1].remedy or "")
    assert "shake" not in repr(found)


async def test_without_a_verify_token_the_address_is_left_to_a_person() -> None:
    http = FakeHttp()
    http.answer({"success": True})
    found = await ADAPTER.subscribe(http, ACCOUNT, Endpoint(HOOK.url))
    assert http.last.json is None
    assert [(one.code, one.state) for one in found][:2] == [("subscription", "ok"), ("webhook", "warning")]
    assert HOOK.url in (found[1].remedy or "")


async def test_an_endpoint_that_meta_cannot_verify() -> None:
    http = FakeHttp()
    http.answer({"error": {"code": 2200, "message": "(#2200) Callback verification failed: HTTP 403"}}, status=400)
    with pytest.raises(FetchError) as refused:
        await ADAPTER.subscribe(http, ACCOUNT, HOOK)
    assert "HTTPS" in refused.value.fault.reason
    assert "HTTP 403" in refused.value.fault.reason
    assert "INBOX_PUBLIC_URL" in refused.value.fault.reason, "what to do about it"


@pytest.mark.parametrize("error", [{"code": 100, "error_subcode": 33}, {"code": 200}], ids=["unknown", "not ours"])
async def test_an_account_that_is_not_the_numbers(error: JsonObject) -> None:
    http = FakeHttp()
    http.answer({"error": error}, status=400)
    with pytest.raises(FetchError) as refused:
        await ADAPTER.subscribe(http, ACCOUNT, HOOK)
    assert "waba_id" in refused.value.fault.reason, "what to do about it"


async def test_without_the_account_there_is_nothing_to_subscribe() -> None:
    with pytest.raises(FetchError, match="waba_id"):
        await ADAPTER.subscribe(FakeHttp(), Account("whatsapp", "111", TOKEN), HOOK)


# --- inspect ----------------------------------------------------------------------------------------------------------


async def inspected(**answers: JsonValue) -> dict[str, Finding]:
    """By code. ``answers`` replace those of an account where all is well."""
    http = FakeHttp()
    webhooks: JsonObject = {"whatsapp_business_account": HOOK.url, "application": "https://elsewhere.example"}
    usual: dict[str, JsonValue] = {
        "number": NUMBER,
        "token": token(),
        "limit": {"messaging_limit_tier": "TIER_10K"},
        "health": {"health_status": {"can_send_message": "AVAILABLE"}},
        "apps": {"data": [{"whatsapp_business_api_data": {"id": "77", "name": "Inbox"}}]},
        "webhook": {"webhook_configuration": webhooks},
    }
    for name, well in usual.items():
        answer = answers.get(name, well)
        http.answer(answer, status=400 if isinstance(answer, dict) and "error" in answer else 200)
    found = await ADAPTER.inspect(http, ACCOUNT, HOOK)
    http.assert_used_up()
    assert all(one.reason.endswith(".") for one in found)
    assert all(one.remedy and one.remedy.endswith(".") for one in found if one.state != "ok")
    assert TOKEN not in repr(found)
    assert len({one.code for one in found}) == len(found)
    return {one.code: one for one in found}


async def test_where_all_is_well_every_finding_says_so() -> None:
    found = await inspected()
    assert {code: one.state for code, one in found.items()} == dict.fromkeys(
        [
            "token", "number_status", "quality", "display_name", "throughput", "messaging_limit", "can_send",
            "subscription", "webhook",
        ],
        "ok",
    )  # fmt: skip
    assert "10,000" in found["messaging_limit"].reason
    assert "80 messages a second" in found["throughput"].reason


@pytest.mark.parametrize(
    ("name", "answer", "code", "state", "words"),
    [
        ("number", {**NUMBER, "quality_rating": "RED"}, "quality", "warning", "low"),
        ("number", {**NUMBER, "quality_rating": "YELLOW"}, "quality", "warning", "medium"),
        ("number", {**NUMBER, "status": "BANNED"}, "number_status", "broken", "banned"),
        ("number", {**NUMBER, "status": "RATE_LIMITED"}, "number_status", "warning", "slowed"),
        ("number", {**NUMBER, "name_status": "DECLINED"}, "display_name", "warning", "declined"),
        ("number", {**NUMBER, "throughput": {"level": "HIGH"}}, "throughput", "ok", "1,000"),
        ("number", {**NUMBER, "throughput": {"level": "NOT_APPLICABLE"}}, "throughput", "warning", "NOT_APPLICABLE"),
        ("token", token(is_valid=False), "token", "broken", "no longer valid"),
        ("token", token(expires_at=1), "token", "broken", "no longer valid"),
        ("token", token(expires_at=1795737600), "token", "warning", "2026-11-27"),
        ("token", token(expires_at=1830297600), "token", "ok", "2028-01-01"),
        ("token", token(scopes=[SCOPES[0]]), "token_scope", "broken", SCOPES[1]),
        ("apps", {"data": []}, "subscription", "broken", "no events"),
        ("apps", {"data": [{"id": "78"}]}, "subscription", "broken", "no events"),
        ("apps", GONE, "subscription", "broken", "parameter"),
        ("apps", {"error": {"code": 100, "error_subcode": 33}}, "subscription", "broken", "no such object"),
        ("apps", {"error": {"code": 2}}, "subscription", "warning", "temporary"),
        (
            "health",
            {
                "health_status": {
                    "can_send_message": "BLOCKED",
                    "entities": [
                        {"entity_type": "BUSINESS", "can_send_message": "AVAILABLE"},
                        {
                            "entity_type": "WABA",
                            "can_send_message": "BLOCKED",
                            "errors": [
                                {
                                    "error_code": 141006,
                                    "error_description": "There is an error with the payment method.",
                                    "possible_solution": "Fix the payment method.",
                                }
                            ],
                        },
                    ],
                }
            },
            "can_send",
            "broken",
            "payment method",
        ),
        ("health", {"health_status": {"can_send_message": "LIMITED"}}, "can_send", "warning", "limits"),
        (
            "webhook",
            {"webhook_configuration": {"phone_number": "https://other.example", "application": HOOK.url}},
            "webhook",
            "broken",
            "another address",
        ),
        ("webhook", {"webhook_configuration": {"application": HOOK.url}}, "webhook", "ok", "this installation"),
    ],
)
async def test_what_is_wrong_is_found(name: str, answer: JsonValue, code: str, state: str, words: str) -> None:
    found = (await inspected(**{name: answer}))[code]
    assert found.state == state
    assert words in found.reason


@pytest.mark.parametrize(
    ("name", "code"),
    [("token", "token"), ("limit", "messaging_limit"), ("health", "can_send"), ("webhook", "webhook")],
)
async def test_what_meta_does_not_tell_costs_only_its_own_finding(name: str, code: str) -> None:
    everything = await inspected()
    assert (await inspected(**{name: GONE})).keys() == everything.keys() - {code}


@pytest.mark.parametrize(
    ("answer", "status", "code", "state"),
    [
        ({"error": {"code": 190}}, 401, "token", "broken"),
        ({"error": {"code": 100, "error_subcode": 33}}, 400, "number", "broken"),
        ({"error": {"code": 2}}, 500, "number", "warning"),
    ],
)
async def test_a_number_that_cannot_be_read_is_a_finding_and_no_error(
    answer: JsonObject, status: int, code: str, state: str
) -> None:
    http = FakeHttp()
    http.answer(answer, status=status)
    [found] = await ADAPTER.inspect(http, ACCOUNT, HOOK)
    assert (found.code, found.state) == (code, state)
    assert found.remedy


async def test_without_the_account_the_subscription_is_not_judged() -> None:
    http = FakeHttp()
    for answer in (NUMBER, token(), GONE, GONE):
        http.answer(answer)
    found = await ADAPTER.inspect(http, Account("whatsapp", "111", TOKEN), None)
    [subscription] = [one for one in found if one.code == "subscription"]
    assert (subscription.state, "waba_id" in (subscription.remedy or "")) == ("warning", True)


async def test_without_an_endpoint_the_webhook_is_not_judged() -> None:
    http = FakeHttp()
    apps: JsonObject = {"data": [{"id": "77"}]}
    for answer in (NUMBER, token(), GONE, GONE, apps):
        http.answer(answer)
    found = await ADAPTER.inspect(http, ACCOUNT, None)
    http.assert_used_up()
    assert "webhook" not in {one.code for one in found}
