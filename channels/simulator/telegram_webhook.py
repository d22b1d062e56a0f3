"""How a bot gets its updates: one webhook, or ``getUpdates``, never both (facts, 4.1)."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from itertools import islice
from urllib.parse import SplitResult, urlsplit

from channels.simulator.calls import Call
from channels.simulator.simulation import Simulation
from channels.simulator.telegram_rooms import Refusal, bad
from channels.simulator.telegram_state import DEFAULT_UPDATES, UPDATE_KINDS, BotState
from channels.simulator.wire import as_number, as_text
from channels.simulator.world import Account
from channels.types import JsonObject, JsonValue

_PORTS = frozenset({80, 88, 443, 8443})
_SECRET_TOKEN = re.compile(r"[A-Za-z0-9_-]*")
_LONGEST_SECRET = 256
_LONGEST_POLL = 50.0


class TelegramWebhook:
    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    async def set(self, account: Account, call: Call) -> tuple[JsonValue, str]:
        """The result, and the words beside it. An empty address deletes the webhook."""
        fields = call.fields
        url = as_text(fields.get("url")) or ""
        if not url:
            return await self.delete(account, call)
        secret = as_text(fields.get("secret_token")) or ""
        if len(secret) > _LONGEST_SECRET:
            raise bad("secret token is too long")
        if not _SECRET_TOKEN.fullmatch(secret):
            raise bad("secret token contains unallowed characters")
        trouble = self._address_trouble(urlsplit(url))
        if trouble is not None:
            raise bad(f"bad webhook: {trouble}")
        self._allow(account, fields)
        most = as_number(fields.get("max_connections"))
        account.bot.max_connections = 40 if most is None else min(max(int(most), 1), 100)
        account.bot.poll += 1  # ends a long poll that still waits
        if fields.get("drop_pending_updates") is True:
            self._drop(account)
        same = (account.webhook_url, account.secret or "") == (url, secret)
        account.webhook_url, account.secret = url, secret or None
        account.bot.last_error = None
        waiting = list(account.pulled)
        account.pulled.clear()
        for chat, update in waiting:
            if chat in account.customers:
                kind = next((key for key in update if key != "update_id"), "raw")
                self._simulation.emit(account, account.customers[chat], kind, update, part="update")
        self._simulation.outbox.wake()
        return True, "Webhook is already set" if same else "Webhook was set"

    async def delete(self, account: Account, call: Call) -> tuple[JsonValue, str]:
        """What waits can be pulled from now on."""
        was_set, account.webhook_url = account.webhook_url is not None, None
        if call.fields.get("drop_pending_updates") is True:
            self._drop(account)
        else:
            back = self._simulation.outbox.withdraw(account.account_id)
            account.pulled.extend((event.customer_id, event.item) for event in back)
        account.secret = None
        return True, "Webhook was deleted" if was_set else "Webhook is already deleted"

    def _drop(self, account: Account) -> None:
        account.pulled.clear()
        self._simulation.outbox.withdraw(account.account_id)

    def _address_trouble(self, url: SplitResult) -> str | None:
        host = url.hostname or ""
        if self._simulation.loopback_webhooks and _is_loopback(host):
            return None
        if url.scheme != "https":
            return "An HTTPS URL must be provided for webhook"
        try:
            port = url.port or 443
        except ValueError:
            port = 0
        if port not in _PORTS:
            return "Webhook can be set up only on ports 80, 88, 443 or 8443"
        if not host or host == "localhost":
            return "Failed to resolve host: Name or service not known"
        if _is_reserved(host):
            return f"IP address {host} is reserved"
        return None

    @staticmethod
    def _allow(account: Account, fields: JsonObject) -> None:
        """An omitted list keeps the old one, an empty one means the default, unknown names are passed over."""
        given = fields.get("allowed_updates")
        if isinstance(given, list):
            named = frozenset(each.lower() for each in given if isinstance(each, str)) & frozenset(UPDATE_KINDS)
            account.allowed_updates = named or DEFAULT_UPDATES
        elif account.webhook_url is None and account.allowed_updates is None:
            account.allowed_updates = DEFAULT_UPDATES

    async def info(self, account: Account, call: Call) -> JsonValue:
        pending = len(account.pulled) + self._simulation.outbox.pending_of(account.account_id)
        info: JsonObject = {
            "url": account.webhook_url or "",
            "has_custom_certificate": False,
            "pending_update_count": pending,
        }
        if account.webhook_url is not None:
            info |= {"max_connections": account.bot.max_connections, "ip_address": "127.0.0.1"}
        if account.allowed_updates not in (None, DEFAULT_UPDATES):
            info["allowed_updates"] = [*sorted(account.allowed_updates or ())]
        if account.bot.last_error is not None:
            at, words = account.bot.last_error
            info |= {"last_error_date": int(at), "last_error_message": words}
        return info

    async def pull(self, account: Account, call: Call) -> JsonValue:
        if account.webhook_url is not None:
            raise Refusal(
                409,
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the "
                "webhook first",
            )
        self._allow(account, call.fields)
        _acknowledge(account, as_number(call.fields.get("offset")))
        bot = account.bot
        bot.poll += 1
        await self._wait(account, bot, bot.poll, as_number(call.fields.get("timeout")) or 0.0)
        limit = int(as_number(call.fields.get("limit")) or 100)
        return [update for _, update in islice(account.pulled, min(max(limit, 1), 100))]

    @staticmethod
    async def _wait(account: Account, bot: BotState, turn: int, timeout: float) -> None:
        deadline = asyncio.get_running_loop().time() + min(timeout, _LONGEST_POLL)
        # A long poll, of which the simulator sees few: looking now and then is enough.
        while not account.pulled and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
            if bot.poll != turn:
                by = "setWebhook request" if account.webhook_url is not None else (
                    "other getUpdates request; make sure that only one bot instance is running"
                )  # fmt: skip
                raise Refusal(409, f"Conflict: terminated by {by}")


def _acknowledge(account: Account, offset: float | None) -> None:
    """A negative offset keeps that many of the latest."""
    if offset is None or offset == 0:
        return
    if offset < 0:
        while len(account.pulled) > -offset:
            account.pulled.popleft()
    while offset > 0 and account.pulled and (as_number(account.pulled[0][1]["update_id"]) or 0) < offset:
        account.pulled.popleft()


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_address(host) is not None and ipaddress.ip_address(host).is_loopback)


def _is_reserved(host: str) -> bool:
    address = _address(host)
    return address is not None and not address.is_global


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
