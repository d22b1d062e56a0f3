"""Connecting a WhatsApp number: whose it is, where its events go, and what keeps it from working.

Fields that Meta may drop between versions are asked for one at a time, and missing ones yield no finding: a check has
to work on the day something else does not. Channel facts, sections 1.1 and 1.5.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final, Literal
from urllib.parse import quote

from channels.abilities import Endpoint, Finding
from channels.adapter import AccountFacts, Http
from channels.errors import FetchError
from channels.meta.graph import GraphApi
from channels.meta.token import TokenFacts, token_facts, token_findings
from channels.types import Account, Fault, JsonObject
from channels.whatsapp.standing import LIMITS, NAME_TROUBLES, NUMBER_TROUBLES
from channels.wire import LONG, SHORT, as_id, as_link, as_object, as_text, objects

SCOPES: Final = ("whatsapp_business_management", "whatsapp_business_messaging")
"""What a token has to be allowed."""
WEBHOOK_FIELDS: Final = (
    "messages",
    "message_template_status_update",
    "message_template_quality_update",
    "template_category_update",
    "message_template_components_update",
    "phone_number_quality_update",
    "phone_number_name_update",
    "account_update",
    "account_alerts",
    "account_review_update",
    "business_capability_update",
    "security",
    "user_preferences",
    "smb_message_echoes",
    "business_username_updates",
    "calls",
)
"""Webhook fields that are read here. Only the app's own settings at Meta choose them."""

_NUMBER_FIELDS: Final = "id,display_phone_number,verified_name,quality_rating,name_status,platform_type,throughput"
_AS_OPTIONS: Final = ("display_phone_number", "quality_rating", "name_status", "platform_type")


def waba_of(account: Account) -> str:
    """The WhatsApp Business Account that owns the number, for a path. Raises ``FetchError`` where nobody entered it."""
    waba_id = account.options.get("waba_id")
    if not waba_id:
        reason = "The id of the WhatsApp Business Account is not known; enter it with the channel (waba_id)."
        raise FetchError(Fault("parameter_invalid", reason))
    return quote(waba_id, safe="")


async def check(graph: GraphApi, http: Http, account: Account) -> AccountFacts:
    number = await _number(graph, http, account, _NUMBER_FIELDS)
    options = {name: text for name in _AS_OPTIONS if (text := as_text(number.get(name), SHORT))}
    throughput = _throughput(number)
    if throughput:
        options["throughput"] = throughput
    token = await token_facts(graph, http, account)
    owners = set(token.targets.get(SCOPES[0], ())) if token is not None else set()
    if len(owners) == 1:
        # The token reaches one account only, so the number that it reached is of that account.
        options["waba_id"] = owners.pop()
    name = as_text(number.get("verified_name"), SHORT) or options.get("display_phone_number", "")
    expires_at = token.expires_at if token is not None else None
    return AccountFacts(as_id(number.get("id")) or account.account_id, name, options, expires_at)


async def subscribe(graph: GraphApi, http: Http, account: Account, endpoint: Endpoint) -> list[Finding]:
    """The app hears of the account's events, and hears of them at our address, whatever the app's own says."""
    path = f"{waba_of(account)}/subscribed_apps"
    override = {"override_callback_uri": endpoint.url, "verify_token": endpoint.verify_token}
    body: JsonObject | None = {**override} if endpoint.verify_token else None
    try:
        await graph.call(http, account, "POST", path, json=body, repeatable=True, error=FetchError)
    except FetchError as error:
        remedy = _REMEDIES.get(error.fault.provider_code or "") or _REMEDIES.get(error.fault.code)
        if remedy is None:
            raise
        raise FetchError(replace(error.fault, reason=f"{error.fault.reason} {remedy}")) from error
    by_hand = Finding(
        "webhook_fields",
        "warning",
        "Which kinds of events are delivered is chosen in the app's settings at Meta.",
        f"There, under WhatsApp and Configuration, subscribe to: {', '.join(WEBHOOK_FIELDS)}.",
    )
    if not endpoint.verify_token:
        remedy = f"In the app's settings at Meta, enter {endpoint.url} as callback URL."
        unset = Finding("webhook", "warning", "Without a verify token the address cannot be set from here.", remedy)
        return [Finding("subscription", "ok", "The app is subscribed to the account."), unset, by_hand]
    return [Finding("subscription", "ok", f"Events of the account go to {endpoint.url}."), by_hand]


