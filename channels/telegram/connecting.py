"""Where Telegram delivers, and what keeps it from doing so, as findings with a remedy (channel facts, 4.1).

Nothing here shows a webhook's path: it is a secret of ours, or of whoever uses the bot beside us.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from channels.abilities import Endpoint, Finding
from channels.adapter import Http
from channels.errors import FetchError
from channels.telegram.calls import call, refuse_fetch
from channels.telegram.errors import Reply, fault_of
from channels.telegram.parse import UPDATES
from channels.types import Account, Fault, JsonObject
from channels.wire import LONG, SHORT, as_integer, as_link, as_list, as_object, as_text, as_time

CONNECTIONS: Final = 100
"""Requests that Telegram makes of us at once; its default of 40 makes chats wait for each other."""
BACKLOG: Final = 100
"""Updates that may wait before it is worth a word."""
_RECENT: Final = timedelta(minutes=15)
"""What fails is tried again every two minutes at most."""

_CONNECT_AGAIN: Final = "Connect the channel again."
_OTHER_PROGRAM: Final = (
    "Stop the other program that uses this bot token, or give it a bot of its own; then connect the channel again."
)
_REMEDIES: Final[tuple[tuple[str, str], ...]] = (
    ("ssl error", "Install a certificate of a public authority, with its whole chain, at the public address."),
    ("failed to resolve host", "Correct the public address: its host name is not known to the public DNS."),
    ("ip address", "Use a public address: Telegram does not deliver into private networks."),
    ("connection refused", "Start the service, and let port 443, 80, 88 or 8443 pass to it."),
    ("connection timed out", "Let Telegram's networks 149.154.160.0/20 and 91.108.4.0/22 pass the firewall."),
    ("read timeout expired", "Look at the load of the service: it does not answer in time."),
    ("wrong response from the webhook: 401", "Let the path of the webhook pass the proxy without a log-in."),
    ("wrong response from the webhook: 403", _CONNECT_AGAIN),
    ("wrong response from the webhook: 404", _CONNECT_AGAIN),
    ("wrong response from the webhook: 413", "Let the proxy take bodies of 3 MB."),
    ("wrong response from the webhook: 5", "Look into the logs of the service and of the proxy before it."),
)
"""By how Telegram's words begin, in lower case."""


async def subscribe(http: Http, account: Account, endpoint: Endpoint) -> list[Finding]:
    """Raises ``FetchError``. What waits at Telegram is kept and comes to the new address."""
    if endpoint.secret is None:
        # Telegram signs nothing: without the secret nobody could tell its updates from forged ones.
        raise FetchError(Fault("parameter_invalid", "The webhook of a bot needs a secret.", ours=True))
    params: JsonObject = {
        "url": endpoint.url,
        "secret_token": endpoint.secret,
        # Named always: an omitted list would keep the one of an earlier call.
        "allowed_updates": list(UPDATES),
        "max_connections": CONNECTIONS,
    }
    reply = await call(http, account, "setWebhook", params)
    if reply.ok is not True:
        refuse_fetch(reply, account)
    done = Finding("webhook", "ok", f"Telegram delivers to {_host(endpoint.url)}.")
    reply = await call(http, account, "getMe", {})
    return [done, *_bot_findings(account, as_object(reply.body.get("result")))] if reply.ok else [done]


async def inspect(http: Http, account: Account, endpoint: Endpoint | None) -> list[Finding]:
    reply = await call(http, account, "getMe", {})
    if reply.ok is not True:
        return [_refusal(reply, account)]
    found = _bot_findings(account, as_object(reply.body.get("result")))
    reply = await call(http, account, "getWebhookInfo", {})
    if reply.ok is not True:
        return [*found, _refusal(reply, account)]
    info = as_object(reply.body.get("result"))
    return [*found, *_webhook_findings(info, endpoint), *_delivery_findings(info, reply.at)]


def _refusal(reply: Reply, account: Account) -> Finding:
    fault = fault_of(reply, token=account.token, repeatable=True)
    if fault.code == "token_invalid":
        remedy = "Ask @BotFather for the bot's token (/token), and enter it here."
        return Finding("token", "broken", fault.reason, remedy)
    if fault.provider_code == "409":
        return Finding("conflict", "broken", fault.reason, _OTHER_PROGRAM)
    later = "Try again in some minutes." if fault.retryable else None
    return Finding("unanswered", "warning", f"Telegram did not answer the question: {fault.reason}", later)


