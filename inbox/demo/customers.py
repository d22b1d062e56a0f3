"""Who the simulated customers are: the same person at every start, although the simulator remembers nobody."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from channels.simulator.client import SimulatorClient
from channels.types import JsonObject
from inbox.demo.api import Api, Json
from inbox.demo.record import DemoChannel, Kind, Record

MOST_INTRODUCED = 100
LONG_AGO_HOURS = 24.0 * 30
OWN_ADDRESS: dict[Kind, str] = {
    "whatsapp": "whatsapp_phone",
    "messenger": "messenger_user",
    "instagram": "instagram_user",
    "telegram": "telegram_user",
}


def customer_named(kind: Kind, name: str) -> JsonObject:
    """The customer whom `inbox say --as NAME` speaks for."""
    digest = int.from_bytes(hashlib.sha256(f"{kind} {name.casefold()}".encode()).digest()[:8])
    handle = "".join(letter for letter in name.lower() if letter.isascii() and letter.isalnum())[:20]
    username = f"{handle or 'someone'}{digest % 1000:03d}"
    if kind == "whatsapp":
        phone = f"1555{digest % 10**7:07d}"
        return {"id": phone, "phone": phone, "name": name, "username": username}
    digits = 10 if kind == "telegram" else 16
    return {"id": str(digest % (9 * 10 ** (digits - 1)) + 10 ** (digits - 1)), "name": name, "username": username}


async def introduce(api: Api, simulator: SimulatorClient, record: Record) -> int:
    """Tell the simulator of the people in the inbox, so that they can be answered after a restart. How many."""
    channels = {each["id"]: each for each in await api.all("/v1/channels")}
    accounts = {channel.account_id: channel for channel in record.channels}
    page = await api.get("/v1/conversations", {"limit": str(MOST_INTRODUCED)})
    count = 0
    for conversation in page["items"]:
        channel = accounts.get(channels.get(conversation["channel_id"], {}).get("account_id", ""))
        if channel is None:
            continue
        detail = await api.get(f"/v1/contacts/{conversation['contact_id']}")
        customer = _customer(channel, detail)
        if customer is None:
            continue
        states: JsonObject = {"wrote_hours_ago": _hours_since(conversation)} if conversation["inbound_count"] else {}
        await simulator.customer(channel.account_id, customer, **states)
        count += 1
    return count


def _customer(channel: DemoChannel, detail: Json) -> JsonObject | None:
    for identity in detail["identities"]:
        own = _addresses(identity, channel)
        main = own.get(OWN_ADDRESS[channel.kind]) or own.get("whatsapp_user")
        if main is None:
            continue
        customer: JsonObject = {"id": main, "name": identity["name"] or detail["contact"]["name"] or main}
        if identity["username"]:
            customer["username"] = identity["username"]
        if channel.kind == "whatsapp":
            customer |= {"phone": own.get("whatsapp_phone"), "bsuid": own.get("whatsapp_user")}
        return customer
    return None


def _addresses(identity: dict[str, Any], channel: DemoChannel) -> dict[str, str]:
    return {
        address["kind"]: address["value"]
        for address in identity["addresses"]
        if address["scope"] in ("", channel.account_id)
    }


def _hours_since(conversation: Json) -> float:
    if conversation["last_message_at"] is None:
        return LONG_AGO_HOURS
    at = datetime.fromisoformat(conversation["last_message_at"])
    return max(0.0, (datetime.now(UTC) - at).total_seconds() / 3600)
