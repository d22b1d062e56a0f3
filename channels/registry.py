"""Every channel there is, by name. A new one is a folder of its own and one line in each list it needs.

Adapters do not know each other, and the Meta provider knows none of its products: they meet only here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from channels.adapter import Adapter, Provider
from channels.instagram.adapter import InstagramAdapter
from channels.instagram.parse import parse as parse_instagram
from channels.messenger.adapter import MessengerAdapter
from channels.messenger.parse import parse as parse_messenger
from channels.meta.provider import MetaProvider
from channels.telegram.adapter import TelegramAdapter
from channels.telegram.provider import TelegramProvider
from channels.whatsapp.adapter import WhatsAppAdapter
from channels.whatsapp.parse import parse as parse_whatsapp

_ADAPTERS: Final[tuple[Adapter, ...]] = (
    WhatsAppAdapter(),
    MessengerAdapter(),
    InstagramAdapter(),
    TelegramAdapter(),
)

_PROVIDERS: Final[tuple[Provider, ...]] = (
    MetaProvider(
        {
            "whatsapp_business_account": parse_whatsapp,
            "page": parse_messenger,
            "instagram": parse_instagram,
        }
    ),
    TelegramProvider(),
)

ADAPTERS: Final[Mapping[str, Adapter]] = {adapter.kind: adapter for adapter in _ADAPTERS}
"""By ``kind``."""

PROVIDERS: Final[Mapping[str, Provider]] = {provider.name: provider for provider in _PROVIDERS}
"""By ``name``; an adapter names its own in ``provider``."""