_RIGHT_WABA: Final = (
    "Enter the right waba_id with the channel: the id of the WhatsApp Business Account that owns the number, as "
    "WhatsApp Manager shows it. The token must be of a user who may see that account."
)
_REMEDIES: Final = {
    "2200": "See that INBOX_PUBLIC_URL is this installation's address on the internet and opens there, then connect "
    "the channel again.",
    "not_found": _RIGHT_WABA,
    "permission_missing": _RIGHT_WABA,
}
"""What to do when the subscription is refused, by the code of Meta or by ours."""


async def inspect(
    graph: GraphApi, http: Http, account: Account, endpoint: Endpoint | None, now: datetime
) -> list[Finding]:
    try:
        number = await _number(graph, http, account, f"{_NUMBER_FIELDS},status")
    except FetchError as error:
        return [_unreadable(error.fault)]
    token = await token_facts(graph, http, account)
    found = token_findings(token, SCOPES, now)
    found += _of_number(number)
    found += _of_limit(await _asked(graph, http, account, "messaging_limit_tier"))
    found += _of_health(await _asked(graph, http, account, "health_status"))
    found += await _of_subscription(graph, http, account, token)
    if endpoint is not None:
        found += _of_webhook(await _asked(graph, http, account, "webhook_configuration"), endpoint)
    return found


async def _number(graph: GraphApi, http: Http, account: Account, fields: str) -> JsonObject:
    query = {"fields": fields}
    return await graph.call(http, account, "GET", account.account_id, query=query, repeatable=True, error=FetchError)


async def _asked(graph: GraphApi, http: Http, account: Account, field: str) -> JsonObject:
    """One field that may not exist (any more); then an empty object."""
    try:
        return await _number(graph, http, account, field)
    except FetchError:
        return {}


# --- Findings ---------------------------------------------------------------------------------------------------------


def _unreadable(fault: Fault) -> Finding:
    if fault.reauthorise:
        return Finding("token", "broken", fault.reason, "Make a new token with both permissions and enter it here.")
    if fault.retryable:
        return Finding("number", "warning", fault.reason, "Look again in a few minutes.")
    remedy = "See whether the phone number id is right and whether the token may use this number."
    return Finding("number", "broken", fault.reason, remedy)


def _of_number(number: JsonObject) -> list[Finding]:
    found: list[Finding] = []
    status = as_text(number.get("status"), SHORT)
    if status is not None:
        trouble = NUMBER_TROUBLES.get(status)
        fine = Finding("number_status", "ok", "The number is connected.")
        found.append(Finding("number_status", *trouble) if trouble else fine)
    match as_text(number.get("quality_rating"), SHORT):
        case "GREEN":
            found.append(Finding("quality", "ok", "People rate the messages of the number well."))
        case "YELLOW":
            found.append(Finding("quality", "warning", "The number's quality is medium.", _BETTER))
        case "RED":
            found.append(Finding("quality", "warning", "The number's quality is low; Meta may restrict it.", _BETTER))
    name_status = as_text(number.get("name_status"), SHORT)
    if name_status is not None:
        name_trouble = NAME_TROUBLES.get(name_status)
        fine = Finding("display_name", "ok", "The display name is in use.")
        found.append(Finding("display_name", *name_trouble) if name_trouble else fine)
    throughput = _throughput(number)
    if throughput == "HIGH":
        found.append(Finding("throughput", "ok", "The number may send 1,000 messages a second."))
    elif throughput == "STANDARD":
        found.append(Finding("throughput", "ok", "The number may send 80 messages a second."))
    elif throughput is not None:
        remedy = "Finish setting the number up at Meta; a number shared with the phone app stays at 20 a second."
        reason = f"Meta names no usual throughput for the number ({throughput})."
        found.append(Finding("throughput", "warning", reason, remedy))
    return found


