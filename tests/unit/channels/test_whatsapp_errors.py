"""Every code that Meta documents for WhatsApp has a class; the HTTP status and the wording decide nothing."""

from __future__ import annotations

from dataclasses import fields

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

RATE: dict[str, object] = {"retryable": True, "pauses": "channel"}
"""Wait, and send again."""
SLOW: dict[str, object] = {"retryable": True}
DEAD: dict[str, object] = {"pauses": "channel", "reauthorise": True}
LOCKED: dict[str, object] = {"pauses": "channel", "troubles": "restriction"}
OURS: dict[str, object] = {"ours": True}
NOTHING: dict[str, object] = {}

CODES: dict[int, tuple[str, dict[str, object]]] = {
    # Whoever connected the account has to come back.
    0: ("token_invalid", DEAD),
    190: ("token_invalid", DEAD),
    102: ("token_invalid", DEAD),
    3: ("permission_missing", DEAD),
    10: ("permission_missing", DEAD),
    200: ("permission_missing", DEAD),
    299: ("permission_missing", DEAD),
    131005: ("permission_missing", DEAD),
    # Too fast.
    4: ("rate_limited", RATE),
    17: ("rate_limited", RATE),
    32: ("rate_limited", RATE),
    341: ("rate_limited", RATE),
    613: ("rate_limited", RATE),
    80007: ("rate_limited", RATE),
    80014: ("rate_limited", RATE),
    130429: ("rate_limited", RATE),
    131064: ("rate_limited", RATE),
    133016: ("rate_limited", RATE),
    131056: ("rate_limited", {"retryable": True, "pauses": "recipient"}),
    131048: ("rate_limited", {**RATE, "retry_after": 3600.0}),
    # Passing.
    1: ("temporary", SLOW),
    2: ("temporary", SLOW),
    131000: ("temporary", SLOW),
    131016: ("temporary", SLOW),
    133004: ("temporary", SLOW),
    131057: ("temporary", {"retryable": True, "pauses": "channel", "retry_after": 60.0}),
    # The person.
    131047: ("window_closed", {"closes_window": True}),
    131026: ("recipient_unavailable", {"ends_contact": "unreachable"}),
    131021: ("recipient_unavailable", NOTHING),
    131030: ("recipient_unavailable", NOTHING),
    131050: ("opted_out", {"ends_contact": "opted_out"}),
    131049: ("held_back", {"retry_after": 86_400.0}),
    130472: ("held_back", NOTHING),
    137000: ("identity_mismatch", NOTHING),
    # The account.
    368: ("policy", LOCKED),
    130497: ("policy", NOTHING),
    131031: ("policy", LOCKED),
    131037: ("billing", {"troubles": "restriction"}),
    131042: ("billing", {"troubles": "billing"}),
    131045: ("billing", LOCKED),
    # The content.
    131052: ("media_refused", NOTHING),
    131053: ("media_refused", SLOW),
    33: ("parameter_invalid", OURS),
    100: ("parameter_invalid", OURS),
    131008: ("parameter_invalid", OURS),
    131009: ("parameter_invalid", OURS),
    131051: ("parameter_invalid", OURS),
    131062: ("parameter_invalid", OURS),
    131063: ("parameter_invalid", OURS),
    134011: ("parameter_invalid", OURS),
    135000: ("parameter_invalid", OURS),
    132000: ("template_invalid", NOTHING),
    132001: ("template_invalid", NOTHING),
    132005: ("template_invalid", NOTHING),
    132007: ("template_invalid", NOTHING),
    132008: ("template_invalid", NOTHING),
    132012: ("template_invalid", NOTHING),
    132015: ("template_invalid", NOTHING),
    132016: ("template_invalid", NOTHING),
    132068: ("template_invalid", NOTHING),
    132069: ("template_invalid", NOTHING),
    # Groups, blocking, and what nobody taught us.
    131020: ("recipient_unavailable", NOTHING),
    131041: ("recipient_unavailable", NOTHING),
    131215: ("recipient_unavailable", NOTHING),
    139100: ("recipient_unavailable", NOTHING),
    139101: ("policy", NOTHING),
    139102: ("temporary", SLOW),
    139103: ("temporary", SLOW),
    987654: ("unknown_error", NOTHING),
}
FACTS = tuple(one.name for one in fields(Fault) if one.name not in ("code", "reason", "provider_code"))
WORDS = {
    131047: "24 hours",
    131042: "payment method",
    131050: "marketing",
    131049: "a day",
    131026: "not on WhatsApp",
    131048: "blocked or reported",
    131031: "locked",
    131037: "display name",
    190: "access token",
    131005: "permission",
    132015: "paused",
    139101: "full",
}
"""What the sentence has to tell the person who reads it."""


async def refused(status: int, body: JsonValue | bytes, headers: dict[str, str] | None = None) -> Fault:
    http = FakeHttp()
    http.answer(body, status=status, headers=headers)
    with pytest.raises(SendError) as error:
        await WhatsAppAdapter().send(http, ACCOUNT, ENVELOPE, ())
    assert TOKEN not in f"{error.value!r} {error.value} {error.value.fault!r}"
    return error.value.fault


@pytest.mark.parametrize("code", CODES)
async def test_a_refused_send_and_a_failed_status_are_classified_alike(code: int) -> None:
    name, facts = CODES[code]
    error: JsonObject = {"code": code, "message": f"(#{code}) for {TOKEN}", "error_data": {"details": f"see {TOKEN}"}}
    fault = await refused(400, {"error": error})
    assert (fault.code, fault.provider_code) == (name, str(code))
    assert {fact: getattr(fault, fact) for fact in FACTS if getattr(fault, fact)} == facts
    assert WORDS.get(code, "") in fault.reason
    told = fault_of_webhook([error])
    assert {fact: getattr(told, fact) for fact in ("code", *FACTS)} == {
        fact: getattr(fault, fact) for fact in ("code", *FACTS)
    }


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
    values: tuple[JsonValue, ...] = (None, [], "x", [7], {})
    for nothing in values:
        assert fault_of_webhook(nothing).code == "unknown_error"
