"""How WhatsApp's webhooks name people. Keys are absent, not null, when they are not told (facts, 1.2)."""

from __future__ import annotations

from channels.simulator.world import Account, Customer
from channels.types import JsonObject


def ids(customer: Customer, *, phone: str, user: str) -> JsonObject:
    """``phone`` and ``user`` are the keys of this place; the parent's key follows from ``user``."""
    found: JsonObject = {}
    if customer.bsuid_in_from and customer.bsuid:
        found[phone] = customer.bsuid
    elif customer.phone and not customer.hide_phone:
        found[phone] = customer.phone
    if customer.bsuid:
        found[user] = customer.bsuid
    if customer.parent_bsuid:
        found[user.replace("user_id", "parent_user_id")] = customer.parent_bsuid
    return found


def sender(customer: Customer) -> JsonObject:
    return ids(customer, phone="from", user="from_user_id")


def value_of(account: Account, customer: Customer | None) -> JsonObject:
    """The frame of a change: which number, and the contact unless there is none to tell of."""
    value: JsonObject = {
        "messaging_product": "whatsapp",
        "metadata": {
            "display_phone_number": account.display_phone_number,
            "phone_number_id": account.account_id,
        },
    }
    if customer is not None:
        contact: JsonObject = {}
        if customer.has_profile:
            profile: JsonObject = {"name": customer.name}
            if customer.username:
                profile["username"] = customer.username
            contact["profile"] = profile
        value["contacts"] = [{**contact, **ids(customer, phone="wa_id", user="user_id")}]
    return value