# --- The bot ----------------------------------------------------------------------------------------------------------


def _bot_findings(account: Account, bot: JsonObject) -> list[Finding]:
    bot_id, name = as_integer(bot.get("id")), as_text(bot.get("username"), SHORT)
    called = f"@{name}" if name is not None else str(bot_id)
    if str(bot_id) != account.account_id:
        reason = f"The token belongs to another bot: {called}."
        return [Finding("token", "broken", reason, "Enter the token of the bot that was connected here.")]
    found = [Finding("token", "ok", f"The token works; the bot is {called}.")]
    if bot.get("can_join_groups") is True:
        found.append(_privacy(bot.get("can_read_all_group_messages") is True))
    return found


def _privacy(reads_all: bool) -> Finding:
    """Either is a choice; in private chats it makes no difference. So it is no warning."""
    if reads_all:
        return Finding("group_privacy", "ok", "In groups the bot sees every message.")
    reason = "In groups the bot sees only commands, replies to it and mentions (privacy mode)."
    remedy = (
        "To see all messages of groups: /setprivacy at @BotFather, Disable; then remove the bot from each group and "
        "add it again."
    )
    return Finding("group_privacy", "ok", reason, remedy)


# --- The webhook ------------------------------------------------------------------------------------------------------


def _webhook_findings(info: JsonObject, endpoint: Endpoint | None) -> list[Finding]:
    url = as_link(info.get("url"))
    if url is None:
        return [Finding("webhook", "broken", "Telegram delivers nowhere: no webhook is set.", _OTHER_PROGRAM)]
    if endpoint is not None and url != endpoint.url:
        same_host = _host(url) == _host(endpoint.url)
        other = "another path of this address" if same_host else _host(url)
        reason = f"Telegram delivers to {other} instead of here."
        return [Finding("webhook", "broken", reason, _CONNECT_AGAIN if same_host else _OTHER_PROGRAM)]
    found = [Finding("webhook", "ok", f"Telegram delivers to {_host(url)}.")]
    allowed = {as_text(one) for one in as_list(info.get("allowed_updates"))} or {
        one
        for one in UPDATES
        if one != "message_reaction"  # what Telegram sends unless it is told otherwise
    }
    missing = [one for one in UPDATES if one not in allowed]
    if missing:
        reason = f"Telegram keeps back what was not asked for: {', '.join(missing)}."
        found.append(Finding("updates", "warning", reason, _CONNECT_AGAIN))
    return found


def _delivery_findings(info: JsonObject, now: datetime | None) -> list[Finding]:
    """Telegram never forgets the last failure: it counts while something waits that was tried a moment ago."""
    waiting = as_integer(info.get("pending_update_count")) or 0
    said, at = as_text(info.get("last_error_message"), LONG), as_time(info.get("last_error_date"))
    recent = now is None or at is None or now - at < _RECENT
    found: list[Finding] = []
    if said is not None and waiting and recent:
        since = f" at {at:%Y-%m-%d %H:%M} UTC" if at else ""
        reason = f"Telegram could not deliver{since}; {waiting} updates wait. It says: {said}"
        found.append(Finding("delivery", "broken", reason, _remedy(said)))
    elif waiting >= BACKLOG:
        reason = f"{waiting} updates wait at Telegram."
        found.append(Finding("delivery", "warning", reason, "Look whether the service keeps up; else wait."))
    else:
        found.append(Finding("delivery", "ok", f"{waiting} updates wait at Telegram."))
    if waiting and as_time(info.get("last_synchronization_error_date")):
        reason = "Telegram's own servers had trouble reaching each other."
        found.append(Finding("telegram", "warning", reason, "Wait: only Telegram can mend it."))
    return found


def _remedy(said: str) -> str:
    words = said.lower()
    fallback = "Look whether the public address can be reached from outside."
    return next((remedy for beginning, remedy in _REMEDIES if words.startswith(beginning)), fallback)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "an address without a host"
    except ValueError:
        return "an address without a host"
