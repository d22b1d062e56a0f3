"""How a Page or Instagram account is made to deliver its events, and a look at everything that this takes.

Where Meta delivers is set by hand, once per app; what can be asked for with an account's own token is done here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from channels.abilities import Endpoint, Finding
from channels.adapter import AccountFacts, Http
from channels.errors import FetchError
from channels.meta.graph import GraphApi
from channels.meta.token import token_facts, token_findings
from channels.types import Account, Fault, JsonObject
from channels.wire import SHORT, as_id, as_list, as_text, objects

PAGE_FIELDS: Final = (
    "messages", "messaging_postbacks", "message_deliveries", "message_reads", "message_echoes", "message_reactions",
    "message_edits", "messaging_referrals", "messaging_optins", "messaging_handovers", "standby",
)  # fmt: skip
"""Without one of these something is missing here: a message, a receipt, or what a person did in the Page's inbox."""
PAGE_EXTRAS: Final = (
    "messaging_policy_enforcement", "messaging_account_linking", "response_feedback", "send_cart", "inbox_labels",
)  # fmt: skip
"""Asked for, and done without where Meta does not know one of them (any more)."""

_AGAIN: Final = "Connect the channel again with the token of this account."


@dataclass(frozen=True, slots=True)
class Needs:
    """What an account must have at Meta so that its messages arrive and ours may leave."""

    called: str
    """What a person calls the account: ``Page``, ``Instagram account``."""
    path: str
    """The edge that subscribes."""
    host: str | None
    fields: tuple[str, ...]
    extras: tuple[str, ...]
    watched: tuple[str, ...]
    """What a look has to find subscribed."""
    webhook_object: str
    """Its name in the webhook settings of an app."""
    webhook_fields: tuple[str, ...]
    """What has to be chosen there: not always called as at the edge that subscribes."""
    permissions: tuple[str, ...]
    """Of the token; empty where Meta does not tell them."""


async def subscribe(graph: GraphApi, http: Http, account: Account, needs: Needs, endpoint: Endpoint) -> list[Finding]:
    """The call replaces the list of fields, so it always names all of them. Raises ``FetchError``."""
    done = Finding("subscription", "ok", f"The {needs.called} delivers its events to the app.")
    try:
        answer = await _post(graph, http, account, needs, (*needs.fields, *needs.extras))
    except FetchError as error:
        if error.fault.code != "parameter_invalid" or not needs.extras:
            raise
        answer = await _post(graph, http, account, needs, needs.fields)
        reason = f"Meta does not know all of these events: {', '.join(needs.extras)}. All others are subscribed."
        done = Finding("subscription", "warning", reason, "Messages are not affected; nothing has to be done.")
    if answer.get("success") is False:
        raise FetchError(Fault("temporary", "Meta did not carry out the subscription.", retryable=True))
    by_hand = Finding(
        "webhook",
        "warning",
        "Where Meta delivers is set in the app, once for all its accounts, and cannot be seen from here.",
        f"In the app's settings at Meta, under Webhooks, object {needs.webhook_object}: enter the callback URL "
        f"{endpoint.url} with its verify token, and subscribe to {', '.join(needs.webhook_fields)}.",
    )
    return [done, by_hand]


async def _post(graph: GraphApi, http: Http, account: Account, needs: Needs, fields: tuple[str, ...]) -> JsonObject:
    return await graph.call(
        http,
        account,
        "POST",
        needs.path,
        query={"subscribed_fields": ",".join(fields)},
        host=needs.host,
        repeatable=True,
        error=FetchError,
    )


async def inspect(
    graph: GraphApi, http: Http, account: Account, needs: Needs, facts: AccountFacts, now: datetime
) -> list[Finding]:
    """``facts``: what the check of the credentials told, which therefore work."""
    found = [_identity(account, facts, needs)]
    token = await token_facts(graph, http, account) if needs.permissions else None
    if token is None:
        found.append(Finding("token", "ok", "The access token works."))
    found += token_findings(token, needs.permissions, now)
    app_id = account.options.get("app_id") or (token.app_id if token is not None else None)
    return [*found, await _subscription(graph, http, account, needs, app_id)]


def dead_credentials(fault: Fault) -> Finding:
    """Why the credentials could not even be looked at."""
    if fault.retryable:
        return Finding("unanswered", "warning", f"Meta did not answer the question: {fault.reason}", "Ask again later.")
    if fault.code == "permission_missing":
        remedy = "Grant the app the permissions that the log-in asks for, and connect the channel again."
        return Finding("token_scope", "broken", fault.reason, remedy)
    return Finding("token", "broken", fault.reason, _AGAIN)


def _identity(account: Account, facts: AccountFacts, needs: Needs) -> Finding:
    page, linked = account.options.get("page_id"), facts.options.get("page_id")
    if facts.account_id != account.account_id:
        reason = f"The token belongs to another {needs.called}: {facts.name} ({facts.account_id})."
        return Finding("account", "broken", reason, _AGAIN)
    if linked is not None and page not in (None, linked):
        reason = f"The {needs.called} is linked to the Page {linked}, not to {page}."
        return Finding("account", "broken", reason, "Connect the channel again; that finds the right Page.")
    return Finding("account", "ok", f"The token belongs to {facts.name}.")


async def _subscription(graph: GraphApi, http: Http, account: Account, needs: Needs, app_id: str | None) -> Finding:
    asked = {"fields": "id,name,subscribed_fields"}
    try:
        answer = await graph.call(
            http, account, "GET", needs.path, query=asked, host=needs.host, repeatable=True, error=FetchError
        )
    except FetchError as error:
        return dead_credentials(error.fault)
    apps = objects(answer.get("data"))
    if app_id is not None:
        # Other apps of the business may be subscribed too; an entry without an id can only be the one that asks.
        apps = [app for app in apps if as_id(app.get("id")) in (app_id, None)]
    remedy = "Connect the channel again; that subscribes it anew."
    if not apps:
        reason = f"The {needs.called} is not subscribed: no message arrives."
        return Finding("subscription", "broken", reason, remedy)
    told = [app for app in apps if "subscribed_fields" in app]
    fields = {as_text(field, SHORT) for app in told for field in as_list(app["subscribed_fields"])}
    missing = [field for field in needs.watched if field not in fields]
    if not told or not missing:
        return Finding("subscription", "ok", f"The {needs.called} delivers its events to the app.")
    reason = f"The {needs.called} does not deliver these events: {', '.join(missing)}."
    return Finding("subscription", "broken" if "messages" in missing else "warning", reason, remedy)
