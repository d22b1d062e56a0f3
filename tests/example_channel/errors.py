"""A refusal as facts. The provider's code decides; its words are not quoted, since they may repeat what we sent."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from channels.adapter import HttpAnswer
from channels.types import Fault
from channels.wire import Undecodable, as_number, as_object, as_text, decode

_FAULTS: Final = {
    "bad_token": Fault("token_invalid", "The token is not valid.", reauthorise=True, pauses="channel"),
    "slow_down": Fault("rate_limited", "Pigeon asks to slow down.", retryable=True, pauses="channel"),
    "blocked": Fault("recipient_blocked_us", "The person blocked us.", ends_contact="blocked_us"),
    "no_such_person": Fault("recipient_unavailable", "There is no such person.", ends_contact="unreachable"),
    "bad_request": Fault("parameter_invalid", "Pigeon did not understand the message.", ours=True),
    "bad_file": Fault("media_refused", "Pigeon could not use the file."),
    "not_found": Fault("not_found", "There is no such thing."),
    "trouble": Fault("temporary", "Pigeon has a problem at the moment.", retryable=True),
}


def fault_of(answer: HttpAnswer, *, repeatable: bool = False) -> Fault:
    """``repeatable``: the call changes nothing, so it may be tried again whatever happened to it."""
    try:
        body = as_object(decode(answer.body))
    except Undecodable:
        body = {}
    code = as_text(as_object(body.get("error")).get("code"), 64)
    wait = as_number(answer.headers.get("retry-after"))
    if code in _FAULTS:
        return replace(_FAULTS[code], provider_code=code, retry_after=max(wait, 0.0) if wait is not None else None)
    told = str(answer.status)
    if code is not None:
        return Fault("unknown_error", "Pigeon refused the message.", told)
    if repeatable:
        return Fault("temporary", "Pigeon could not be reached properly.", told, retryable=True)
    if 400 <= answer.status < 500:
        return Fault("unknown_error", "The request was refused.", told)
    # Something in between answered: the request may well have been carried out, so nobody may send it again.
    return Fault("outcome_unknown", "The answer does not tell whether the message went out.", told)
