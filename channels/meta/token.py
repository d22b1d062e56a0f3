"""What Meta tells about an access token: whether it lives, until when, and what it may do (``GET /debug_token``).

Any token may look at itself, so no app secret is needed. Never raises for a token that is refused: that is an answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from channels.abilities import Finding
from channels.adapter import Http
from channels.errors import FetchError
from channels.meta.graph import GraphApi
from channels.types import Account
from channels.wire import SHORT, as_id, as_list, as_object, as_text, as_time, objects

WARN_BEFORE = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class TokenFacts:
    valid: bool
    expires_at: datetime | None
    """``None``: it does not end by itself."""
    app_id: str | None
    scopes: frozenset[str]
    targets: dict[str, tuple[str, ...]]
    """By scope, the ids of what it is limited to; a scope that is missing here is not limited."""


async def token_facts(graph: GraphApi, http: Http, account: Account) -> TokenFacts | None:
    """``None`` where Meta does not tell (a token of a system user of another app, an outage)."""
    try:
        answer = await graph.call(
            http,
            account,
            "GET",
            "debug_token",
            query={"input_token": account.token},
            repeatable=True,
            error=FetchError,
        )
    except FetchError:
        return None
    data = as_object(answer.get("data"))
    if not isinstance(data.get("is_valid"), bool):
        return None
    ends = (as_time(data.get("expires_at")), as_time(data.get("data_access_expires_at")))
    scopes = (as_text(scope, SHORT) for scope in as_list(data.get("scopes")))
    targets = {
        scope: tuple(filter(None, map(as_id, as_list(granted.get("target_ids")))))
        for granted in objects(data.get("granular_scopes"))
        if (scope := as_text(granted.get("scope"), SHORT)) and granted.get("target_ids")
    }
    return TokenFacts(
        valid=data["is_valid"] is True,
        expires_at=min(filter(None, ends), default=None),
        app_id=as_id(data.get("app_id")),
        scopes=frozenset(filter(None, scopes)),
        targets=targets,
    )


def token_findings(facts: TokenFacts | None, needed: Iterable[str], now: datetime) -> list[Finding]:
    """``needed``: the permissions without which the channel does not work."""
    if facts is None:
        return []
    if not facts.valid or (facts.expires_at is not None and facts.expires_at <= now):
        remedy = "Make a new token and enter it here."
        return [Finding("token", "broken", "The access token is no longer valid.", remedy)]
    missing = sorted(set(needed) - facts.scopes)
    found = [
        Finding(
            "token_scope",
            "broken",
            f"The access token lacks the permission {scope}.",
            f"Make a token with {scope} and enter it here.",
        )
        for scope in missing
    ]
    if facts.expires_at is None:
        found.append(Finding("token", "ok", "The access token works and does not end."))
    else:
        day = f"{facts.expires_at:%Y-%m-%d}"
        if facts.expires_at - now < WARN_BEFORE:
            remedy = "Make a token that does not end (of a system user) and enter it here."
            found.append(Finding("token", "warning", f"The access token ends on {day}.", remedy))
        else:
            found.append(Finding("token", "ok", f"The access token works until {day}."))
    return found
