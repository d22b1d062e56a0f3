"""Meta's error codes as facts: the generic ones of the Graph API, and how a product's own table goes before them.

A table maps a code, a code with its subcode, or a code that has none (``None``) to a ``Fault`` without its provider
code; the more exact entry wins and the product's table wins over the generic one. Codes: channel facts, section 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from channels.types import Fault

FaultTable: TypeAlias = Mapping[int | tuple[int, int | None], Fault]

THROTTLED: Final = Fault(
    "rate_limited", "Meta asks to slow down; sending resumes by itself.", retryable=True, pauses="channel"
)
TEMPORARY: Final = Fault("temporary", "Meta has a temporary problem.", retryable=True)
PERMISSION_MISSING: Final = Fault(
    "permission_missing",
    "The connected account lacks a permission that this needs.",
    pauses="channel",
    reauthorise=True,
)
PARAMETER_INVALID: Final = Fault("parameter_invalid", "Meta refused a parameter of the request.", ours=True)
UNKNOWN_ERROR: Final = Fault("unknown_error", "Meta refused this for a reason that is not known here.")
OUTCOME_UNKNOWN: Final = Fault("outcome_unknown", "Meta's answer does not tell whether the message was taken.")


def _token(reason: str) -> Fault:
    return Fault("token_invalid", reason, pauses="channel", reauthorise=True)


GENERIC: Final[FaultTable] = {
    1: TEMPORARY,
    2: TEMPORARY,
    3: PERMISSION_MISSING,
    4: THROTTLED,
    10: PERMISSION_MISSING,
    17: THROTTLED,
    32: THROTTLED,
    33: PARAMETER_INVALID,
    100: PARAMETER_INVALID,
    (100, 33): Fault("not_found", "There is no such object, or the connected account may not see it.", ours=True),
    102: _token("The log-in of the connected account is no longer valid."),
    190: _token("The access token of the connected account is no longer valid."),
    (190, 458): _token("The app was removed from the connected account."),
    (190, 459): _token("The person who connected the account has to log in at Meta first."),
    (190, 460): _token("The password of the person who connected the account was changed."),
    (190, 463): _token("The access token of the connected account has expired."),
    (190, 464): _token("The person who connected the account is not confirmed at Meta."),
    (190, 467): _token("The access token of the connected account is not valid."),
    341: THROTTLED,
    368: Fault(
        "policy",
        "Meta has blocked this account for a while because of its policies.",
        pauses="channel",
        troubles="restriction",
    ),
    613: THROTTLED,
    803: Fault("not_found", "There is no such object at Meta."),
}


def classify(code: int | None, subcode: int | None, status: int, product: FaultTable) -> Fault:
    """The fault for a code that Meta gave (``status`` is the HTTP status, 0 where there is none).

    The HTTP status decides only what no code decides: Meta reports even throttling as 400.
    """
    fault = _look_up(code, subcode, product) or _look_up(code, subcode, GENERIC) or _by_range(code)
    if fault is None:
        fault = THROTTLED if status == 429 else TEMPORARY if status >= 500 else UNKNOWN_ERROR
    return replace(fault, provider_code=_named(code, subcode, status))


def _look_up(code: int | None, subcode: int | None, table: FaultTable) -> Fault | None:
    if code is None:
        return None
    return table.get((code, subcode)) or table.get(code)


def _by_range(code: int | None) -> Fault | None:
    if code is None:
        return None
    if 200 <= code <= 299:
        return PERMISSION_MISSING
    return THROTTLED if 80000 <= code <= 80014 else None


def _named(code: int | None, subcode: int | None, status: int) -> str | None:
    if code is None:
        return f"http {status}" if status else None
    return str(code) if subcode is None else f"{code}/{subcode}"


_TOKEN_LIKE: Final = re.compile(r"(?:EAA|IGQ|IGA)\w{8,}|[A-Za-z0-9_\-|.]{60,}")
_LONGEST_DETAIL: Final = 300


def explained(fault: Fault, detail: str | None, *secrets: str) -> Fault:
    """``fault`` with Meta's own words behind the reason. They may quote what was sent, so secrets are cut out first."""
    if not detail:
        return fault
    for secret in filter(None, secrets):
        detail = detail.replace(secret, "…")
    return replace(fault, reason=f"{fault.reason} {_TOKEN_LIKE.sub('…', detail)[:_LONGEST_DETAIL]}")
