"""Every code that Meta documents for WhatsApp has a class; the HTTP status and the wording decide nothing."""

from __future__ import annotations

import pytest
from fake_http import FakeHttp

from channels.errors import SendError
from channels.outbound import Envelope, Piece
from channels.types import Account, Address, Fault, JsonObject, JsonValue
from channels.whatsapp.adapter import WhatsAppAdapter
from channels.whatsapp.errors import fault_of_webhook

TOKEN = "EAAsecret0123456789"
ACCOUNT = Account("whatsapp", "111", TOKEN)
ENVELOPE = Envelope(Piece({"type": "text", "text": {"body": "hi"}}), (Address("whatsapp_phone", "", "1555123"),), "c")

CLASSES: dict[str, list[int]] = {
    "token_invalid": [0, 190, 102],
    "permission_missing": [3, 10, 200, 299, 131005],
    "rate_limited": [4, 17, 32, 341, 613, 80007, 80014, 130429, 131048, 131056, 131064, 133016],
    "temporary": [1, 2, 131000, 131016, 131057, 133004],
    "window_closed": [131047],
    "recipient_unavailable": [131026, 131021, 131030, 131020, 131041, 131215],
    "opted_out": [131050],
    "held_back": [131049, 130472],
    "policy": [368, 130497, 131031],
    "billing": [131037, 131042, 131045],
    "media_refused": [131052, 131053],
    "parameter_invalid": [33, 100, 131008, 131009, 131051, 131062, 131063, 134011, 135000],
    "template_invalid": [
        132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016, 132068, 132069
    ],
    "identity_mismatch": [137000],
    "unknown_error": [987654],
}  # fmt: skip
CODES = [(code, name) for name, codes in CLASSES.items() for code in codes]


async def refused(status: int, body: JsonValue | bytes, headers: dict[str, str] | None = None) -> Fault:
    http = FakeHttp()
    http.answer(body, status=status, headers=headers)
    with pytest.raises(SendError) as error:
        await WhatsAppAdapter().send(http, ACCOUNT, ENVELOPE, ())
    assert TOKEN not in f"{error.value!r} {error.value} {error.value.fault!r}"
    return error.value.fault


@pytest.mark.parametrize(("code", "name"), CODES)
async def test_a_refused_send_and_a_failed_status_are_classified_alike(code: int, name: str) -> None:
    error: JsonObject = {"code": code, "message": f"(#{code}) for {TOKEN}", "error_data": {"details": f"see {TOKEN}"}}
    fault = await refused(400, {"error": error})
    assert (fault.code, fault.provider_code) == (name, str(code))
    assert fault_of_webhook([error]).code == name
    assert fault.retryable == (name in ("rate_limited", "temporary") or code == 131053)


@pytest.mark.parametrize(
    ("code", "facts"),
    [
        (190, {"reauthorise": True, "pauses": "channel"}),
        (131005, {"reauthorise": True, "pauses": "channel"}),
        (130429, {"pauses": "channel"}),
        (131056, {"pauses": "recipient", "retry_after": 6.0}),
        (131047, {"closes_window": True}),
        (131026, {"ends_contact": "unreachable"}),
        (131050, {"ends_contact": "opted_out"}),
        (131049, {"retry_after": 86_400.0, "retryable": False, "pauses": None}),
        (131031, {"pauses": "channel"}),
        (100, {"ours": True}),
    ],
)
async def test_a_fault_says_what_follows(code: int, facts: dict[str, object]) -> None:
    fault = await refused(400, {"error": {"code": code}})
    assert {name: getattr(fault, name) for name in facts} == facts


@pytest.mark.parametrize(
    ("status", "body", "code", "retryable"),
    [
        (500, {"error": {"message": "x"}}, "temporary", True),
        (503, {"error": {"code": 987654}}, "temporary", True),
        (400, {"error": {"code": 987654, "is_transient": True}}, "temporary", True),
        (429, {"error": {"message": "x"}}, "rate_limited", True),
        (200, {"error": {"code": 131026}}, "recipient_unavailable", False),
        (500, b"<html>", "outcome_unknown", False),
        (502, b"", "outcome_unknown", False),
        (504, {"message": "Gateway"}, "outcome_unknown", False),
        (408, b"", "outcome_unknown", False),
        (302, b"", "outcome_unknown", False),
        (200, b"not json", "outcome_unknown", False),
        (200, [1], "outcome_unknown", False),
        (200, {"messages": []}, "outcome_unknown", False),
        (200, {"messages": [{"id": None}]}, "outcome_unknown", False),
        (429, b"slow down", "rate_limited", True),
        (403, b"blocked by a proxy", "unknown_error", False),
        (404, {"error": "as text"}, "unknown_error", False),
    ],
)
async def test_answers_without_a_known_code(status: int, body: JsonValue | bytes, code: str, retryable: bool) -> None:
    fault = await refused(status, body)
    assert (fault.code, fault.retryable) == (code, retryable)


USAGE = '{"222":[{"type":"messages","call_count":100,"estimated_time_to_regain_access":%s}]}'


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "30"}, 30.0),
        ({"x-business-use-case-usage": USAGE % 7}, 420.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "x-business-use-case-usage": USAGE % 2}, 120.0),
        ({"x-business-use-case-usage": USAGE % 0}, None),
        ({"x-business-use-case-usage": "{oops"}, None),
        ({"x-business-use-case-usage": USAGE % 99999999}, 86_400.0),
        ({}, None),
    ],
)
async def test_how_long_to_wait_is_read_from_the_headers(headers: dict[str, str], seconds: float | None) -> None:
    fault = await refused(400, {"error": {"code": 130429}}, headers)
    assert fault.retry_after == seconds


async def test_metas_own_words_explain_what_only_they_can_and_hide_the_token() -> None:
    words = f"Param text['body'] is wrong, token {TOKEN}, another EAAB0123456789abcdef"
    fault = await refused(400, {"error": {"code": 131009, "error_data": {"details": words}}})
    assert "Param text['body'] is wrong" in fault.reason
    assert "EAA" not in fault.reason


def test_a_failed_status_without_an_error_is_unknown() -> None:
    for nothing in (None, [], "x", [7], {}):
        assert fault_of_webhook(nothing).code == "unknown_error"
