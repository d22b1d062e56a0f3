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


UNREACHABLE = {"ends_contact": "unreachable"}
SLOWER = {"retryable": True, "pauses": "channel"}
DEAD = {"pauses": "channel", "reauthorise": True}
RESTRICTED = {"pauses": "channel", "troubles": "restriction"}
FACTS: list[tuple[str, str, dict[str, Any]]] = [
    # The table of section 2.5, row by row.
    ("10/2018278", "window_closed", {"closes_window": True}),
    ("10/2018065", "window_closed", {"closes_window": True}),
    ("551", "recipient_unavailable", UNREACHABLE),
    ("551/1545041", "recipient_unavailable", UNREACHABLE),
    ("200/1545041", "recipient_unavailable", UNREACHABLE),
    ("10/2018108", "recipient_unavailable", UNREACHABLE),
    ("100/2018001", "recipient_unavailable", UNREACHABLE),
    ("9000001", "not_found", {}),
    ("10/1893015", "opted_out", {"ends_contact": "opted_out"}),
    ("10/1893063", "policy", RESTRICTED),
    ("368", "policy", RESTRICTED),
    ("4", "rate_limited", SLOWER),
    ("613", "rate_limited", SLOWER),
    ("613/2534040", "rate_limited", SLOWER),
    ("613/2018338", "outcome_unknown", {"pauses": "channel"}),
    ("613/1996", "rate_limited", {**SLOWER, "retry_after": 900.0}),
    ("2", "temporary", {"retryable": True}),
    ("100/2018008", "media_refused", {}),
    *((f"{code}/{subcode}", "media_refused", {}) for code in (10, 100) for subcode in (2018047, 2018074)),
    *((f"{code}/{subcode}", "media_refused", {}) for code in (10, 100) for subcode in (2018109, 2018294)),
    ("190", "token_invalid", DEAD),
    *((f"190/{subcode}", "token_invalid", DEAD) for subcode in (458, 459, 460, 463, 464, 467, 99999)),
    ("200/2018028", "permission_missing", DEAD),
    ("10", "permission_missing", DEAD),
    ("10/2018300", "thread_not_ours", {}),
    ("100/2018300", "thread_not_ours", {}),
    ("100/2018218", "not_found", {}),
    # The generic table of section 0, as far as it is not in there already.
    ("1", "temporary", {"retryable": True}),
    *((str(code), "rate_limited", SLOWER) for code in (17, 32, 341, 80000, 80001, 80002, 80006, 80007, 80008, 80014)),
    *((str(code), "permission_missing", DEAD) for code in (3, 200, 230, 299)),
    ("102", "token_invalid", DEAD),
    ("100", "parameter_invalid", {"ours": True}),
    # A code of a message or person that nobody taught us must not stop the channel.
    ("10/1234567", "unknown_error", {}),
    ("987654", "unknown_error", {}),
]
DEFAULTS = {
    "retryable": False,
    "retry_after": None,
    "pauses": None,
    "ends_contact": None,
    "closes_window": False,
    "reauthorise": False,
    "troubles": None,
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


@pytest.mark.parametrize(("minutes", "seconds"), [(1, 900.0), (40, 2400.0)])
async def test_a_flag_for_traffic_waits_a_quarter_of_an_hour_at_least(minutes: int, seconds: float) -> None:
    header = f'{{"77":[{{"estimated_time_to_regain_access":{minutes}}}]}}'
    fault = await refusal(error(613, 1996), headers={"x-business-use-case-usage": header})
    assert fault.retry_after == seconds


async def test_what_a_refusal_says_is_a_sentence_for_a_person() -> None:
    for named, _, _ in FACTS:
        fault = await refusal(error(*map(int, named.split("/"))))
        sentence, end, _ = fault.reason.partition(".")
        assert end, named
        assert sentence[0].isupper(), named
        assert len(sentence.split()) > 3, named


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
