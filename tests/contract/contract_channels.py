"""What the contract's tests have to know of each channel: one line each in ``CHANNELS``, and one per provider.

The fifth is the example of ``docs/adding-a-channel.md``: what holds for the four of the product holds for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from example_channel import provider as pigeon
from example_channel.registry import ADAPTERS, PROVIDERS

from channels.meta import signature
from channels.types import Account, Address, JsonObject

__all__ = ["ADAPTERS", "CHANNELS", "ENDPOINTS", "PROVIDERS", "TOKEN", "Channel", "Endpoint"]

TESTS = Path(__file__).parents[1]
TOKEN = "EAAB7-very-secret-token-0123456789:abcdefghij"


@dataclass(frozen=True, slots=True)
class Channel:
    """An account, somebody to write to, an error body of the provider, and the folder of its recorded webhooks."""

    account: Account
    peer: Address
    error: JsonObject
    """With the token in it, as providers do quote it."""
    payloads: Path


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How the provider proves itself: ``headers`` of a body under a secret, and whether they depend on the body."""

    headers: Callable[[bytes, str], dict[str, str]]
    signs_the_body: bool


META_ERROR: JsonObject = {"error": {"code": 100, "message": f"bad {TOKEN}", "error_data": {"details": f"see {TOKEN}"}}}
TELEGRAM_ERROR: JsonObject = {"ok": False, "error_code": 400, "description": f"Bad Request: bot{TOKEN} is wrong"}
PIGEON_ERROR: JsonObject = {"error": {"code": "bad_request", "detail": f"{TOKEN} does not fly"}}

CHANNELS = {
    "whatsapp": Channel(
        Account("whatsapp", "111", TOKEN),
        Address("whatsapp_phone", "", "15551230001"),
        META_ERROR,
        TESTS / "data" / "whatsapp",
    ),
    "messenger": Channel(
        Account("messenger", "222", TOKEN),
        Address("messenger_user", "222", "7001"),
        META_ERROR,
        TESTS / "data" / "messenger",
    ),
    "instagram": Channel(
        Account("instagram", "333", TOKEN, options={"stack": "login"}),
        Address("instagram_user", "333", "8001"),
        META_ERROR,
        TESTS / "data" / "instagram",
    ),
    "telegram": Channel(
        Account("telegram", "444", TOKEN),
        Address("telegram_user", "", "42"),
        TELEGRAM_ERROR,
        TESTS / "data" / "telegram",
    ),
    "pigeon": Channel(
        Account("pigeon", "loft-1", TOKEN),
        Address("pigeon_user", "", "U1"),
        PIGEON_ERROR,
        TESTS / "example_channel" / "payloads",
    ),
}

ENDPOINTS = {
    "meta": Endpoint(lambda body, secret: {signature.HEADER: signature.sign(body, secret)}, signs_the_body=True),
    "telegram": Endpoint(lambda body, secret: {"x-telegram-bot-api-secret-token": secret}, signs_the_body=False),
    "pigeon": Endpoint(lambda body, secret: {pigeon.HEADER: pigeon.sign(body, secret)}, signs_the_body=True),
}