_BETTER: Final = "Send fewer and more wanted messages: look at what people blocked or reported in the last seven days."


def _throughput(number: JsonObject) -> str | None:
    return as_text(as_object(number.get("throughput")).get("level"), SHORT)


def _of_limit(number: JsonObject) -> list[Finding]:
    tier = as_text(number.get("messaging_limit_tier"), SHORT)
    if tier is None:
        return []
    people = LIMITS.get(tier, tier)
    return [Finding("messaging_limit", "ok", f"Outside of their windows {people} people a day may be written to.")]


def _of_health(number: JsonObject) -> list[Finding]:
    """What Meta itself thinks: may this number send, and which of the things it depends on keeps it from that."""
    health = as_object(number.get("health_status"))
    verdict = as_text(health.get("can_send_message"), SHORT)
    if verdict is None:
        return []
    if verdict == "AVAILABLE":
        return [Finding("can_send", "ok", "Meta says that the number can send.")]
    state: Literal["warning", "broken"] = "broken" if verdict == "BLOCKED" else "warning"
    found = [
        Finding(
            "can_send",
            state,
            as_text(error.get("error_description"), LONG) or f"Meta restricts the number ({verdict}).",
            as_text(error.get("possible_solution"), LONG) or _MANAGER,
        )
        for entity in objects(health.get("entities"))
        for error in objects(entity.get("errors"))
    ]
    return found or [Finding("can_send", state, "Meta lets the number send with limits or not at all.", _MANAGER)]


_MANAGER: Final = "Look in WhatsApp Manager at Meta what the account is missing."


async def _of_subscription(graph: GraphApi, http: Http, account: Account, token: TokenFacts | None) -> list[Finding]:
    remedy = "Connect the channel again, so that the app is subscribed to the account."
    try:
        apps = await graph.pages(http, account, f"{waba_of(account)}/subscribed_apps", query={})
    except FetchError as error:
        if error.fault.retryable:
            return [Finding("subscription", "warning", error.fault.reason, "Look again in a few minutes.")]
        # Without an id nothing can be asked, so nothing is known to be wrong.
        state: Literal["warning", "broken"] = "broken" if account.options.get("waba_id") else "warning"
        return [Finding("subscription", state, error.fault.reason, _RIGHT_WABA)]
    ids = {as_id(as_object(app.get("whatsapp_business_api_data")).get("id")) or as_id(app.get("id")) for app in apps}
    ours = token.app_id if token is not None else None
    if not apps or (ours is not None and ours not in ids):
        return [Finding("subscription", "broken", "Meta delivers no events of this account to the app.", remedy)]
    return [Finding("subscription", "ok", "The app is subscribed to the account.")]


def _of_webhook(number: JsonObject, endpoint: Endpoint) -> list[Finding]:
    """The most specific address wins: the number's, then the account's, then the app's."""
    addresses = as_object(number.get("webhook_configuration"))
    levels = ("phone_number", "whatsapp_business_account", "application")
    in_use = next(((level, url) for level in levels if (url := as_link(addresses.get(level)))), None)
    if in_use is None:
        return []
    level, url = in_use
    if url == endpoint.url:
        return [Finding("webhook", "ok", "Meta delivers the number's events to this installation.")]
    remedy = "Connect the channel again."
    if level == "phone_number":
        remedy = "Remove the webhook address that was set for this single number; it goes before the account's."
    return [Finding("webhook", "broken", "Meta delivers the number's events to another address.", remedy)]
