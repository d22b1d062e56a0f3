"""Every code of the Send API's error table as the facts that the sender switches on (channel facts, 2.5)."""

from __future__ import annotations

from typing import Any

import pytest
from fake_http import FakeHttp

from channels.errors import SendError
from channels.messenger.adapter import MessengerAdapter
from channels.outbound import Envelope, Piece
from channels.types import Account, Address, Fault

adapter = MessengerAdapter()
ACCOUNT = Account("messenger", "1001", "T0KEN-secret")
ENVELOPE = Envelope(Piece({"message": {"text": "hi"}}), (Address("messenger_user", "1001", "2002"),), "d-42")


async def refusal(body: Any, status: int = 400, headers: dict[str, str] | None = None) -> Fault:
    http = FakeHttp()
    http.answer(body, status, headers)
    with pytest.raises(SendError) as caught:
        await adapter.send(http, ACCOUNT, ENVELOPE, ())
    return caught.value.fault


def error(code: int, subcode: int | None = None) -> Any:
    body: dict[str, Any] = {"message": "no", "type": "OAuthException", "code": code, "fbtrace_id": "A"}
    if subcode is not None:
        body["error_subcode"] = subcode
    return {"error": body}


FACTS = [
    ("10/2018278", "window_closed", {"closes_window": True}),
    ("10/2018065", "window_closed", {"closes_window": True}),
    ("551", "recipient_unavailable", {}),
    ("551/1545041", "recipient_unavailable", {}),
    ("200/1545041", "recipient_unavailable", {}),
    ("10/2018108", "recipient_unavailable", {}),
    ("100/2018001", "recipient_unavailable", {"ends_contact": "unreachable"}),
    ("9000001", "not_found", {}),
    ("10/1893015", "opted_out", {"ends_contact": "opted_out"}),
    ("10/1893063", "policy", {"pauses": "channel"}),
    ("368", "policy", {"pauses": "channel"}),
    ("4", "rate_limited", {"retryable": True, "pauses": "channel"}),
    ("613", "rate_limited", {"retryable": True, "pauses": "channel"}),
    ("613/2534040", "rate_limited", {"retryable": True, "pauses": "channel"}),
    ("613/1996", "rate_limited", {"retryable": True, "pauses": "channel", "retry_after": 900.0}),
    ("613/2018338", "outcome_unknown", {"pauses": "channel"}),
    ("80006", "rate_limited", {"retryable": True, "pauses": "channel"}),
    ("2", "temporary", {"retryable": True}),
    ("1", "temporary", {"retryable": True}),
    ("100/2018008", "media_refused", {}),
    ("100/2018047", "media_refused", {}),
    ("100/2018074", "media_refused", {}),
    ("100/2018109", "media_refused", {}),
    ("100/2018294", "media_refused", {}),
    ("190", "token_invalid", {"pauses": "channel", "reauthorise": True}),
    ("190/463", "token_invalid", {"pauses": "channel", "reauthorise": True}),
    ("190/99999", "token_invalid", {"pauses": "channel", "reauthorise": True}),
    ("200/2018028", "permission_missing", {"pauses": "channel", "reauthorise": True}),
    ("10", "permission_missing", {"pauses": "channel", "reauthorise": True}),
    ("10/2018300", "thread_not_ours", {}),
    ("100/2018300", "thread_not_ours", {}),
    ("100", "parameter_invalid", {"ours": True}),
    ("987654", "unknown_error", {}),
]
DEFAULTS = {
    "retryable": False,
    "retry_after": None,
    "pauses": None,
    "ends_contact": None,
    "closes_window": False,
    "reauthorise": False,
    "ours": False,
}


@pytest.mark.parametrize(("named", "code", "facts"), FACTS, ids=[case[0] for case in FACTS])
async def test_a_code_becomes_facts(named: str, code: str, facts: dict[str, Any]) -> None:
    fault = await refusal(error(*map(int, named.split("/"))))
    assert (fault.code, fault.provider_code) == (code, named)
    assert {name: getattr(fault, name) for name in DEFAULTS} == {**DEFAULTS, **facts}


async def test_the_http_status_decides_nothing_where_there_is_a_code() -> None:
    assert (await refusal(error(10, 2018278), status=500)).code == "window_closed"
    assert (await refusal(error(613), status=400)).code == "rate_limited"


async def test_the_minutes_of_the_usage_header_become_seconds() -> None:
    header = '{"77":[{"type":"messenger","call_count":100,"estimated_time_to_regain_access":7}]}'
    fault = await refusal(error(613), headers={"x-business-use-case-usage": header})
    assert fault.retry_after == 420.0


async def test_an_answer_from_in_between_leaves_the_outcome_unknown() -> None:
    fault = await refusal(b"<html>Bad gateway</html>", status=502)
    assert (fault.code, fault.retryable) == ("outcome_unknown", False)


async def test_a_server_error_with_an_error_body_is_a_refusal() -> None:
    assert (await refusal(error(2), status=503)).retryable


async def test_no_fault_tells_the_token() -> None:
    body = error(100)
    body["error"]["message"] = "Invalid parameter, token T0KEN-secret"
    fault = await refusal(body)
    assert "T0KEN" not in repr(fault)
