"""Codes special to Instagram, beside those it shares with Messenger (channel facts, 3.4)."""

from __future__ import annotations

from typing import Any

import pytest
from fake_http import FakeHttp

from channels.errors import SendError
from channels.instagram.adapter import InstagramAdapter
from channels.outbound import Accepted, Envelope, Piece
from channels.types import Account, Address

adapter = InstagramAdapter()
ACCOUNT = Account("instagram", "17841", "T0KEN", options={"stack": "login"})
ENVELOPE = Envelope(Piece({"message": {"text": "hi"}}), (Address("instagram_user", "17841", "5005"),), "d-42")
CHANNEL = {"pauses": "channel"}
FACTS: list[tuple[str, str, dict[str, Any]]] = [
    ("10/2534022", "window_closed", {"closes_window": True}),
    ("10/2018278", "window_closed", {"closes_window": True}),
    ("100/2534014", "recipient_unavailable", {"ends_contact": "unreachable"}),
    ("200/2534041", "permission_missing", {**CHANNEL, "reauthorise": False, "troubles": "restriction"}),
    ("613/2534040", "rate_limited", {**CHANNEL, "retryable": True}),
    ("100/2534037", "thread_not_ours", {}),
    ("551", "recipient_unavailable", {"ends_contact": "unreachable"}),
    ("551/1545041", "recipient_unavailable", {"ends_contact": "unreachable"}),
    # Of a profile it means that the person has not consented; of a message, that the app lacks a permission.
    ("230", "permission_missing", {**CHANNEL, "reauthorise": True}),
    ("10/1234567", "unknown_error", {"reauthorise": False, "pauses": None}),
    ("190", "token_invalid", {**CHANNEL, "reauthorise": True}),
    ("80002", "rate_limited", {**CHANNEL, "retryable": True}),
]


@pytest.mark.parametrize(("named", "code", "facts"), FACTS, ids=[case[0] for case in FACTS])
async def test_a_code_becomes_facts(named: str, code: str, facts: dict[str, Any]) -> None:
    error_code, _, subcode = named.partition("/")
    error: dict[str, Any] = {"message": "no", "code": int(error_code)}
    if subcode:
        error["error_subcode"] = int(subcode)
    http = FakeHttp()
    http.answer({"error": error}, 400)
    with pytest.raises(SendError) as caught:
        await adapter.send(http, ACCOUNT, ENVELOPE, ())
    fault = caught.value.fault
    assert (fault.code, fault.provider_code) == (code, named)
    assert {name: getattr(fault, name) for name in facts} == facts
    assert fault.retryable == facts.get("retryable", False)


async def test_the_error_that_means_success_is_success_here_too() -> None:
    http = FakeHttp()
    http.answer({"error": {"message": "x", "code": 1, "error_subcode": 1357046}}, 400)
    accepted = await adapter.send(http, ACCOUNT, ENVELOPE, ())
    assert accepted == Accepted((), note="1/1357046: Meta reports an error but has sent the message.")
